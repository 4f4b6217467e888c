"""Whether the certificates of a signature are those of an identity of the policy, and why not."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from hpbuild.codes import certificates as chain_codes
from hpbuild.codes import policy as codes
from hpbuild.errors import Finding, HpbuildError
from hpbuild.sign.algorithms import PublicKey, spki_sha256
from hpbuild.verify.policy import Policy
from hpbuild.verify.roles import Identity

if TYPE_CHECKING:
    from hpbuild.sign.certificates import Certificate


class Chains:
    """Whether one signature's certificates are those of identities; builds a chain once for each set of
    authorities."""

    def __init__(
        self, certificates: "Sequence[Certificate]", policy: Policy, at: datetime, now: datetime, place: str
    ) -> None:
        self.certificates = certificates
        self.at = at
        self.policy = policy
        self.now = now
        self.place = place
        self.known: dict[tuple[str, ...], Finding | None] = {}

    def failure(self, identity: Identity) -> Finding | None:
        """Why the certificates are not those of ``identity``; None when they are."""
        authorities = tuple(item.sha256 for item in identity.authorities)
        if authorities not in self.known:
            self.known[authorities] = self._chain_failure(identity.authorities)
        if (failure := self.known[authorities]) is not None:
            return failure
        from hpbuild.verify.subjects import subject_defect  # few packages have certificates

        leaf = self.certificates[0]
        if defect := subject_defect(identity.subject, leaf):
            return Finding(codes.NO_IDENTITY, self.place, f"{leaf.subject[:200]}: {defect}")
        return None

    def _chain_failure(self, authorities: "Sequence[Certificate]") -> Finding | None:
        from hpbuild.sign.chains import Purpose, build_chain

        leaf, *others = self.certificates
        try:
            build_chain(
                leaf,
                others,
                authorities,
                at=self.at,
                purpose=Purpose.CODE_SIGNING,
                revocations=self.policy.revocations,
                now=self.now,
                accept_outdated=self.policy.outdated_lists,
            )
        except HpbuildError as error:
            return Finding(error.code, f"{self.place}: {error.finding.place}", error.finding.cause)
        return None


def vagueness(failure: Finding) -> int:
    """What is wrong with a chain says more than that it is another's, and that more than no chain at all."""
    if failure.code in (chain_codes.UNTRUSTED, chain_codes.SELF_SIGNED):
        return 2
    return 1 if failure.code is codes.NO_IDENTITY else 0


def public_of(certificate: "Certificate") -> PublicKey | None:
    """The key in a certificate; None for a kind that hpbuild does not use."""
    from hpbuild.sign.certificates import certificate_key

    try:
        return certificate_key(certificate)
    except HpbuildError:
        return None


def spki_of(certificate: "Certificate") -> str:
    """SPKI SHA-256 of a certificate's key; '' for a kind that hpbuild does not use."""
    public = public_of(certificate)
    return spki_sha256(public) if public is not None else ""
