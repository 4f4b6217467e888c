"""What goes into a verification and what comes out. Values only."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hpbuild.errors import ExitStatus, Finding
from hpbuild.manifest.model import Manifest
from hpbuild.values import Interval
from hpbuild.verify.checks import CheckResult
from hpbuild.verify.policy import Policy
from hpbuild.verify.states import Authenticity, ModuleState, Tier, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """``bundle`` is the whole file, ``name`` what to call it in messages. To compare with: ``installed``, a
    file or directory tree; ``pid``, a running process (Linux process id); ``dump``, a minidump; one of them
    at most, none for the package alone. ``now`` is the time, with its zone, at which expiry is judged, None
    for the clock's. ValueError when there is more than one thing to compare with."""

    bundle: bytes
    name: str
    policy: Policy
    installed: Path | None = None
    pid: int | None = None
    dump: Path | None = None
    now: datetime | None = None

    def __post_init__(self) -> None:
        if sum(item is not None for item in (self.installed, self.pid, self.dump)) > 1:
            raise ValueError("a package is compared with one thing at a time")

    @property
    def compares(self) -> bool:
        """True when there is something to compare the package with."""
        return not (self.installed is None and self.pid is None and self.dump is None)


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
class InMemory:
    """Where a module was found in a process, and what of it could not be compared.

    ``source`` names the process or dump; ``path`` is the module's, as the process says; ``base`` where it
    lies and ``moved`` how far above its preferred base. ``file`` is the file behind it here, if known, and
    ``file_tier`` the identity of the baseline that this file has. ``unknown`` are the RVAs in sections that
    are not writable which the loader or the program's start-up wrote, ``writable`` the number of bytes in
    writable sections: neither was compared. ``block`` are the addresses at which the package's code lies,
    when it is there."""

    source: str
    path: str
    base: int
    moved: int
    file: Path | None
    file_tier: Tier | None
    unknown: tuple[Interval, ...]
    writable: int
    block: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleResult:
    """One module of the package. ``state`` and ``installed`` are None when it was compared with nothing;
    ``tier`` is the tier of the baseline's identity that was reached. ``findings`` are those of its checks,
    in their order. ``memory`` is set when the module was looked at in a process or dump; ``installed`` is
    then the file behind it, if known."""

    path: str
    installed: Path | None
    state: ModuleState | None
    tier: Tier | None
    findings: tuple[Finding, ...]
    memory: InMemory | None = None


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
