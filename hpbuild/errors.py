"""Error tree: every refusal and error has a code, a place, a cause and a remedy.

``Code`` rows live in ``hpbuild.codes``, one table per stage; ``explain`` and the documentation page
are printed from the same rows. ``Finding`` is a code that was met at a place (the *permission* of the
design: severity says whether it refuses). ``HpbuildError`` carries one finding out of a stage.
"""

from enum import IntEnum, StrEnum

from hpbuild.dataclass import dataclass


class ExitStatus(IntEnum):
    """Exit status of every command."""

    YES = 0
    NO = 1
    USAGE = 2
    NOT_APPLICABLE = 3
    MALFORMED = 4
    LIMIT = 5
    UNAVAILABLE = 6
    BUG = 70


class Severity(StrEnum):
    """What a finding does to the verdict."""

    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One row of the table of codes.

    ``id`` is ``HPnnnn``; ``title`` one line without a full stop; ``why`` says what goes wrong for the
    user if it were ignored; ``remedy`` says what to do; ``exit`` is the status a command ends with when
    this code decides its outcome.
    """

    id: str
    title: str
    severity: Severity
    exit: ExitStatus
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A code met at a place. ``place`` names a file, member, function or field; ``cause`` the facts."""

    code: Code
    place: str
    cause: str

    @property
    def remedy(self) -> str:
        """What the user can do about it."""
        return self.code.remedy

    def __str__(self) -> str:
        return f"{self.code.id} {self.place}: {self.cause}"


class HpbuildError(Exception):
    """Any refusal that ends a stage. Never shown as a traceback."""

    def __init__(self, code: Code, place: str, cause: str) -> None:
        super().__init__(code, place, cause)
        self.finding = Finding(code, place, cause)

    @property
    def code(self) -> Code:
        """The row of the table."""
        return self.finding.code

    def __str__(self) -> str:
        return str(self.finding)
