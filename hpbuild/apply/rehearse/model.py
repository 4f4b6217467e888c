"""What a rehearsal is asked for, and what it found. Values only."""

from enum import StrEnum
from pathlib import Path

from hpbuild.apply.live.protocol import Times
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, Finding, Severity
from hpbuild.verify.request import Verification
from hpbuild.verify.verdict import worst


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the program should do. ``exit_status`` None: 0, or to be alive at the end. ``pattern`` is a
    regular expression that its standard output must contain; ``same_output``: that of a run without the
    package."""

    exit_status: int | None = None
    pattern: str | None = None
    same_output: bool = False

    @property
    def needs_end(self) -> bool:
        """True when only a program that ends by itself can be judged."""
        return self.exit_status is not None or self.same_output


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When things happen; times in seconds. ``rounds``: how often the package is reverted and applied again
    after the first apply; ``after``: from the loading of the modules to the first apply; ``hold``: how long
    each state lasts; ``load_limit``: longest wait for the modules; ``limit``: longest wait for the end."""

    rounds: int = 3
    after: float = 0.5
    hold: float = 0.2
    load_limit: float = 60.0
    limit: float = 300.0


NO_TIMES = Times()


class Action(StrEnum):
    """What was done to the process."""

    APPLY = "apply"
    REVERT = "revert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One apply or revert. ``round`` is 0 for the first apply; ``seconds`` is the whole command as seen from
    outside; ``commit_ns`` the time from the first byte written to the last, ``waits`` how long threads that
    came to a page being written had to wait, ``looks`` how long threads were stopped for a look at their
    instruction pointer. ``finding`` says why it failed."""

    action: Action
    round: int
    seconds: float
    commit_ns: int = 0
    waits: Times = NO_TIMES
    looks: Times = NO_TIMES
    finding: Finding | None = None

    @property
    def ok(self) -> bool:
        """True when it succeeded."""
        return self.finding is None


class End(StrEnum):
    """How the program ended."""

    BY_ITSELF = "by-itself"
    BY_REHEARSAL = "by-rehearsal"
    """It was alive at the end of the rounds and was ended then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """``status`` is the exit status as this system gives it: under Wine the low 8 bits of the program's, on
    Linux negative for a signal; None when the rehearsal ended it."""

    end: End
    status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """The whole result. ``verification`` is that of the package alone, before the start; when it says no, the
    program was not started, and what belongs to its run is None. ``pid`` is this system's id of the process
    that was patched; ``ready`` the time from the start until the modules were loaded, seconds; ``output``,
    ``errors`` and ``reference`` are the files with what the program said (``reference``: without the package,
    None unless asked for); ``modules`` are (path, state) at the end of the rounds; ``waits`` and ``looks``
    those of all steps together. No refusing finding means success."""

    command: tuple[str, ...]
    rounds: int
    verification: Verification
    pid: int | None = None
    ready: float | None = None
    steps: tuple[Step, ...] = ()
    ending: Ending | None = None
    output: Path | None = None
    errors: Path | None = None
    reference: Path | None = None
    modules: tuple[tuple[str, str], ...] = ()
    waits: Times = NO_TIMES
    looks: Times = NO_TIMES
    findings: tuple[Finding, ...] = ()

    @property
    def status(self) -> ExitStatus:
        """YES when the program did what it should and every step succeeded."""
        refusing = [item.code.exit for item in self.findings if item.code.severity is Severity.REFUSE]
        return worst([self.verification.exit, *refusing])

    @property
    def applied(self) -> int:
        """How often the package was applied."""
        return sum(step.ok and step.action is Action.APPLY for step in self.steps)

    @property
    def reverted(self) -> int:
        """How often it was reverted."""
        return sum(step.ok and step.action is Action.REVERT for step in self.steps)
