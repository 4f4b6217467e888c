"""What goes into a verification and what comes out. Values only."""

from datetime import datetime
from pathlib import Path

from hpbuild.bundle.statement import Reverts
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, Finding
from hpbuild.manifest.model import Manifest
from hpbuild.values import Interval
from hpbuild.verify import checks
from hpbuild.verify.checks import Check, CheckResult
from hpbuild.verify.line import AcceptedLines
from hpbuild.verify.policy import Policy
from hpbuild.verify.states import Authenticity, ModuleState, Tier, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """``bundle`` is the whole file, ``name`` what to call it in messages. To compare with: ``installed``, a
    file or directory tree; ``pid``, a running process (Linux process id); ``dump``, a minidump; one of them
    at most, none for the package alone. ``now`` is the time, with its zone, at which everything is judged,
    None for the clock's. ``accepted`` is what was accepted of product lines before, None when nobody keeps
    that. ValueError when there is more than one thing to compare with, or ``now`` has no zone."""

    bundle: bytes
    name: str
    policy: Policy
    installed: Path | None = None
    pid: int | None = None
    dump: Path | None = None
    now: datetime | None = None
    accepted: AcceptedLines | None = None

    def __post_init__(self) -> None:
        if self.now is not None and self.now.tzinfo is None:
            raise ValueError("the time has no zone")
        if sum(item is not None for item in (self.installed, self.pid, self.dump)) > 1:
            raise ValueError("a package is compared with one thing at a time")

    @property
    def compares(self) -> bool:
        """True when there is something to compare the package with."""
        return not (self.installed is None and self.pid is None and self.dump is None)

    @property
    def asked(self) -> frozenset[Check]:
        """The optional checks that policy or arguments ask for."""
        policy = self.policy
        wanted = (
            (checks.LINE, policy.state_required or self.accepted is not None),
            (checks.ATTACHMENTS, bool(policy.required_attachments)),
            (checks.PUBLISHER, policy.publisher is not None),
            (checks.POLICY, policy.has_rules),
        )
        return frozenset(check for check, asked in wanted if asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One signature of the envelope.

    ``spki_sha256`` is lower-case hex and ``algorithm`` the key's, both '' when neither a key of the policy
    nor that of the signature's own certificate verifies it. ``key_hint`` is what the envelope calls the key,
    unverified. ``outcome`` is 'verified', 'bad' or 'unknown-key' (nobody knows who made it). ``trusted``: it
    has a vote; then ``role`` is where it counts and ``name`` the policy's name of the key or identity, else
    ``reason`` says why it has none. ``certificate`` is the subject of the signature's certificate, whoever
    made that, '' for none. ``signing_time`` and ``timestamp_authority`` are of the earliest time stamp that
    the policy trusts; ``remarks`` say what is wrong with those that it does not.
    """

    spki_sha256: str
    algorithm: str
    key_hint: str
    outcome: str
    trusted: bool
    role: str = ""
    name: str = ""
    certificate: str = ""
    signing_time: datetime | None = None
    timestamp_authority: str = ""
    reason: Finding | None = None
    remarks: tuple[Finding, ...] = ()


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
    then the file behind it, if known. ``sha256`` is the digest of the installed file that was read and
    compared, lower-case hex, '' when none was."""

    path: str
    installed: Path | None
    state: ModuleState | None
    tier: Tier | None
    findings: tuple[Finding, ...]
    memory: InMemory | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The whole result.

    Everything from the bundle is attacker-controlled text when the signatures are not trusted, and is given
    as read: renderers escape it. When the statement could not be read, ``id``, ``product``, ``expiry`` and
    ``advisories`` are empty and ``sequence`` is 0; ``manifest`` is None when it could not be decoded.
    ``findings`` are those of the verdict itself. ``statement_sha256`` is the identity of the package, which
    countersigning does not change ('' when the container could not be read); ``policy_sha256`` the digest of
    the policy file ('' when the policy is not from a file); ``time`` when everything was judged; ``reverts``
    what a revert package takes back.
    """

    name: str
    sha256: str
    statement_sha256: str
    policy_sha256: str
    time: datetime
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
    supersedes: tuple[str, ...] = ()
    reverts: Reverts | None = None

    @property
    def carried_id(self) -> str:
        """Id of the package whose code this one carries: that of a revert package is not its own."""
        return self.id if self.reverts is None else self.reverts.id

    @property
    def carried_sequence(self) -> int:
        """Sequence of the package whose code this one carries."""
        return self.sequence if self.reverts is None else self.reverts.sequence
