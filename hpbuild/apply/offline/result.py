"""What goes into applying and reverting offline and what comes out. Values only."""

from pathlib import Path

from hpbuild.apply.offline.copy import PatchedCopy
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, Finding
from hpbuild.values import Digest
from hpbuild.verify import Policy, Verification
from hpbuild.verify.line import AcceptedLines


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineRequest:
    """``bundle`` is the whole package, ``name`` what to call it in messages. ``installed`` is the file to be
    read, or the tree of files under their module paths; ``output`` the file or the tree to be written.
    ``accepted`` is what was accepted of product lines before, None when nobody keeps that. ``signed_revert``:
    taking a package out needs a revert package."""

    bundle: bytes
    name: str
    installed: Path
    output: Path
    policy: Policy
    accepted: AcceptedLines | None = None
    signed_revert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenModule:
    """One module: the file that was read and the one that was written, each with its SHA-256 and size in
    bytes. ``copy`` tells what was added (its ``data`` is empty), None after a revert; ``tier`` is the
    identity of the baseline that was found, before an apply or after a revert."""

    path: str
    installed: Path
    output: Path
    before: Digest
    before_size: int
    after: Digest
    after_size: int
    tier: str
    copy: PatchedCopy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineResult:
    """``modules`` is empty when the verifier did not say yes; then ``status`` is its exit status and nothing
    was written. ``findings``: those of the verification, then warnings about what was written."""

    verification: Verification
    status: ExitStatus
    modules: tuple[WrittenModule, ...]
    findings: tuple[Finding, ...]

    @property
    def done(self) -> bool:
        """True when all modules were written."""
        return self.status is ExitStatus.YES
