"""What the agent's journal in a process says, read from outside: nothing runs in the process for that."""

import time

from hpbuild.apply.live.journal import (
    AGENT_LIBRARY,
    JOURNAL_SIZE,
    JOURNAL_SYMBOL,
    Journal,
    JournalPackage,
    parse_journal,
)
from hpbuild.codes.live import BAD_JOURNAL
from hpbuild.errors import HpbuildError
from hpbuild.pe.exports import exports
from hpbuild.pe.mapped import image_from_memory
from hpbuild.pe.processes import LoadedModule, Process

PATIENCE = 3.0
"""Seconds that a command may be at work before the journal is given as it is."""
PAUSE = 0.02


def agent_module(process: Process) -> LoadedModule | None:
    """The resident among the process's modules, None when it is not there."""
    return next((item for item in process.modules if item.name.casefold() == AGENT_LIBRARY), None)


def journal_address(process: Process, agent: LoadedModule) -> int:
    """Where the journal lies. Raises HpbuildError HP7331 when the library exports none."""
    image = image_from_memory(process.memory, agent).image
    found = next(
        (item for item in exports(image) if item.name == JOURNAL_SYMBOL and not item.forwarder), None
    )
    if found is None or found.rva + JOURNAL_SIZE > agent.size:
        raise HpbuildError(BAD_JOURNAL, f"process {process.pid}", f"{agent.path} exports no {JOURNAL_SYMBOL}")
    return agent.base + found.rva


def read_journal(process: Process, patience: float = PATIENCE) -> Journal | None:
    """The journal of the agent in ``process``, None when the agent is not there.

    A command that is at work is given ``patience`` seconds to end; ``Journal.settled`` is False when it has
    not. Raises HpbuildError HP7331 for a journal that is none, and as ``Memory.read``."""
    agent = agent_module(process)
    if agent is None:
        return None
    address = journal_address(process, agent)
    deadline = time.monotonic() + patience
    while True:
        first = process.memory.read(address, JOURNAL_SIZE)
        second = process.memory.read(address, JOURNAL_SIZE)
        if first == second or time.monotonic() >= deadline:
            journal = parse_journal(second)
            if journal.settled or time.monotonic() >= deadline:
                return journal
        time.sleep(PAUSE)


def active_package(journal: Journal | None, package: str) -> JournalPackage | None:
    """The active package with the id ``package``, None when it is not in effect."""
    if journal is None:
        return None
    return next((item for item in journal.packages if item.id == package), None)
