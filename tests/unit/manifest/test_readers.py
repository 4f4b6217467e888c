from collections.abc import Callable

import pytest

from hpbuild.codes import manifest as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.readers import Node, root

DOCUMENT = {"modules": [{"functions": [{"rva": 7, "name": "f"}]}], "flag": True, "none": None}


def deep() -> Node:
    node = root(DOCUMENT, "manifest.json").fields({"modules", "flag", "none"})["modules"].items()[0]
    return node.fields({"functions"})["functions"].items()[0]


def refusal(action: Callable[[], object]) -> tuple[Code, str]:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code, caught.value.finding.place


def test_place_is_document_and_path() -> None:
    assert deep().fields({"rva", "name"})["rva"].place == "manifest.json: modules[0].functions[0].rva"
    assert root([], "policy").place == "policy"
    assert root([5], "policy").items()[0].place == "policy: [0]"


@pytest.mark.parametrize(
    "read",
    [
        lambda node: node.text(),
        lambda node: node.integer(),
        lambda node: node.flag(),
        lambda node: node.items(),
        lambda node: node.digest(),
        lambda node: node.hex_bytes(4),
        lambda node: node.choice(("a",)),
    ],
)
def test_wrong_type_fails(read: Callable[[Node], object]) -> None:
    place = "manifest.json: modules[0].functions[0]"
    assert refusal(lambda: read(deep())) == (codes.WRONG_TYPE, place)


def test_text_is_no_object_fails() -> None:
    assert refusal(lambda: root("x", "d").fields({"a"})) == (codes.WRONG_TYPE, "d")


def test_truth_value_is_no_integer_fails() -> None:
    assert refusal(root(True, "d").integer) == (codes.WRONG_TYPE, "d")


def test_missing_key_fails() -> None:
    assert refusal(lambda: deep().fields({"rva", "name", "size"}))[0] is codes.MISSING_KEY


def test_unknown_key_fails() -> None:
    assert refusal(lambda: deep().fields({"rva"}))[0] is codes.UNKNOWN_KEY


def test_optional_key_may_be_there_or_not() -> None:
    assert set(deep().fields({"rva"}, {"name", "size"})) == {"rva", "name"}


@pytest.mark.parametrize(("value", "low", "high"), [(-1, 0, 5), (6, 0, 5), (2**53, 0, 2**53 - 1)])
def test_integer_out_of_range_fails(value: int, low: int, high: int) -> None:
    assert refusal(lambda: root(value, "d").integer(low, high))[0] is codes.OUT_OF_RANGE


def test_too_long_list_fails() -> None:
    assert refusal(lambda: root([1, 2, 3], "d").items(2))[0] is codes.OUT_OF_RANGE


def test_unknown_choice_fails() -> None:
    assert refusal(lambda: root("c", "d").choice(("a", "b")))[0] is codes.OUT_OF_RANGE
    assert root("b", "d").choice(("a", "b")) == "b"


@pytest.mark.parametrize(
    "value",
    ["12345", "a\nb", "\x1b[2J", "\x7f", "\x9b", "a\u202eb", "\u2066", "\u2028", "\u200e", "\u061c", ""],
)
def test_text_that_can_forge_output_fails(value: str) -> None:
    assert refusal(lambda: root(value, "d").text(4, empty=False))[0] is codes.BAD_TEXT


@pytest.mark.parametrize("value", ["", "äöü", "\U0001f600", "a b", "x\u00a0y"])
def test_harmless_text_is_read(value: str) -> None:
    assert root(value, "d").text(4) == value


@pytest.mark.parametrize("value", ["0", "0G", "AA", "0x12", "aa ", "aabbccddee"])
def test_broken_hexadecimal_fails(value: str) -> None:
    assert refusal(lambda: root(value, "d").hex_bytes(4))[0] is codes.BAD_HEX


@pytest.mark.parametrize("value", ["", "ab" * 31, "ab" * 33, "AB" * 32, "ab" * 32 + "\n"])
def test_broken_digest_fails(value: str) -> None:
    assert refusal(root(value, "d").digest)[0] is codes.BAD_HEX


def test_values_are_read() -> None:
    assert root("ab" * 32, "d").digest().raw == b"\xab" * 32
    assert root("00ff", "d").hex_bytes(2) == b"\x00\xff"
    assert root(False, "d").flag() is False
    assert [node.integer() for node in root([1, 2], "d").items(2)] == [1, 2]
