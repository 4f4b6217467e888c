"""Signatures of a package in the forms of other tools: which one, and with which certificates."""

from hpbuild.bundle.reader import Bundle
from hpbuild.codes import certificates as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.sign.bundle_signing import envelope_statement_findings
from hpbuild.sign.certificates import Certificate, load_certificate, load_certificates_pem
from hpbuild.sign.cms import check_certificate, export_cms
from hpbuild.sign.dsse import DOCUMENT, Signature, decode_envelope, pae
from hpbuild.sign.extension import Extension, decode_extension
from hpbuild.sign.sigstore_bundle import export_sigstore

CMS = "cms"
SIGSTORE = "sigstore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The exported bytes, and where they come from. ``content`` are the bytes that the signature is over."""

    form: str
    data: bytes = field(repr=False)
    content: bytes = field(repr=False)
    number: int
    signatures: int
    keyid: str
    certificates: tuple[Certificate, ...]
    timestamps: int
    detached: bool


def export_signature(
    bundle: Bundle, number: int, form: str, pem: bytes = b"", place: str = "", *, detached: bool = False
) -> Exported:
    """Signature ``number`` (from 1) of ``bundle`` as ``form``, 'cms' or 'sigstore'.

    ``pem`` are certificates for a signature that carries none, from the file ``place``; they replace those
    that it carries. Raises HP5501, HP5502, HP5203, what reading the envelope, the extension and the
    certificates raises, and what ``export_cms`` raises.
    """
    if bundle.envelope is None:
        raise HpbuildError(codes.NOT_SIGNED, DOCUMENT, "the package has no envelope")
    for finding in envelope_statement_findings(bundle):
        raise HpbuildError(finding.code, finding.place, finding.cause)
    envelope = decode_envelope(bundle.envelope)
    if not 1 <= number <= len(envelope.signatures):
        raise HpbuildError(
            codes.NO_SUCH_SIGNATURE, DOCUMENT, f"{number}; there are {len(envelope.signatures)}"
        )
    signature = envelope.signatures[number - 1]
    content = pae(envelope.payload_type, envelope.payload)
    carried = _extension(signature, number)
    certificates = _certificates(carried, pem, place)
    if certificates:
        check_certificate(certificates[0], content, signature.sig)
    if form == CMS:
        data = export_cms(signature.sig, content, certificates, carried.timestamps, detached=detached)
    else:
        extension = Extension(tuple(item.der for item in certificates), carried.timestamps)
        data = export_sigstore(envelope.payload_type, envelope.payload, signature, extension)
    return Exported(
        form=form,
        data=data,
        content=content,
        number=number,
        signatures=len(envelope.signatures),
        keyid=signature.keyid,
        certificates=certificates,
        timestamps=len(carried.timestamps),
        detached=detached,
    )


def _extension(signature: Signature, number: int) -> Extension:
    if not signature.extension:
        return Extension()
    return decode_extension(signature.extension, f"{DOCUMENT}: signatures[{number - 1}].extension")


def _certificates(carried: Extension, pem: bytes, place: str) -> tuple[Certificate, ...]:
    if pem:
        return load_certificates_pem(pem, place)
    return tuple(load_certificate(der, DOCUMENT) for der in carried.certificates)
