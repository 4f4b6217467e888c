"""Certification paths: from a signer's certificate to an authority that the policy names.

A strict subset of RFC 5280, section 6.1: no policies, no name constraints (both refused when they bind), no
look-ups. An authority is trusted because the policy names it: its own signature and its place under another
authority do not matter, its validity and what it may do matter.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from hpbuild.codes import certificates as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, HpbuildError
from hpbuild.sign.certificates import PARSE_ERRORS, VERIFY_ERRORS, Certificate
from hpbuild.sign.revocation import RevocationList, find_revocation
from hpbuild.sign.strength import strong_signature, weakness

MAX_BELOW_ROOT = 4
"""Certificates below the authority, the signer's included."""
MAX_SIGNATURE_CHECKS = 64
"""Certificates of one name and many keys must not cost a verifier more than this."""
_UNDERSTOOD = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
    x509.CertificatePolicies,
)
_BINDING = (x509.NameConstraints, x509.PolicyConstraints)
"""Refused whether critical or not: RFC 5280 wants them critical, and a verifier must not skip them."""


_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


class Purpose(StrEnum):
    """What a chain is to prove."""

    CODE_SIGNING = "code signing"
    TIME_STAMPING = "time stamping"


_USAGES = {
    Purpose.CODE_SIGNING: ExtendedKeyUsageOID.CODE_SIGNING,
    Purpose.TIME_STAMPING: ExtendedKeyUsageOID.TIME_STAMPING,
}


@dataclass(frozen=True, slots=True)
class Chain:
    """A valid path: the signer's certificate first, the authority of the policy last."""

    certificates: tuple[Certificate, ...]

    @property
    def leaf(self) -> Certificate:
        """The signer's certificate."""
        return self.certificates[0]

    @property
    def root(self) -> Certificate:
        """The authority that the policy names."""
        return self.certificates[-1]


def build_chain(
    leaf: Certificate,
    intermediates: Sequence[Certificate],
    roots: Sequence[Certificate],
    *,
    at: datetime,
    purpose: Purpose,
    revocations: Sequence[RevocationList] = (),
    now: datetime | None = None,
    accept_outdated: bool = False,
) -> Chain:
    """The path from ``leaf`` to one of ``roots`` that is valid at the time ``at`` for ``purpose``.

    ``at`` is when the signature was made (time zone aware); ``now`` (default: ``at``) is when the revocation
    lists are judged. A certificate revoked after ``at`` was good at ``at``, unless its key was compromised.
    An authority without a list in ``revocations`` has revoked nothing. Raises HP5311 to HP5334; when several
    paths fail, the failure of the first.
    """
    search = _Search(intermediates, roots)
    first: HpbuildError | None = None
    for path in search.paths((leaf,)):
        try:
            _check_path(path, at, purpose)
            _check_revocations(path, at, revocations, now or at, accept_outdated)
        except HpbuildError as error:
            first = first or error
        else:
            return Chain(path)
    raise first or search.failure(leaf)


