import base64
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.codes import certificates as codes
from hpbuild.codes import manifest as json_codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.strict_json import canonical
from hpbuild.sign.extension import (
    KIND,
    MAX_CERTIFICATE,
    MAX_CERTIFICATES,
    MAX_TIMESTAMP,
    MAX_TIMESTAMPS,
    Extension,
    decode_extension,
    encode_extension,
)


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


def document(certificates: Any = ("YQ==",), timestamps: Any = (), **more: Any) -> bytes:
    content = {"certificates": list(certificates), "timestamps": list(timestamps)}
    return canonical({"kind": KIND, "ext": content, **more}, "x")


def test_the_largest_one_comes_back() -> None:
    largest = Extension(
        tuple(bytes([number]) * MAX_CERTIFICATE for number in range(MAX_CERTIFICATES)),
        tuple(bytes([number]) * MAX_TIMESTAMP for number in range(MAX_TIMESTAMPS)),
    )
    assert decode_extension(encode_extension(largest), "x") == largest


@given(st.lists(st.binary(min_size=1, max_size=40), unique=True, max_size=4))
def test_encoding_and_decoding_agree(items: list[bytes]) -> None:
    extension = Extension((b"leaf", b"issuer"), tuple(items))
    assert decode_extension(encode_extension(extension), "x") == extension


@pytest.mark.parametrize(
    "data",
    [
        document(kind="urn:other:1"),
        document(["YQ==", "YQ=="]),
        document(["YR=="]),
        document(["YQ"]),
        document(["YQ==\u00e9"]),
        document([], []),
    ],
    ids=["kind", "twice", "stray bits", "no padding", "not ASCII", "empty"],
)
def test_malformed(data: bytes) -> None:
    assert refusal(lambda: decode_extension(data, "x")) is codes.BAD_EXTENSION


@pytest.mark.parametrize(
    "data",
    [
        document([base64.b64encode(bytes([number])).decode() for number in range(MAX_CERTIFICATES + 1)]),
        document([base64.b64encode(bytes(MAX_CERTIFICATE + 1)).decode()]),
        document([], [base64.b64encode(bytes([number])).decode() for number in range(MAX_TIMESTAMPS + 1)]),
        document([], [base64.b64encode(bytes(MAX_TIMESTAMP + 1)).decode()]),
    ],
    ids=["certificates", "certificate", "timestamps", "timestamp"],
)
def test_too_large(data: bytes) -> None:
    assert refusal(lambda: decode_extension(data, "x")) is codes.EXTENSION_TOO_LARGE


def test_strict_json() -> None:
    assert refusal(lambda: decode_extension(document(more=1), "x")) is json_codes.UNKNOWN_KEY
    assert refusal(lambda: decode_extension(document() + b"\n", "x")) is json_codes.NOT_CANONICAL
    assert refusal(lambda: decode_extension(document([""]), "x")) is json_codes.BAD_TEXT
    assert refusal(lambda: decode_extension(document([1]), "x")) is json_codes.WRONG_TYPE


def test_what_is_written_can_be_read() -> None:
    assert refusal(lambda: encode_extension(Extension())) is codes.BAD_EXTENSION
    too_large = Extension((bytes(MAX_CERTIFICATE + 1),))
    assert refusal(lambda: encode_extension(too_large)) is codes.EXTENSION_TOO_LARGE
