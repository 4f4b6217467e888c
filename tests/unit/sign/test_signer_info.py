"""What a SignerInfo says, with attributes of any making; tests of its users have whole ones of openssl."""

import hashlib
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from hpbuild.sign import asn1
from hpbuild.sign.signer_info import digest_attribute, signed_attributes, signed_bytes, signer_certificate

DIGEST = digest_attribute(hashlib.sha256(b"content").digest())
KIND = asn1.oid(asn1.DATA)


def attribute(kind: x509.ObjectIdentifier, *values: bytes) -> bytes:
    return asn1.encode(asn1.Attribute(type=kind, values=asn1.set_of([asn1.element(v) for v in values])))


def signer(attributes: Sequence[bytes] | None) -> asn1.SignerInfo:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Somebody")])
    return asn1.SignerInfo(
        version=1,
        sid=asn1.IssuerAndSerial(issuer=asn1.element(name.public_bytes()), serial=7),
        digest_algorithm=asn1.Algorithm(algorithm=asn1.SHA256),
        signed_attributes=None if attributes is None else asn1.set_of([asn1.element(a) for a in attributes]),
        signature_algorithm=asn1.SignatureAlgorithm(algorithm=asn1.SHA256),
        signature=b"s",
    )


def test_attributes_are_read_by_type() -> None:
    made = signer([attribute(asn1.CONTENT_TYPE, KIND), attribute(asn1.MESSAGE_DIGEST, DIGEST)])
    assert signed_attributes(made) == {asn1.CONTENT_TYPE: KIND, asn1.MESSAGE_DIGEST: DIGEST}
    assert signed_attributes(signer(None)) == {}


def test_a_digest_is_an_octet_string() -> None:
    assert bytes.fromhex("0420") + hashlib.sha256(b"content").digest() == DIGEST


@pytest.mark.parametrize(
    "attributes",
    [
        [attribute(asn1.CONTENT_TYPE, KIND), attribute(asn1.CONTENT_TYPE, DIGEST)],
        [attribute(asn1.CONTENT_TYPE, KIND, DIGEST)],
        [attribute(asn1.CONTENT_TYPE)],
    ],
    ids=["twice", "two values", "no value"],
)
def test_an_attribute_stands_once_with_one_value(attributes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="does not stand once"):
        signed_attributes(signer(attributes))


def test_what_is_no_attribute_fails() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are the codec's
        signed_attributes(signer([DIGEST]))


def test_the_signature_is_over_a_set() -> None:
    one = attribute(asn1.CONTENT_TYPE, KIND)
    assert signed_bytes(signer([one])) == b"\x31" + bytes([len(one)]) + one


def test_a_certificate_has_to_come_along() -> None:
    assert signer_certificate(signer(None), ()) is None
