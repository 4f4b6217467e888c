"""``status --pid``: what is in effect in a process, told from outside."""

import time
from enum import StrEnum

from hpbuild.apply.live.journal import Journal
from hpbuild.apply.live.preparing import verify_memory
from hpbuild.apply.live.result import LiveRequest
from hpbuild.apply.live.status import PATIENCE, active_package, read_journal
from hpbuild.codes.live import BUSY
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, Finding
from hpbuild.pe.processes import Process, open_process
from hpbuild.verify.request import Verification
from hpbuild.verify.states import ModuleState
from hpbuild.verify.verdict import worst


class StandingVerdict(StrEnum):
    """How a process stands to packages, or to the one that was asked about."""

    OLD = "old"
    """The code is that of its files."""
    NEW = "new"
    """A package (the one that was asked about) is in effect."""
    BUSY = "busy"
    """A command has been at work for longer than was waited."""
    OTHER = "other"
    """Another package of the product is in effect, not the one that was asked about."""
    CONFLICT = "conflict"
    """The memory is none of this."""
    NOT_LOADED = "not-loaded"
    """None of the package's modules is loaded."""


SETTLED = frozenset({StandingVerdict.OLD, StandingVerdict.NEW})
"""Verdicts that are an answer, not a problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """``journal`` is None when there is no agent; ``verification`` and ``modules`` (path, state) are about
    the package that was asked for."""

    verdict: StandingVerdict
    status: ExitStatus
    pid: int
    windows_pid: int
    program: str
    journal: Journal | None
    verification: Verification | None
    modules: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]


def standing_of(pid: int, request: LiveRequest | None = None) -> Standing:
    """What is in effect in the process ``pid``; with ``request`` also how its memory stands to that package.

    Nothing runs in the process for that. A command that is carried out while its memory is compared makes
    the look be repeated, for ``PATIENCE`` seconds. The status is YES when an answer was found and, with a
    package, its modules are wholly old or wholly new; else the verifier's.
    Raises HpbuildError HP725x, HP7331.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        with open_process(pid) as process:
            journal = read_journal(process)
            verification = None if request is None else verify_memory(request)
            if verification is not None and time.monotonic() < deadline and _moved_on(pid, journal):
                continue
            program = process.modules[0].path if process.modules else ""
            return _standing(process, program, journal, verification)


def _moved_on(pid: int, before: Journal | None) -> bool:
    """True when the agent has done something since ``before``, or came only then."""
    with open_process(pid) as process:
        after = read_journal(process)
    if before is None or after is None:
        return before is not after
    return (before.settled, before.commands, before.packages) != (
        after.settled,
        after.commands,
        after.packages,
    )


def _standing(
    process: Process, program: str, journal: Journal | None, verification: Verification | None
) -> Standing:
    results = verification.modules if verification is not None else ()
    status, findings = ExitStatus.YES, tuple[Finding, ...]()
    if journal is not None and not journal.settled:
        verdict, status = StandingVerdict.BUSY, BUSY.exit
    elif verification is None:
        verdict = StandingVerdict.NEW if journal is not None and journal.packages else StandingVerdict.OLD
    else:
        verdict = _judged(journal, verification)
        if verdict not in SETTLED:
            status = worst([verification.exit, ExitStatus.NOT_APPLICABLE])
            findings = _findings(verification)
    return Standing(
        verdict=verdict,
        status=status,
        pid=process.pid,
        windows_pid=process.windows_pid,
        program=program,
        journal=journal,
        verification=verification,
        modules=tuple((item.path, str(item.state or "")) for item in results),
        findings=findings,
    )


def _judged(journal: Journal | None, verification: Verification) -> StandingVerdict:
    """How the process stands to the package: memory and journal have to agree."""
    states = {item.state for item in verification.modules} - {ModuleState.NOT_LOADED}
    active = active_package(journal, verification.carried_id) is not None
    if not states:
        return StandingVerdict.NOT_LOADED if verification.modules else StandingVerdict.CONFLICT
    if states == {ModuleState.APPLIED}:
        return StandingVerdict.NEW  # without a journal: the file itself was patched
    if states == {ModuleState.APPLICABLE} and not active:
        return StandingVerdict.OLD
    product = verification.product or verification.carried_id
    others = journal.packages if journal is not None and not active else ()
    if any(item.product == product for item in others):
        return StandingVerdict.OTHER
    return StandingVerdict.CONFLICT


def _findings(verification: Verification) -> tuple[Finding, ...]:
    found = [item for check in verification.checks for item in check.findings]
    return (*found, *verification.findings)
