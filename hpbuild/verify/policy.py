"""The trust policy: whose signatures count, how many are needed, what the verifier may accept."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hpbuild.codes.verify import POLICY_CONTRADICTS, POLICY_THRESHOLD
from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import PublicKey, spki_sha256
from hpbuild.verify.states import Tier

MIB = 1024 * 1024


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
class Policy:
    """What the verifier accepts.

    ``trusted`` are public keys; ``threshold`` is how many different ones of them, told apart by the SHA-256
    of their SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7), must have signed. ``lowest_tier`` is
    the weakest identity of the installed file that is accepted. ``allow_unsigned`` waives the signatures
    and is only legal without trusted keys, so that it can never weaken a policy that names somebody.

    Raises HpbuildError POLICY_THRESHOLD, POLICY_CONTRADICTS.
    """

    trusted: tuple[PublicKey, ...] = ()
    threshold: int = 1
    lowest_tier: Tier = Tier.AUTHENTICODE
    allow_unsigned: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        distinct = len(self.trusted_spki)
        if self.threshold < 1 or (self.trusted and self.threshold > distinct):
            cause = f"the threshold is {self.threshold}, the policy has {distinct} different keys"
            raise HpbuildError(POLICY_THRESHOLD, "policy", cause)
        if self.allow_unsigned and self.trusted:
            cause = "unsigned packages are allowed, yet trusted keys are named"
            raise HpbuildError(POLICY_CONTRADICTS, "policy", cause)

    @property
    def trusted_spki(self) -> frozenset[str]:
        """SHA-256 of every trusted key's SPKI, lower-case hex: the identity that votes are counted by."""
        return frozenset(spki_sha256(key) for key in self.trusted)


def policy_from_keys(
    keys: Iterable[PublicKey], threshold: int = 1, lowest_tier: Tier = Tier.AUTHENTICODE
) -> Policy:
    """Policy that trusts exactly ``keys``. Raises HpbuildError as ``Policy`` does."""
    return Policy(trusted=tuple(keys), threshold=threshold, lowest_tier=lowest_tier)
