"""What goes into live work and what comes out. Values only."""

from enum import StrEnum

from hpbuild.apply.live.protocol import Reply
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, Finding
from hpbuild.pe.processes import LoadedModule
from hpbuild.verify.line import AcceptedLines
from hpbuild.verify.policy import Policy
from hpbuild.verify.request import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRequest:
    """``bundle`` is the whole package, ``name`` what to call it in messages; ``pid`` this system's id of the
    process (on Linux the Linux one). ``accepted`` is what was accepted of product lines before, None when
    nobody keeps that. ``signed_revert``: taking a package out needs a revert package that the verifier says
    yes to."""

    bundle: bytes
    name: str
    policy: Policy
    pid: int
    accepted: AcceptedLines | None = None
    signed_revert: bool = False


class LiveVerdict(StrEnum):
    """Outcome of ``apply`` or ``revert`` in a process."""

    APPLIED = "applied"
    REPLACED = "replaced"
    """An older package of the line was in effect; this one took its place in one step."""
    ALREADY_APPLIED = "already-applied"
    REVERTED = "reverted"
    REFUSED = "refused"
    """The process is as it was before."""
    UNCERTAIN = "uncertain"
    """No answer came, or memory shows something else; ``status`` and ``verify --pid`` tell what is so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModule:
    """One module of the package. ``loaded`` is None when the process has not loaded it; ``before`` and
    ``after`` are the verifier's states, '' when it did not look. ``block`` is where the new code lies, 0 when
    it is not there, ``delta`` bytes above its nominal place."""

    path: str
    loaded: LoadedModule | None
    before: str = ""
    after: str = ""
    block: int = 0
    delta: int = 0
    redirections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveResult:
    """The whole result. ``before`` is the verification that came first, None when none was needed; ``reply``
    the agent's answer, None when it was not asked or gave none; ``seconds`` the time of its work as seen from
    here. ``findings`` decide the status: no refusing one, no failure."""

    verdict: LiveVerdict
    status: ExitStatus
    pid: int
    windows_pid: int
    id: str
    product: str
    sequence: int
    before: Verification | None
    modules: tuple[LiveModule, ...]
    reply: Reply | None
    seconds: float
    findings: tuple[Finding, ...]

    @property
    def done(self) -> bool:
        """True when the process is as was asked for."""
        return self.status is ExitStatus.YES
