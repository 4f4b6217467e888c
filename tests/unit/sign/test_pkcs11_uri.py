from pathlib import Path

import pytest

from hpbuild.codes import bundle as file_codes
from hpbuild.codes import sign as codes
from hpbuild.errors import HpbuildError
from hpbuild.sign.pkcs11_uri import TokenKey, parse_token_key

MODULE = "?module-path=/lib/p11.so"


def unasked(place: str) -> bytes | None:
    raise AssertionError(f"asked for the PIN of {place}")


def test_all_attributes() -> None:
    uri = (
        "pkcs11:token=My%20token;manufacturer=Maker;model=M1;serial=0815;object=r%C3%A9lease;id=%01%ff;type=private"
        "?module-path=/lib/p%2B11.so&pin-source=file:/run/pin"
    )
    assert parse_token_key(uri) == TokenKey(
        module=Path("/lib/p+11.so"),
        token="My token",
        manufacturer="Maker",
        model="M1",
        serial="0815",
        label="rélease",
        id=b"\x01\xff",
        pin_source=Path("/run/pin"),
    )


def test_name_of_a_key_has_no_query() -> None:
    key = parse_token_key(f"pkcs11:token=t;object=o;id=%0a{MODULE}&pin-value=31415926")
    assert key.place == "pkcs11:token=t;object=o;id=0a"
    assert "31415926" not in repr(key)


@pytest.mark.parametrize("source", ["file:/run/pin", "file:///run/pin", "/run/pin", "file:%2Frun/pin"])
def test_sources_of_a_pin(source: str) -> None:
    assert parse_token_key(f"pkcs11:object=o{MODULE}&pin-source={source}").pin_source == Path("/run/pin")


@pytest.mark.parametrize("content", [b"31415926", b"31415926\n", b"31415926\r\n"])
def test_pin_of_a_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pin").write_bytes(content)
    key = parse_token_key(f"pkcs11:object=o{MODULE}&pin-source={tmp_path / 'pin'}")
    assert key.pin(unasked) == "31415926"


def test_pin_of_the_uri_and_of_the_user() -> None:
    assert parse_token_key(f"pkcs11:object=o{MODULE}&pin-value=3%25").pin(unasked) == "3%"
    asked: list[str] = []
    key = parse_token_key(f"pkcs11:token=t;object=o{MODULE}")
    assert key.pin(lambda place: asked.append(place) or b"1") == "1"  # type: ignore[func-returns-value]
    assert asked == ["pkcs11:token=t;object=o"]


@pytest.mark.parametrize("secret", [None, b"", b"\xff"])
def test_no_pin_fails(secret: bytes | None) -> None:
    with pytest.raises(HpbuildError) as caught:
        parse_token_key(f"pkcs11:object=o{MODULE}").pin(lambda place: secret)
    assert caught.value.code is codes.WRONG_PIN


def test_missing_pin_file_fails(tmp_path: Path) -> None:
    key = parse_token_key(f"pkcs11:object=o{MODULE}&pin-source={tmp_path / 'none'}")
    with pytest.raises(HpbuildError) as caught:
        key.pin(unasked)
    assert caught.value.code is file_codes.NO_SUCH_FILE


@pytest.mark.parametrize(
    "rest",
    [
        "object=o",
        "object=o?module-path=",
        f"token=t{MODULE}",
        f"{MODULE}",
        f"object=o;object=p{MODULE}",
        f"object=o;slot-id=1{MODULE}",
        f"object=o;type=cert{MODULE}",
        f"object=o;pin-value=31415926{MODULE}",
        f"object=o;{MODULE}",
        f"object=%C3{MODULE}",
        f"object=%0{MODULE}",
        f"object=%00{MODULE}",
        f"object=a b{MODULE}",
        f"object=ö{MODULE}",
        f"object=o{MODULE}&pin-value=31415926&pin-source=/run/pin",
        f"object=o{MODULE}&pin-value=31415926&pin-value=1",
        f"object=o{MODULE}&PIN-VALUE=31415926",
        f"object=o{MODULE}&pin-value=3141 5926",
        f"object=o{MODULE}&31415926",
        f"object=o{MODULE}&pin-source=",
        f"object=o{MODULE}&pin-source=|cat%20/run/pin",
        f"object=o{MODULE}&pin-source=file://host/pin",
        f"object=o{MODULE}&pin-source=https:pin",
        f"object=o{MODULE}&module-name=softhsm2",
    ],
)
def test_malformed_uri_fails_and_shows_no_pin(rest: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        parse_token_key(f"pkcs11:{rest}")
    assert caught.value.code is codes.BAD_URI
    assert "31415926" not in str(caught.value)