class _Search:
    """Paths of valid signatures; remembers why it could not go on. One use."""

    def __init__(self, intermediates: Sequence[Certificate], roots: Sequence[Certificate]) -> None:
        self.intermediates = intermediates
        self.roots = roots
        self.checks = 0
        self.failures: dict[Code, tuple[str, str]] = {}

    def paths(self, path: tuple[Certificate, ...]) -> Iterator[tuple[Certificate, ...]]:
        last = path[-1]
        for root in self.roots:
            if root.der not in {item.der for item in path} and self._issued(last, root):
                yield (*path, root)
        for item in self.intermediates:
            if item.der in {one.der for one in path} or item.raw.subject != last.raw.issuer:
                continue
            if len(path) == MAX_BELOW_ROOT:
                self._fail(codes.CHAIN_TOO_LONG, last, f"more than {MAX_BELOW_ROOT} below the authority")
            elif self._issued(last, item):
                yield from self.paths((*path, item))

    def failure(self, leaf: Certificate) -> HpbuildError:
        """The reason that says most: what was wrong with a step comes before that there was none."""
        order = (
            codes.CHAIN_TOO_LONG,
            codes.WEAK_CERTIFICATE_SIGNATURE,
            codes.WEAK_CERTIFICATE_KEY,
            codes.BAD_CERTIFICATE_SIGNATURE,
        )
        for code in order:
            if code in self.failures:
                return HpbuildError(code, *self.failures[code])
        if leaf.self_issued:
            return HpbuildError(codes.SELF_SIGNED, _place(leaf), "its issuer is its own subject")
        return HpbuildError(
            codes.UNTRUSTED, _place(leaf), f"no trusted authority; issuer {leaf.issuer[:200]}"
        )

    def _fail(self, code: Code, certificate: Certificate, cause: str) -> None:
        self.failures.setdefault(code, (_place(certificate), cause))

    def _issued(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Name and signature fit (RFC 5280, section 6.1.3, a1 and a4)."""
        if certificate.raw.issuer != issuer.raw.subject:
            return False
        if not strong_signature(certificate.raw):
            oid = certificate.raw.signature_algorithm_oid
            self._fail(codes.WEAK_CERTIFICATE_SIGNATURE, certificate, f"algorithm {oid.dotted_string}")
            return False
        self.checks += 1
        if self.checks > MAX_SIGNATURE_CHECKS:
            cause = f"more than {MAX_SIGNATURE_CHECKS} possible steps"
            raise HpbuildError(codes.CHAIN_TOO_LONG, _place(certificate), cause)
        if cause := _key_weakness(issuer):
            self._fail(codes.WEAK_CERTIFICATE_KEY, issuer, cause)
            return False
        try:
            certificate.raw.verify_directly_issued_by(issuer.raw)
        except VERIFY_ERRORS:
            self._fail(
                codes.BAD_CERTIFICATE_SIGNATURE, certificate, f"not by the key of {issuer.subject[:200]}"
            )
            return False
        return True


def _check_path(path: Sequence[Certificate], at: datetime, purpose: Purpose) -> None:
    leaf, *authorities = path
    _check_leaf(leaf, purpose)
    below = 0
    for index, authority in enumerate(authorities):
        _check_authority(authority, below, purpose, root=index == len(authorities) - 1)
        below += 0 if authority.self_issued else 1
    for certificate in path:
        if cause := _key_weakness(certificate):
            raise HpbuildError(codes.WEAK_CERTIFICATE_KEY, _place(certificate), cause)
        _check_understood(certificate)
        span = f"valid {certificate.not_before.isoformat()} to {certificate.not_after.isoformat()}"
        if at < certificate.not_before:
            raise HpbuildError(
                codes.NOT_YET_VALID, _place(certificate), f"{span}, judged at {at.isoformat()}"
            )
        if at > certificate.not_after:
            raise HpbuildError(codes.EXPIRED, _place(certificate), f"{span}, judged at {at.isoformat()}")


def _check_leaf(leaf: Certificate, purpose: Purpose) -> None:
    """Extended key usage and key usage (RFC 5280, sections 4.2.1.3 and 4.2.1.12; RFC 3161, section 2.3)."""
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise HpbuildError(codes.WRONG_PURPOSE, _place(leaf), "it is the certificate of an authority")
    usages = _extension(leaf, x509.ExtendedKeyUsage)
    if usages is None or _USAGES[purpose] not in usages.value:
        raise HpbuildError(codes.WRONG_PURPOSE, _place(leaf), f"its extended key usage lacks {purpose}")
    if purpose is Purpose.TIME_STAMPING and (len(list(usages.value)) != 1 or not usages.critical):
        cause = "the extended key usage time stamping is not critical, or not alone"
        raise HpbuildError(codes.WRONG_PURPOSE, _place(leaf), cause)
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None and purpose is Purpose.CODE_SIGNING:
        raise HpbuildError(codes.WRONG_PURPOSE, _place(leaf), "it has no key usage")
    if usage is not None and not usage.value.digital_signature:
        raise HpbuildError(codes.WRONG_PURPOSE, _place(leaf), "its key usage lacks digital signature")


def _check_authority(certificate: Certificate, below: int, purpose: Purpose, *, root: bool) -> None:
    """CA flag, path length and key usage; ``below`` counts the authorities under it, self-issued ones not."""
    place = _place(certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.value.ca:
        raise HpbuildError(codes.NOT_AN_AUTHORITY, place, "its basic constraints do not make it an authority")
    length = constraints.value.path_length
    if length is not None and below > length:
        raise HpbuildError(codes.NOT_AN_AUTHORITY, place, f"{below} authorities below, it allows {length}")
    usage = _extension(certificate, x509.KeyUsage)
    # RFC 5280 demands a key usage of every authority; roots made before it, and by openssl, have none.
    if (usage is None and not root) or (usage is not None and not usage.value.key_cert_sign):
        raise HpbuildError(codes.NOT_AN_AUTHORITY, place, "its key usage does not allow signing certificates")
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    allowed = (_USAGES[purpose], ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    if usages is not None and not any(item in usages.value for item in allowed):
        raise HpbuildError(codes.NOT_AN_AUTHORITY, place, f"its extended key usage does not allow {purpose}")


def _check_understood(certificate: Certificate) -> None:
    for item in certificate.raw.extensions:
        if isinstance(item.value, _BINDING) or (item.critical and not isinstance(item.value, _UNDERSTOOD)):
            cause = f"extension {item.oid.dotted_string}"
            raise HpbuildError(codes.UNSUPPORTED_CONSTRAINT, _place(certificate), cause)


def _check_revocations(
    path: Sequence[Certificate],
    at: datetime,
    lists: Sequence[RevocationList],
    now: datetime,
    accept_outdated: bool,
) -> None:
    for certificate, issuer in pairwise(path):
        found = find_revocation(certificate, issuer, lists, now=now, accept_outdated=accept_outdated)
        if found is not None and (found.always or found.time <= at):
            cause = f"revoked at {found.time.isoformat()}, reason {found.reason}; signed at {at.isoformat()}"
            raise HpbuildError(codes.REVOKED, _place(certificate), cause)


def _key_weakness(certificate: Certificate) -> str:
    try:
        return weakness(certificate.raw.public_key())
    except PARSE_ERRORS:
        return "a key of an unknown kind"


def _extension(certificate: Certificate, kind: type[_Kind]) -> x509.Extension[_Kind] | None:
    try:
        return certificate.raw.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _place(certificate: Certificate) -> str:
    return f"certificate {certificate.subject[:200] or certificate.sha256}"
