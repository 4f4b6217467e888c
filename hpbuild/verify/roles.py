"""Whose signatures count: roles of a trust policy, their keys and their certificate identities. Values."""

from typing import TYPE_CHECKING

from hpbuild.codes.verify import POLICY_THRESHOLD
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import PublicKey, spki_sha256

if TYPE_CHECKING:
    from hpbuild.sign.certificates import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRule:
    """What the subject of a certificate has to say (RFC 5280, sections 4.1.2.6 and 4.2.1.6). Every entry that
    is not empty is needed. The attribute occurs exactly once in the subject, with exactly this value; of
    ``emails`` and of ``uris``, which are alternative names, one has to be there when any is listed."""

    common_name: str = ""
    organization: str = ""
    organizational_unit: str = ""
    country: str = ""
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Holders of certificates that count: their chains end at one of ``authorities``, and the leaf meets
    ``subject``."""

    name: str
    authorities: "tuple[Certificate, ...]"
    subject: SubjectRule


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A public key and what the policy calls it."""

    name: str
    public: PublicKey

    @property
    def spki_sha256(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, lower-case hex: what votes are counted by."""
        return spki_sha256(self.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """``threshold`` different keys have to sign for the role to be met. Raises HpbuildError POLICY_THRESHOLD
    when that cannot be: below one, or above the number of keys where there are no identities."""

    name: str
    threshold: int
    keys: tuple[TrustedKey, ...] = ()
    identities: tuple[Identity, ...] = ()

    def __post_init__(self) -> None:
        distinct = len({key.spki_sha256 for key in self.keys})
        if self.threshold < 1 or (self.threshold > distinct and not self.identities):
            cause = f"the threshold is {self.threshold}, the role has {distinct} different keys"
            raise HpbuildError(POLICY_THRESHOLD, f"policy: role {self.name}", cause)
