"""Certificate revocation lists (RFC 5280, section 5): complete lists of the authority that issued.

Lists come with the policy, never from the net. A list that is not understood in full is refused: one that
covers a part only would make the rest look good.
"""

import warnings
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hpbuild.codes import certificates as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.sign.base64_forms import pem_blocks, pem_body
from hpbuild.sign.certificates import PARSE_ERRORS, Certificate, parse_cause
from hpbuild.sign.strength import strong_signature

MAX_LIST = 4 << 20
MAX_ENTRIES = 50_000
MAX_LISTS = 64

_LIST_EXTENSIONS = (x509.CRLNumber, x509.AuthorityKeyIdentifier, x509.IssuerAlternativeName)
_COMPROMISE = (
    x509.ReasonFlags.key_compromise,
    x509.ReasonFlags.ca_compromise,
    x509.ReasonFlags.aa_compromise,
)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A complete list: parsed, and its DER bytes. Its signature is checked against the issuer in a chain."""

    raw: x509.CertificateRevocationList = field(repr=False)
    der: bytes = field(repr=False)
    issuer: str
    this_update: datetime
    next_update: datetime | None


@dataclass(frozen=True, slots=True)
class Revocation:
    """What a list says about one certificate. ``time`` is the earlier of revocation and invalidity date."""

    time: datetime
    reason: str
    always: bool
    """True when the key is known to have been in other hands: then no signature by it counts, of any time."""


def load_list(der: bytes, place: str) -> RevocationList:
    """The revocation list in the DER bytes ``der``; refuses with HP5332."""
    if len(der) > MAX_LIST:
        raise HpbuildError(codes.BAD_REVOCATION_LIST, place, f"{len(der)} bytes, at most {MAX_LIST} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            raw = x509.load_der_x509_crl(der)
            unknown = [
                item.oid.dotted_string
                for item in raw.extensions
                if not isinstance(item.value, _LIST_EXTENSIONS)
                and (
                    item.critical
                    or isinstance(item.value, x509.DeltaCRLIndicator | x509.IssuingDistributionPoint)
                )
            ]
            loaded = RevocationList(
                raw, der, raw.issuer.rfc4514_string(), raw.last_update_utc, raw.next_update_utc
            )
            entries = len(raw)
            canonical = raw.public_bytes(Encoding.DER) == der and der.endswith(b"\0" + raw.signature)
    except PARSE_ERRORS as error:
        raise HpbuildError(codes.BAD_REVOCATION_LIST, place, parse_cause(error)) from None
    if unknown:
        raise HpbuildError(codes.BAD_REVOCATION_LIST, place, f"extension {unknown[0]} limits what it covers")
    if entries > MAX_ENTRIES or not canonical:
        raise HpbuildError(codes.BAD_REVOCATION_LIST, place, f"{entries} entries, or not in DER form")
    return loaded


def load_lists_pem(data: bytes, place: str) -> tuple[RevocationList, ...]:
    """The lists in the PEM text ``data``, at least one; refuses with HP5332."""
    blocks = pem_blocks(data, "X509 CRL")
    if not 0 < len(blocks) <= MAX_LISTS:
        raise HpbuildError(codes.BAD_REVOCATION_LIST, place, f"{len(blocks)} lists in PEM form")
    try:
        ders = [pem_body(block) for block in blocks]
    except ValueError:
        raise HpbuildError(codes.BAD_REVOCATION_LIST, place, "not base64 between the PEM lines") from None
    return tuple(load_list(der, place) for der in ders)


def find_revocation(
    certificate: Certificate,
    issuer: Certificate,
    lists: Sequence[RevocationList],
    *,
    now: datetime,
    accept_outdated: bool = False,
) -> Revocation | None:
    """What the lists of ``issuer`` say about ``certificate``; the earliest statement when there are several.

    ``now`` is when the lists are judged. Raises HP5333 (a list in the issuer's name that the issuer did not
    sign), HP5334 (outdated, or from the future, at ``now``; not with ``accept_outdated``), HP5332.
    """
    found: list[Revocation] = []
    for item in lists:
        if item.raw.issuer != issuer.raw.subject:
            continue
        if _of_another_key(item, issuer) and not _signed_by(item, issuer):
            continue
        _check_signed(item, issuer)
        current = item.this_update <= now and item.next_update is not None and now <= item.next_update
        if not current and not accept_outdated:
            until = item.next_update.isoformat() if item.next_update else "(no next update)"
            raise HpbuildError(
                codes.LIST_OUTDATED,
                item.issuer[:200],
                f"the list is of {item.this_update.isoformat()} to {until}, judged at {now.isoformat()}",
            )
        if (entry := item.raw.get_revoked_certificate_by_serial_number(certificate.serial)) is not None:
            found.append(_revocation(entry, item))
    return min(found, key=lambda one: (not one.always, one.time), default=None)


def _check_signed(item: RevocationList, issuer: Certificate) -> None:
    place = item.issuer[:200]
    try:
        usage = issuer.raw.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is not None and not usage.crl_sign:
        raise HpbuildError(codes.LIST_NOT_BY_ISSUER, place, "its key usage does not allow signing lists")
    if not strong_signature(item.raw):
        raise HpbuildError(codes.BAD_REVOCATION_LIST, place, "the list is signed with a weak algorithm")
    if not _signed_by(item, issuer):
        raise HpbuildError(
            codes.LIST_NOT_BY_ISSUER, place, "the signature of the list is not by the issuer's key"
        )


def _signed_by(item: RevocationList, issuer: Certificate) -> bool:
    try:
        return item.raw.is_signature_valid(issuer.raw.public_key())  # type: ignore[arg-type]
    except PARSE_ERRORS:
        return False


def _of_another_key(item: RevocationList, issuer: Certificate) -> bool:
    """True when both name a key and the names differ: an authority that changed its key has two lists. One
    key may have two names, in two certificates of the authority, of which the signer chooses one."""
    try:
        named = item.raw.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        own = issuer.raw.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return False
    return named is not None and named != own


def _revocation(entry: x509.RevokedCertificate, item: RevocationList) -> Revocation:
    try:
        time, reason = entry.revocation_date_utc, x509.ReasonFlags.unspecified
        for extension in entry.extensions:
            if isinstance(extension.value, x509.CRLReason):
                reason = extension.value.reason
            elif isinstance(extension.value, x509.InvalidityDate):
                time = min(time, extension.value.invalidity_date_utc)
            elif extension.critical:
                raise HpbuildError(
                    codes.BAD_REVOCATION_LIST, item.issuer[:200], "an entry with a critical extension"
                )
    except PARSE_ERRORS as error:
        raise HpbuildError(codes.BAD_REVOCATION_LIST, item.issuer[:200], str(error)[:200]) from None
    return Revocation(time, reason.value, reason in _COMPROMISE)
