"""Values as columns and back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, NewType

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.assembly.jobs import Result
from hpbuild.assembly.loading import Analysed
from hpbuild.cache.forms import Array, Damaged, form_of, pack, unpack
from hpbuild.codes import cli as codes
from hpbuild.codes import plan as plan_codes
from hpbuild.errors import Code, Finding
from hpbuild.pe.image import Image
from hpbuild.values import Interval

Number = NewType("Number", int)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 3
    HIGH = 7


class Row(NamedTuple):
    name: str
    at: Number


@dataclass(frozen=True, slots=True)
class Leaf:
    """One of all kinds."""

    at: Number
    text: str
    raw: bytes
    flag: bool
    part: float
    nothing: None
    colour: Colour
    level: Level
    row: Row
    maybe: Interval | None
    pair: tuple[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    leaves: tuple[Leaf, ...]
    names: dict[int, str]
    known: Mapping[str, tuple[Interval, ...]]
    numbers: frozenset[int]
    letters: set[str]
    lists: list[list[int]]
    some: Sequence[int]
    empty: tuple[()]


def leaf(number: int, text: str, maybe: Interval | None) -> Leaf:
    return Leaf(
        Number(number),
        text,
        text.encode("utf-8", "surrogatepass"),
        number % 2 == 0,
        number / 7,
        None,
        Colour.BLUE,
        Level.HIGH,
        Row(text, Number(number)),
        maybe,
        (number, text),
    )


def tree(*leaves: Leaf) -> Tree:
    return Tree(
        leaves=leaves,
        names={5: "five", -1: "", 3: "ä\0\ud800"},
        known={"a": (Interval(1, 2), Interval(3, 3)), "b": ()},
        numbers=frozenset({1, 99, -4}),
        letters={"x", "y"},
        lists=[[], [1], [2, 3]],
        some=(4, 5),
        empty=(),
    )


def again(hint: Any, value: object) -> object:
    return unpack(hint, pack(hint, value))


@pytest.mark.parametrize(
    "value",
    [
        tree(),
        tree(leaf(1, "one", None)),
        tree(
            leaf(1 << 62, "one", Interval(1, 9)), leaf(2, "", None), leaf(-(1 << 63), "one", Interval(0, 0))
        ),
    ],
)
def test_a_value_comes_back(value: Tree) -> None:
    found = again(Tree, value)
    assert found == value
    assert isinstance(found, Tree)
    assert list(found.names) == [5, -1, 3]
    assert [type(part) for part in found.leaves] == [Leaf] * len(value.leaves)


@given(
    st.lists(st.tuples(st.integers(), st.text(st.characters(codec=None))), max_size=6),
    st.dictionaries(st.binary(max_size=5), st.one_of(st.none(), st.booleans()), max_size=5),
)
def test_any_numbers_and_texts_come_back(
    rows: list[tuple[int, str]], table: dict[bytes, bool | None]
) -> None:
    assert again(tuple[tuple[int, str], ...], tuple(rows)) == tuple(rows)
    assert again(dict[bytes, bool | None], table) == table


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i4", "u4", "i8", "u8", "f8"])
def test_arrays_come_back(dtype: str) -> None:
    for array in (
        np.zeros((0, 3), dtype),
        np.arange(6).reshape(2, 3).astype(dtype),
        np.array(7).astype(dtype),
    ):
        found = again(npt.NDArray[Any], array)
        assert isinstance(found, np.ndarray)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert np.array_equal(found, array)


def test_a_code_is_the_row_of_the_table() -> None:
    finding = Finding(plan_codes.NO_ROOM, "f", "why")
    found = again(tuple[Finding, ...], (finding, Finding(codes.USAGE, "", "")))
    assert isinstance(found, tuple)
    assert found[0] == finding
    assert found[0].code is plan_codes.NO_ROOM
    assert found[1].code is codes.USAGE


def test_what_lies_outside_is_left_out_and_put_back() -> None:
    value = leaf(1, "x", Interval(1, 2)), Interval(3, 4)
    arrays = pack(tuple[Leaf, Interval], value, frozenset({Interval}))
    found = unpack(tuple[Leaf, Interval], arrays, {Interval: Interval(8, 9)})
    assert (found[0].maybe, found[1]) == (Interval(8, 9), Interval(8, 9))


@pytest.mark.parametrize("hint", [Any, object, Callable[[], int], int | str, tuple[Any, ...], type])
def test_fail_a_type_without_form(hint: Any) -> None:
    with pytest.raises(TypeError):
        form_of(hint, frozenset())


def test_fail_an_array_of_objects() -> None:
    with pytest.raises(TypeError):
        pack(npt.NDArray[Any], np.array([object()]))


@pytest.mark.parametrize("hint", [Result, Analysed])
def test_everything_that_is_kept_has_a_form(hint: type) -> None:
    """Results may get new fields; this tells when one of them could not be kept."""
    assert form_of(hint, frozenset({Image}))
    assert fields(hint)


def arrays_of(value: Tree) -> list[Array]:
    return pack(Tree, value)


def test_fail_columns_of_any_other_length() -> None:
    arrays = arrays_of(tree(leaf(1, "one", Interval(1, 9)), leaf(2, "two", None)))
    for at, array in enumerate(arrays):
        if array.size == 0 and array.dtype == np.uint8:
            continue
        longer = np.concatenate([array.reshape(-1), np.ones(1, array.dtype)])
        for damaged in (longer, array.reshape(-1)[:-1], array.reshape(1, -1)):
            if damaged.shape == array.shape:
                continue
            with pytest.raises(Damaged):
                unpack(Tree, [*arrays[:at], damaged, *arrays[at + 1 :]])


def test_fail_columns_that_are_missing_or_left_over() -> None:
    arrays = arrays_of(tree(leaf(1, "one", None)))
    for few in range(len(arrays)):
        with pytest.raises(Damaged):
            unpack(Tree, arrays[:few])
    with pytest.raises(Damaged):
        unpack(Tree, [*arrays, arrays[0]])


@pytest.mark.parametrize("number", [-1, 2, 1 << 40])
def test_fail_a_number_that_names_no_member(number: int) -> None:
    with pytest.raises(Damaged):
        unpack(Colour, [np.array([number], dtype=np.int64)])


@pytest.mark.parametrize("lengths", [[-1, 3], [1 << 40], [3], [1, 2]])
def test_fail_lengths_that_do_not_add_up(lengths: list[int]) -> None:
    joined = np.frombuffer(b"ab", dtype=np.uint8)
    with pytest.raises(Damaged):
        unpack(tuple[bytes, ...], [np.array([1]), joined, np.array(lengths, dtype=np.int64)])


def test_fail_what_the_class_refuses() -> None:
    with pytest.raises(Damaged):
        unpack(Interval, [np.array([5], dtype=np.int64), np.array([4], dtype=np.int64)])


def test_fail_a_code_that_is_not_in_the_table() -> None:
    with pytest.raises(Damaged):
        unpack(Code, pack(tuple[str, ...], ("HP0000",))[1:])


def test_fail_text_that_is_none() -> None:
    bad = [np.array([255], dtype=np.uint8), np.array([1], dtype=np.int64), np.array([0], dtype=np.int64)]
    with pytest.raises(Damaged):
        unpack(str, bad)
    with pytest.raises(Damaged):
        unpack(int, [np.frombuffer(b"12,x", dtype=np.uint8)])
