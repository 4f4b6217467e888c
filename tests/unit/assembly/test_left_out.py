"""What a plan leaves out, as groups of the manifest: the same parts, in one order."""

import random

from hpbuild.assembly.left_out import left_out_groups
from hpbuild.plan.model import LeftOut
from hpbuild.values import Interval


def part(what: str, change: str, name: str, fixed: list[tuple[int, int]], *old: tuple[int, int]) -> LeftOut:
    ranges = tuple(Interval(*run) for run in fixed)
    words = f"{change} {what} at {ranges[0].start:#x}, {sum(map(len, ranges))} bytes"
    if change == "same":
        words += f", leads into {'one' if what == 'function' else 'a function'} that is left out"
    return LeftOut(
        what=what,
        change=change,
        place=name,
        cause=words,
        fixed=ranges,
        baseline=tuple(Interval(*run) for run in old),
    )


PARTS = [
    part("function", "changed", "f", [(0x1000, 0x1010)], (0x1100, 0x1120)),
    part("function", "changed", "sub_2000", [(0x2000, 0x2010)], (0x2000, 0x2010)),
    part("function", "changed", "g", [(0x1800, 0x1810)], (0x1000, 0x1008)),
    part("function", "changed", "sub_2800", [(0x2800, 0x2810), (0x2700, 0x2704)], (0x2800, 0x2810)),
    part("function", "new", "sub_2900", [(0x2900, 0x2910)]),
    part("function", "same", "sub_2a00", [(0x2A00, 0x2A10)], (0x2A00, 0x2A10)),
    part("rodata", "same", "0x3000", [(0x3000, 0x3010)], (0x3000, 0x3010)),
    part("rodata", "changed", "sub_3100", [(0x3100, 0x3110)], (0x3000, 0x3010)),
]


def test_every_part_is_in_a_group_as_it_was() -> None:
    groups = left_out_groups(PARTS)
    told = {
        (item.what, item.change, found.place, found.cause, found.fixed, found.baseline)
        for item in groups
        for found in item.parts()
    }
    assert told == {(p.what, p.change, p.place, p.cause, p.fixed, p.baseline) for p in PARTS}
    assert sum(item.count for item in groups) == len(PARTS)


def test_groups_and_parts_ascend_whatever_the_order_was() -> None:
    groups = left_out_groups(PARTS)
    keys = [item.key for item in groups]
    assert keys == sorted(set(keys))
    assert all(list(item.entries) == sorted(item.entries) for item in groups)
    shuffled = random.Random(1).sample(PARTS, len(PARTS))
    assert left_out_groups(shuffled) == groups


def test_parts_that_are_called_by_their_address_need_no_name() -> None:
    named = {name for item in left_out_groups(PARTS) for name in item.names}
    assert named == {"f", "g", "sub_3100"}
    assert left_out_groups([]) == ()
