from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.sign import asn1
from tests.certificates import openssl


def test_an_element_of_each_length_form() -> None:
    for size in (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000):
        content = bytes(size)
        data = asn1.der(b"\x04", content)
        element = asn1.element(data)
        assert bytes(element.data) == content
        assert asn1.tlv(element) == data


def test_object_identifier() -> None:
    assert asn1.oid(asn1.SIGNED_DATA).hex() == "06092a864886f70d010702"


def test_time() -> None:
    info = asn1.time(datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert info.as_datetime().replace(tzinfo=UTC) == datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_a_request_that_openssl_reads(require_tool: Callable[[str], str]) -> None:
    require_tool("openssl")
    imprint = asn1.MessageImprint(
        algorithm=asn1.Algorithm(algorithm=asn1.SHA256, parameters=asn1.NULL), digest=b"x" * 32
    )
    request = asn1.TimestampRequest(version=1, imprint=imprint, nonce=0xABCDEF, certificate_wanted=True)
    text = openssl("ts", "-query", "-in", "/dev/stdin", "-text", stdin=asn1.encode(request)).decode()
    assert "Hash Algorithm: sha256" in text
    assert "Nonce: 0xABCDEF" in text
    assert "Certificate required: yes" in text


@given(st.binary(max_size=60), st.booleans())
def test_encoding_and_decoding_agree(value: bytes, critical: bool) -> None:
    extension = asn1.Extension(type=x509.ObjectIdentifier("1.2.3"), critical=critical, value=value)
    data = asn1.encode(extension)
    read = asn1.decode(asn1.Extension, data)
    assert (read.critical, read.value) == (critical, value)
    for longer in (data + b"\0", data[:-1]):
        with pytest.raises(ValueError, match=r".+"):
            asn1.decode(asn1.Extension, longer)


@pytest.mark.parametrize(
    "data",
    [
        "300a 06022a03 010100 040161",  # a default that is written out
        "3081 07 06022a03 040161",  # a length that is longer than it has to be
        "3080 06022a03 040161 0000",  # BER's indefinite length
        "3007 06022a03 240161",  # a constructed string
    ],
)
def test_other_spellings_are_refused(data: str) -> None:
    assert asn1.decode(asn1.Extension, bytes.fromhex("3007 06022a03 040161")).value == b"a"
    with pytest.raises(ValueError, match=r".+"):
        asn1.decode(asn1.Extension, bytes.fromhex(data))
