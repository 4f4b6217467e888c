"""The SignerInfo of CMS and PKCS #7 (RFC 5652, section 5.3), in time stamps and in Authenticode signatures.

Its signed attributes, the bytes that its signature is over, and its certificate among those that came along.
"""

from collections.abc import Sequence

from cryptography import x509

from hpbuild.sign import asn1
from hpbuild.sign.certificates import Certificate

RSA = "1.2.840.113549.1.1.1"
"""rsaEncryption: the signature's hash is the one that the SignerInfo names (RFC 3370, section 3.2)."""
RSA_WITH = {
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}
"""RSASSA-PKCS1-v1_5 by its hash (RFC 5754, section 3.2)."""
ECDSA_WITH = {
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
"""ECDSA by its hash (RFC 5754, section 3.3)."""
_OCTET_STRING = b"\x04"


def signed_attributes(signer: asn1.SignerInfo) -> dict[x509.ObjectIdentifier, bytes]:
    """Signed attributes by type, each with its one value in DER; empty when there are none. ValueError for
    one that is not in DER form, stands twice, or has not one value."""
    found: dict[x509.ObjectIdentifier, bytes] = {}
    for element in signer.signed_attributes.as_list() if signer.signed_attributes is not None else ():
        attribute = asn1.decode(asn1.Attribute, asn1.tlv(element))
        values = attribute.values.as_list()
        if attribute.type in found or len(values) != 1:
            raise ValueError(f"signed attribute {attribute.type.dotted_string} does not stand once")
        found[attribute.type] = asn1.tlv(values[0])
    return found


def signed_bytes(signer: asn1.SignerInfo) -> bytes:
    """What the signature of a signer with signed attributes is over: these as a SET OF, whatever tag they
    have in the SignerInfo (RFC 5652, section 5.4)."""
    items = signer.signed_attributes.as_list() if signer.signed_attributes is not None else ()
    return asn1.der(asn1.SET_TAG, b"".join(asn1.tlv(item) for item in items))


def digest_attribute(digest: bytes) -> bytes:
    """The value in DER of a message-digest attribute (RFC 5652, section 11.2)."""
    return asn1.der(_OCTET_STRING, digest)


def signer_certificate(
    signer: asn1.SignerInfo, certificates: Sequence[Certificate]
) -> tuple[Certificate, tuple[Certificate, ...]] | None:
    """The one certificate with the issuer and serial number that ``signer`` names, and the others; None
    unless there is exactly one."""
    name, serial = asn1.tlv(signer.sid.issuer), signer.sid.serial
    found = [
        item for item in certificates if item.serial == serial and item.raw.issuer.public_bytes() == name
    ]
    if len(found) != 1:
        return None
    return found[0], tuple(item for item in certificates if item is not found[0])
