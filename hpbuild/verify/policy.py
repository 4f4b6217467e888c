"""The trust policy: whose signatures count, how many are needed, what the verifier may accept."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hpbuild.codes.verify import POLICY_CONTRADICTS
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import Algorithm, PublicKey
from hpbuild.verify.roles import Role, SubjectRule, TrustedKey
from hpbuild.verify.states import Tier

if TYPE_CHECKING:
    from hpbuild.sign.certificates import Certificate
    from hpbuild.sign.revocation import RevocationList

MIB = 1024 * 1024
DEFAULT_SEQUENCE_JUMP = 1000
ONLY_ROLE = "signers"
"""Name of the role of a policy that is nothing but a list of keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds of one verification. Sizes in bytes; counts are totals over the whole package.

    ``compared_bytes`` sums the ranges of functions and references, which may overlap. They bound the
    verifier's own work; the readers of containers, JSON and images have bounds of their own.
    """

    bundle_size: int = 1024 * MIB
    installed_size: int = 2048 * MIB
    modules: int = 4096
    functions: int = 1_000_000
    redirections: int = 1_000_000
    references: int = 4_000_000
    patch_bytes: int = 512 * MIB
    compared_bytes: int = 4096 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedKey:
    """A key that no longer counts, lower-case hex. ``since`` None: it never did. What it signed before
    ``since`` counts still when a trusted time stamp says that it was before."""

    spki_sha256: str
    since: datetime | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedBundle:
    """A package that is not accepted: by its id, or by the SHA-256 of its statement, lower-case hex."""

    package: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A refusal with the code ``code`` (``HPnnnn``) is accepted for the package ``package`` (its id) until
    ``expires``, for ``reason``, by the word of ``by``."""

    code: str
    package: str
    reason: str
    by: str
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherRule:
    """Who has to have signed the installed file (Authenticode): a chain to one of ``authorities``, and a leaf
    whose subject meets ``subject``."""

    authorities: "tuple[Certificate, ...]"
    subject: SubjectRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the verifier accepts.

    Every role of ``roles`` has to be met by keys of its own, told apart by the SHA-256 of their
    SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7). With ``hybrid`` a role is met when its threshold is
    reached twice: by classical keys and by post-quantum ones. ``algorithms`` are those that count at all.
    ``timestamp_authorities`` are roots of time stamps (RFC 3161); with ``timestamps_required`` no signature
    counts without one. ``revocations`` are lists of revoked certificates (RFC 5280, section 5), refused when
    outdated unless ``outdated_lists``. ``lowest_tier`` is the weakest identity of the installed file that is
    accepted. ``products`` are the product lines that may be patched, any when empty; ``max_age`` bounds the
    age since building or the earliest trusted signing. ``state_required`` and ``max_sequence_jump`` are about
    the state of release lines, ``required_attachments`` are of 'provenance', 'sbom' and 'vex'. ``sha256`` is
    the digest of the file that the policy was read from, '' for none.

    ``allow_unsigned`` waives the signatures and is only legal without roles, so that it can never weaken a
    policy that names somebody. Raises HpbuildError POLICY_CONTRADICTS.
    """

    name: str = ""
    roles: tuple[Role, ...] = ()
    lowest_tier: Tier = Tier.AUTHENTICODE
    allow_unsigned: bool = False
    hybrid: bool = False
    algorithms: frozenset[Algorithm] = frozenset(Algorithm)
    timestamp_authorities: "tuple[Certificate, ...]" = ()
    timestamps_required: bool = False
    revocations: "tuple[RevocationList, ...]" = ()
    outdated_lists: bool = False
    revoked_keys: tuple[RevokedKey, ...] = ()
    revoked_bundles: tuple[RevokedBundle, ...] = ()
    products: tuple[str, ...] = ()
    max_age: timedelta | None = None
    expiry_required: bool = False
    state_required: bool = False
    max_sequence_jump: int = DEFAULT_SEQUENCE_JUMP
    required_attachments: frozenset[str] = frozenset()
    publisher: PublisherRule | None = None
    overrides: tuple[Override, ...] = ()
    limits: Limits = field(default_factory=Limits)
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.allow_unsigned and self.roles:
            cause = "unsigned packages are allowed, yet trusted keys are named"
            raise HpbuildError(POLICY_CONTRADICTS, "policy", cause)

    @property
    def threshold(self) -> int:
        """How many votes all roles together need."""
        return sum(role.threshold for role in self.roles) * (2 if self.hybrid else 1)

    @property
    def trusted_keys(self) -> tuple[TrustedKey, ...]:
        """The keys of all roles."""
        return tuple(key for role in self.roles for key in role.keys)

    @property
    def trusted_spki(self) -> frozenset[str]:
        """SHA-256 of every trusted key's SPKI, lower-case hex: the identity that votes are counted by."""
        return frozenset(key.spki_sha256 for key in self.trusted_keys)

    @property
    def has_rules(self) -> bool:
        """True when the policy says something about the package beyond its signatures (check V19)."""
        named = self.products or self.revoked_bundles or self.overrides
        return bool(named) or self.max_age is not None or self.expiry_required


def policy_from_keys(
    keys: Iterable[PublicKey], threshold: int = 1, lowest_tier: Tier = Tier.AUTHENTICODE
) -> Policy:
    """Policy that trusts exactly ``keys``. Raises HpbuildError as ``Role`` does."""
    trusted = tuple(TrustedKey(name=f"key {index}", public=key) for index, key in enumerate(keys, 1))
    return Policy(roles=(Role(name=ONLY_ROLE, threshold=threshold, keys=trusted),), lowest_tier=lowest_tier)
