import pytest

from hpbuild.codes.manifest import BAD_TEXT
from hpbuild.codes.sign import BAD_ENVELOPE
from hpbuild.errors import HpbuildError
from hpbuild.manifest.readers import root
from hpbuild.sign.base64_forms import pem_blocks, pem_body, read_base64


def test_bytes_are_read() -> None:
    assert read_base64(root("+/8A", "sig"), 4, BAD_ENVELOPE) == b"\xfb\xff\x00"


@pytest.mark.parametrize("text", ["-_8A", "+/8", "+/ 8A", "AB==", "AAB=", "\uff21AAA", "AAAA====", "AA=A"])
def test_other_spellings_fail(text: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        read_base64(root(text, "sig"), 100, BAD_ENVELOPE)
    assert caught.value.code is BAD_ENVELOPE


@pytest.mark.parametrize("text", ["", "+/8A\n", "A" * 104])
def test_other_texts_fail(text: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        read_base64(root(text, "sig"), 100, BAD_ENVELOPE)
    assert caught.value.code is BAD_TEXT


def test_blocks_are_found_by_their_label() -> None:
    first = b"text\n-----BEGIN A B-----\nAAEC\nAwQ=\n-----END A B-----\n"
    data = first + b"-----BEGIN A-----\nBQ==\n-----END A-----\n"
    assert [pem_body(block) for block in pem_blocks(data, "A B")] == [b"\0\1\2\3\4"]
    assert [pem_body(block) for block in pem_blocks(data, "A")] == [b"\5"]
    assert pem_blocks(data, "C") == ()


@pytest.mark.parametrize("inside", [b"Proc-Type: 4,ENCRYPTED\n\nAAEC", b"AAEC\n-----BEGIN A-----\nAAEC"])
def test_a_block_is_base64_alone(inside: bytes) -> None:
    (block,) = pem_blocks(b"-----BEGIN A-----\n%b\n-----END A-----\n" % inside, "A")
    with pytest.raises(ValueError, match=r"base64|data"):
        pem_body(block)
