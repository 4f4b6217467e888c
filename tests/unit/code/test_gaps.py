"""Cutting of runs that no unwind table describes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.gaps import Runs, split_gap

AT = 0x1000
NOP16 = "66662e0f1f840000000000 0f1f440000"
"""Two no-operations of 11 and 5 bytes."""


def pieces(code: str, *starts: int, at: int = AT) -> list[tuple[int, int, str]]:
    return [(p.start, p.end, p.kind) for p in split_gap(bytes.fromhex(code), at, set(starts))]


def test_nothing() -> None:
    assert pieces("") == []


@pytest.mark.parametrize("filler", ["cc" * 16, NOP16, "90" * 16, "00" * 16, "00", "6690", "0f1f00 cc 90"])
def test_filler_alone_is_padding(filler: str) -> None:
    size = len(bytes.fromhex(filler))
    assert pieces(filler) == [(AT, AT + size, "padding")]


@pytest.mark.parametrize("filler", ["cc" * 14, "90" * 14, "00" * 14, "0f1f4000 662e0f1f840000000000"])
def test_filler_between_functions(filler: str) -> None:
    """`xor eax, eax; ret`, filler, `ret`."""
    size = len(bytes.fromhex(filler))
    code = "31c0 c3" + filler + "c3"
    assert pieces(code) == [
        (0x1000, 0x1003, "code"),
        (0x1003, 0x1003 + size, "padding"),
        (0x1003 + size, 0x1004 + size, "code"),
    ]


def test_filler_before_the_first_function() -> None:
    assert pieces("cccccc c3") == [(0x1000, 0x1003, "padding"), (0x1003, 0x1004, "code")]


def test_function_ends_at_a_boundary_of_16_without_filler() -> None:
    """15 times `push rax`, `ret`: the next function begins at 0x1010 though nothing separates the two."""
    assert pieces("50" * 15 + "c3" + "31c0 c3") == [(0x1000, 0x1010, "code"), (0x1010, 0x1013, "code")]


def test_code_behind_a_return_off_the_boundary_belongs_to_the_function() -> None:
    assert pieces("c3 31c0 c3") == [(0x1000, 0x1004, "code")]


def test_branch_over_a_return_keeps_the_function_together() -> None:
    """`je +17; ret`, filler, target of the branch: the filler is inside the function."""
    code = "74 11 c3" + "cc" * 16 + "c3"
    assert pieces(code) == [(0x1000, 0x1014, "code")]


def test_branch_to_the_byte_behind_a_return() -> None:
    """`je +1; ret; nop; ret`: the no-operation is where the branch leads."""
    assert pieces("74 01 c3 90 c3") == [(0x1000, 0x1005, "code")]


def test_branch_back_holds_nothing() -> None:
    assert pieces("50 eb fd cc c3") == [
        (0x1000, 0x1003, "code"),
        (0x1003, 0x1004, "padding"),
        (0x1004, 0x1005, "code"),
    ]


def test_short_zero_run_is_no_filler() -> None:
    """`add [rax], al` is two zero bytes: below eight of them between other bytes are code."""
    assert pieces("c3" + "00" * 6 + "c3")[-1] == (0x1000, 0x1008, "code")
    assert pieces("c3" + "00" * 8 + "c3") == [
        (0x1000, 0x1001, "code"),
        (0x1001, 0x1009, "padding"),
        (0x1009, 0x100A, "code"),
    ]


def test_known_start_cuts() -> None:
    assert pieces("c3 31c0 c3", 0x1001) == [(0x1000, 0x1001, "code"), (0x1001, 0x1004, "code")]


def test_known_start_cuts_where_code_falls_into_it() -> None:
    assert pieces("31c0 90 c3", 0x1002) == [(0x1000, 0x1002, "code"), (0x1002, 0x1004, "code")]


def test_starts_outside_do_nothing() -> None:
    assert pieces("31c0 c3", 0xFFF, 0x1003, 0x2000) == [(0x1000, 0x1003, "code")]


@pytest.mark.parametrize("first", ["90", "cc", "0f1f4000", "6690"])
def test_named_filler_is_code(first: str) -> None:
    """A function may begin with no-operations (room for hot patching) or with int3."""
    size = len(bytes.fromhex(first))
    assert pieces("c3" + "cc" * 15 + first + "c3", 0x1010) == [
        (0x1000, 0x1001, "code"),
        (0x1001, 0x1010, "padding"),
        (0x1010, 0x1011 + size, "code"),
    ]


def test_function_of_one_int3() -> None:
    assert pieces("cc" * 16 + "c3", 0x1000) == [
        (0x1000, 0x1001, "code"),
        (0x1001, 0x1010, "padding"),
        (0x1010, 0x1011, "code"),
    ]


def test_named_zeros_are_data() -> None:
    """Zeros that something names are a datum in code, not filler; what is behind them is judged anew."""
    code = "c3" + "cc" * 15 + "00" * 16 + "31c0 c3"
    assert pieces(code, 0x1010) == [
        (0x1000, 0x1001, "code"),
        (0x1001, 0x1010, "padding"),
        (0x1010, 0x1020, "opaque"),
        (0x1020, 0x1023, "code"),
    ]


def test_data_in_code_is_opaque() -> None:
    """0x06 is no instruction: neither the bytes before it nor those behind it can be called code."""
    code = "c3" + "cc" * 15 + "50 06 50 c3"
    assert pieces(code) == [
        (0x1000, 0x1001, "code"),
        (0x1001, 0x1010, "padding"),
        (0x1010, 0x1014, "opaque"),
    ]


def test_code_follows_data_at_a_known_start() -> None:
    code = "06 07 0e" + "cc" * 13 + "31c0 c3"
    assert pieces(code, 0x1010) == [(0x1000, 0x1010, "opaque"), (0x1010, 0x1013, "code")]


def test_instruction_cut_off_by_the_end_is_opaque() -> None:
    assert pieces("e8 0000") == [(0x1000, 0x1003, "opaque")]


def test_instruction_cut_off_by_a_known_start_is_opaque() -> None:
    """Something points into the middle of an instruction: what is before that is no code of its own."""
    assert pieces("e8 000000 00 c3", 0x1002)[0] == (0x1000, 0x1002, "opaque")


@given(st.binary(max_size=300), st.sets(st.integers(AT - 4, AT + 310), max_size=8))
def test_pieces_partition_the_gap(code: bytes, starts: set[int]) -> None:
    found = split_gap(code, AT, starts)
    assert all(piece.start < piece.end for piece in found)
    assert all(a.end == b.start for a, b in pairwise(found))
    assert sum(piece.end - piece.start for piece in found) == len(code)
    assert {piece.kind for piece in found} <= {"code", "padding", "opaque"}
    assert not code or (found[0].start, found[-1].end) == (AT, AT + len(code))
    borders = {piece.start for piece in found}
    assert {start for start in starts if AT < start < AT + len(code)} <= borders


NEAR = st.sets(st.integers(AT - 1, AT + 120), max_size=4)


@given(st.binary(max_size=120), NEAR, NEAR)
def test_runs_that_were_cut_before(code: bytes, first: set[int], later: set[int]) -> None:
    known: Runs = {}
    assert split_gap(code, AT, first, known) == split_gap(code, AT, first)
    assert split_gap(code, AT, first | later, known) == split_gap(code, AT, first | later)
    before = dict(known)
    split_gap(bytes(len(code)), AT, first | later, known)  # none is looked at again
    assert known == before


@given(st.binary(max_size=120), st.sets(st.integers(AT, AT + 120), max_size=4))
def test_named_bytes_are_never_filler(code: bytes, starts: set[int]) -> None:
    """Dropping a byte that something refers to would be dropping content."""
    for piece in split_gap(code, AT, starts):
        assert piece.kind != "padding" or piece.start not in starts


@pytest.mark.parametrize("jump", ["e9 00100000", "ff25 00100000", "48ff25 00100000"])
def test_lone_jumps_are_functions_without_filler_between(jump: str) -> None:
    size = len(bytes.fromhex(jump))
    bounds = list(pairwise(range(AT, AT + 3 * size + 1, size)))
    assert pieces(jump * 3) == [(start, end, "code") for start, end in bounds]


@pytest.mark.parametrize("first", ["eb 01 90 c3", "e9 01000000 90 c3"])
def test_jump_inside_the_run_is_no_thunk(first: str) -> None:
    size = len(bytes.fromhex(first))
    assert pieces(first) == [(AT, AT + size, "code")]


def test_jump_behind_other_code_ends_nothing() -> None:
    assert pieces("31c0 e9 00100000 31c0 c3") == [(AT, AT + 10, "code")]


SWITCH = "488d15 f9efffff 8b8c82 {table} 4801d1 ffe1"
"""Image base, entry, sum, jump: 19 bytes at 0x1000."""


def test_table_of_a_switch_ends_the_code() -> None:
    """What lies behind is looked at when the table is known."""
    code = SWITCH.format(table="20100000") + "31c0 c3" + "cc" * 10 + "13100000" * 4
    assert pieces(code) == [(0x1000, 0x1016, "code"), (0x1016, 0x1030, "opaque")]


def test_cases_of_a_switch_stay_together() -> None:
    """A return at a boundary of 16, then another case: the table behind says that it is the same function."""
    code = SWITCH.format(table="30100000") + "90" * 12 + "c3" + "31c0 c3" + "cc" * 13
    assert pieces(code) == [(0x1000, 0x1023, "code"), (0x1023, 0x1030, "padding")]


def test_jump_through_a_register_without_a_table() -> None:
    assert pieces("31c0 ffe0 cc 31c0 c3") == [
        (0x1000, 0x1004, "code"),
        (0x1004, 0x1005, "padding"),
        (0x1005, 0x1008, "code"),
    ]
