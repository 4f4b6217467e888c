"""The bytes of redirections, decoded by hand."""

import pytest

from hpbuild.patchimage.redirection import ENTRY_JUMP, PAD_JUMP, redirected, written_range
from hpbuild.plan.model import RedirectionKind
from hpbuild.values import Interval


def _jump_target(code: bytes, address: int) -> int:
    assert code[0] == 0xE9
    return address + 5 + int.from_bytes(code[1:5], "little", signed=True)


def test_entry_jump_reaches_the_target_and_keeps_the_rest() -> None:
    new = redirected(ENTRY_JUMP, 0x1010, Interval(0x1008, 0x1018), bytes(range(16)), 0x50000)
    assert _jump_target(new[8:], 0x1010) == 0x50000
    assert new[:8] == bytes(range(8))
    assert new[13:] == bytes(range(13, 16))


def test_pad_jump_goes_back_to_the_near_jump() -> None:
    new = redirected(PAD_JUMP, 0x1010, Interval(0x100B, 0x1014), b"\xcc" * 9, 0x50000)
    assert _jump_target(new, 0x100B) == 0x50000
    assert new[5] == 0xEB
    assert 0x1010 + 2 + int.from_bytes(new[6:7], "little", signed=True) == 0x100B
    assert new[7:] == b"\xcc\xcc"


def test_a_lower_target_is_reached_too() -> None:
    new = redirected(ENTRY_JUMP, 0x1010, Interval(0x1010, 0x1015), bytes(5), 0x100)
    assert _jump_target(new, 0x1010) == 0x100


def test_written_ranges() -> None:
    assert written_range(PAD_JUMP, 0x1010) == Interval(0x100B, 0x1012)
    assert written_range(ENTRY_JUMP, 0x1010) == Interval(0x1010, 0x1015)


def test_kinds_are_the_plans() -> None:
    assert {PAD_JUMP, ENTRY_JUMP} == {kind.value for kind in RedirectionKind}


@pytest.mark.parametrize(
    ("kind", "entry", "window", "target"),
    [
        (ENTRY_JUMP, 0x1010, Interval(0x1010, 0x1014), 0x2000),
        (ENTRY_JUMP, 0x1010, Interval(0x1011, 0x1016), 0x2000),
        (PAD_JUMP, 0x1010, Interval(0x100C, 0x1014), 0x2000),
        (PAD_JUMP, 0x1010, Interval(0x100B, 0x1011), 0x2000),
        (PAD_JUMP, 4, Interval(0, 8), 0x2000),
        (ENTRY_JUMP, 0x1010, Interval(0x1010, 0x1015), 0x1015 + (1 << 31)),
        ("detour", 0x1010, Interval(0x1000, 0x1020), 0x2000),
    ],
)
def test_refuses_what_does_not_fit(kind: str, entry: int, window: Interval, target: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the sentence is for people
        redirected(kind, entry, window, bytes(len(window)), target)


def test_refuses_old_bytes_of_another_length() -> None:
    with pytest.raises(ValueError, match="old bytes"):
        redirected(ENTRY_JUMP, 0x1010, Interval(0x1010, 0x1018), bytes(7), 0x2000)
