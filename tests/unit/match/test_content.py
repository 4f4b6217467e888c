"""Equality of data: bytes, fields and what may be filler at the end."""

import numpy as np
import pytest

from hpbuild.match.content import MAX_PADDING, agreed_length, contents_agree
from hpbuild.match.sides import Side
from tests.assembled import RET, Dll, Part, datum, function

CODE = (function("first", ("lea", "text"), RET), function("second", ("lea", "next"), RET))


def dll(text: bytes, *more: object, align: int = 1) -> Dll:
    """Two functions, each with one constant; nothing else names an address."""
    return Dll(code=CODE, constants=(datum("text", text, align=64), datum("next", b"\x11" * 8, align=align)))


def agree(fixed: Dll, baseline: Dll, label: str = "text") -> bool:
    left, right = fixed.side(), baseline.side()
    return bool(contents_agree(left, right, atom(left, fixed, label), atom(right, baseline, label))[0])


def atom(side: Side, made: Dll, label: str) -> np.ndarray:
    found = side.atoms.one(made.labels()[label])
    assert found >= 0
    return np.array([found])


def test_equal_bytes_agree_and_others_do_not() -> None:
    assert agree(dll(b"status"), dll(b"status"))
    assert not agree(dll(b"status"), dll(b"statue"))


@pytest.mark.parametrize("filler", [1, MAX_PADDING])
def test_zero_filler_behind_the_fixed_content_does_not_count(filler: int) -> None:
    assert agree(dll(b"status" + bytes(filler)), dll(b"status"))


def test_more_zeros_than_an_alignment_leaves_are_content() -> None:
    assert not agree(dll(b"status" + bytes(MAX_PADDING + 1)), dll(b"status"))


@pytest.mark.parametrize(("more", "same"), [(MAX_PADDING, True), (MAX_PADDING + 1, False)])
def test_of_many_zeros_only_the_last_may_be_filler(more: int, same: bool) -> None:
    zeros = 3 * MAX_PADDING
    assert agree(dll(b"status" + bytes(zeros + more)), dll(b"status" + bytes(zeros))) is same


def test_filler_that_is_not_zero_is_content() -> None:
    assert not agree(dll(b"status\0\1"), dll(b"status"))


def test_baseline_may_be_longer() -> None:
    assert agree(dll(b"status"), dll(b"status" + b"\0more"))


def test_longer_fixed_content_differs() -> None:
    assert not agree(dll(b"statuses"), dll(b"status"))


def test_agreed_length_is_the_content_less_filler() -> None:
    fixed, baseline = dll(b"status\0\0\0\0"), dll(b"status\0")
    left, right = fixed.side(), baseline.side()
    place = baseline.labels()["text"]
    assert agreed_length(left, right, int(atom(left, fixed, "text")[0]), place) == len(b"status\0")
    assert agreed_length(right, left, int(atom(right, baseline, "text")[0]), fixed.labels()["text"]) == 7


def pointers(*targets: str, number: bytes = b"") -> Dll:
    parts = tuple(("pointer", target) for target in targets)
    return Dll(
        code=(function("first", ("lea", "table"), RET), function("second", RET)),
        constants=(datum("table", *parts, number, align=64), datum("other", b"\x22" * 8)),
        variables=(datum("back", ("pointer", "other")),),
    )


def test_targets_of_fields_are_not_content() -> None:
    assert agree(pointers("first", "second"), pointers("second", "first"), "table")


def test_number_of_fields_is_content() -> None:
    assert not agree(pointers("first", "second"), pointers("first"), "table")


def test_place_of_a_field_is_content() -> None:
    def made(*parts: Part) -> Dll:
        return Dll(
            code=(function("first", ("lea", "table"), RET), function("second", RET)),
            constants=(datum("table", *parts),),
        )

    early, late = made(("pointer", "second"), bytes(8)), made(bytes(8), ("pointer", "second"))
    assert not agree(early, late, "table")
    assert agree(early, early, "table")


def test_filler_is_what_an_alignment_to_64_leaves() -> None:
    assert MAX_PADDING == 64 - 1


def test_number_in_place_of_a_field_is_content() -> None:
    number = pointers("first", number=bytes(8))
    assert not agree(number, pointers("first", "second"), "table")
    assert not agree(pointers("first", "second"), number, "table")


def test_field_at_the_end_is_never_filler() -> None:
    """Its bytes are masked to zero, so only the field itself keeps it from being taken for filler."""
    assert not agree(pointers("first", "second"), pointers("first"), "table")
    side = pointers("first", "second").side()
    made = pointers("first", "second")
    assert (
        agreed_length(
            side, pointers("first").side(), int(atom(side, made, "table")[0]), made.labels()["table"]
        )
        == 16
    )


def zeros(size: int) -> Dll:
    return Dll(code=(function("first", ("lea", "text"), RET),), constants=(datum("text", bytes(size)),))


def test_bytes_behind_the_section_are_no_content() -> None:
    """Memory behind a section may be mapped and zero, but it is not the baseline's constant."""
    assert agree(zeros(0x100), zeros(0x100 - MAX_PADDING))
    assert not agree(zeros(0x100), zeros(1))
    assert not agree(zeros(0x5000), zeros(0x100))
