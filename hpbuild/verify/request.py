"""What goes into a verification and what comes out. Values only."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hpbuild.errors import ExitStatus, Finding
from hpbuild.manifest.model import Manifest
from hpbuild.verify.checks import CheckResult
from hpbuild.verify.policy import Policy
from hpbuild.verify.states import Authenticity, ModuleState, Tier, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """``bundle`` is the whole file, ``name`` what to call it in messages; ``installed`` the file or
    directory tree to compare with, None for the package alone; ``now`` is the time, with its zone, at which
    expiry is judged, None for the clock's."""

    bundle: bytes
    name: str
    policy: Policy
    installed: Path | None = None
    now: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One signature of the envelope. ``spki_sha256`` is lower-case hex, '' when no trusted key made it;
    ``algorithm`` likewise; ``key_hint`` is what the envelope calls the key, unverified; ``outcome`` is
    'verified', 'bad', or 'unknown-key'. Only ``trusted`` signatures count, once per key."""

    spki_sha256: str
    algorithm: str
    key_hint: str
    outcome: str
    trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleResult:
    """One module of the package. ``state`` and ``installed`` are None when it was compared with nothing;
    ``tier`` is the tier of the baseline's identity that was reached. ``findings`` are those of its checks,
    in their order."""

    path: str
    installed: Path | None
    state: ModuleState | None
    tier: Tier | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The whole result.

    Everything from the bundle is attacker-controlled text when the signatures are not trusted, and is given
    as read: renderers escape it. When the statement could not be read, ``id``, ``product``, ``expiry`` and
    ``advisories`` are empty and ``sequence`` is 0; ``manifest`` is None when it could not be decoded.
    ``findings`` are those of the verdict itself.
    """

    name: str
    sha256: str
    verdict: Verdict
    exit: ExitStatus
    authenticity: Authenticity
    threshold: int
    lowest_tier: Tier
    checks: tuple[CheckResult, ...]
    modules: tuple[ModuleResult, ...]
    signers: tuple[Signer, ...]
    id: str
    product: str
    sequence: int
    advisories: tuple[str, ...]
    expiry: str
    manifest: Manifest | None
    findings: tuple[Finding, ...]
