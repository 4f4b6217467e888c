import json
from collections import OrderedDict
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.report.document import json_text


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Pair(NamedTuple):
    one: int
    other: str


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from([Colour.RED, Level.LOW])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.builds(Pair, st.integers(), st.text(max_size=3))
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5))
def test_documents_are_written_as_the_library_writes_them(document: dict[str, Any]) -> None:
    assert json_text(document) == json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


ROWS = st.lists(
    st.fixed_dictionaries(
        {"name %s": SCALARS, "place": st.none() | st.fixed_dictionaries({"rva": st.integers()})},
        optional={"ranges": st.lists(st.fixed_dictionaries({"rva": st.integers(), "size": SCALARS}))},
    ),
    max_size=6,
)


@given(ROWS)
def test_rows_are_written_as_the_library_writes_them(rows: list[dict[str, Any]]) -> None:
    assert json_text({"rows": rows}) == json.dumps({"rows": rows}, indent=2) + "\n"


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": 1, "b": 2}, {"b": 3, "a": 4}],
        [{"a": 1, "b": 2}, {"a": 3}, {"b": 4}],
        [{"a": 1, "b": 2}, {"a": 3}, {"b": 4, "a": 5}, {"b": 6}],
        [{"a": 1}, {}, {"a": 2, "b": 3}],
        [{}, {}, {"a": None}],
        [{}, {}],
        [{"a": 1}, {"a": True}, {"a": 1.0}, {"a": None}, {"a": Level.LOW}, {"a": [{}]}, {"a": ((), [])}],
    ],
)
def test_each_row_keeps_its_own_keys_and_their_order(rows: list[dict[str, Any]]) -> None:
    assert json_text({"rows": rows}) == json.dumps({"rows": rows}, indent=2) + "\n"


def test_a_dictionary_that_was_put_in_order_keeps_it() -> None:
    turned = OrderedDict(a=1, b="x")
    turned.move_to_end("a")
    rows = [turned, OrderedDict(b="y", a=2)]
    assert json_text({"rows": rows}) == json.dumps({"rows": rows}, indent=2) + "\n"


def test_lone_surrogates_and_controls_are_spelled_out() -> None:
    assert json_text({"a\udc80": "\x00\x7f\u2028"}) == '{\n  "a\\udc80": "\\u0000\\u007f\\u2028"\n}\n'


@pytest.mark.parametrize("count", [511, 512, 513, 1200])
def test_a_long_list_is_written_as_a_short_one(count: int) -> None:
    """Some of the objects have other keys, early or late, and some hold many more of them."""
    rows: list[object] = [{"n": number, "in": [{"m": number}] * (number % 7)} for number in range(count)]
    for others in ([], [3], [count - 1], range(0, count, 400)):
        mixed = [{"other": [], "n": None} if number in others else row for number, row in enumerate(rows)]
        assert json_text({"rows": mixed}) == json.dumps({"rows": mixed}, indent=2) + "\n"


def test_fail_what_json_has_no_form_for() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"x": float("nan")})
    with pytest.raises(TypeError):
        json_text({"x": b"bytes"})
