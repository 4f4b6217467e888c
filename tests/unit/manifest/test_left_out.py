"""Parts that are left out: groups as values."""

from hpbuild.manifest.left_out import NOT_SELECTED, LeftOut, address_name, cause_of
from hpbuild.values import Interval

FUNCTIONS = LeftOut(
    what="function",
    change="changed",
    ranges=2,
    kept=1,
    fixed=(0x1000, 0x1010, 0x1800, 0x1804, 0x1010, 0x1030, 0x1700, 0x1708),
    baseline=(0x1100, 0x1110, 0x1000, 0x1028),
)


def test_parts_are_taken_from_the_row_of_borders() -> None:
    assert FUNCTIONS.count == 2
    assert FUNCTIONS.entries == (0x1000, 0x1010)
    assert FUNCTIONS.stays == (0x1100, 0x1000)
    first, second = FUNCTIONS.parts()
    assert first.fixed == (Interval(0x1000, 0x1010), Interval(0x1800, 0x1804))
    assert first.baseline == (Interval(0x1100, 0x1110),)
    assert second.fixed == (Interval(0x1010, 0x1030), Interval(0x1700, 0x1708))
    assert second.baseline == (Interval(0x1000, 0x1028),)
    assert second == FUNCTIONS.part(1)
    assert first.klass == NOT_SELECTED


def test_new_parts_have_no_old_version() -> None:
    item = LeftOut(what="data", change="new", ranges=1, kept=0, fixed=(0x10, 0x20, 0x30, 0x40))
    assert item.stays == ()
    assert [part.baseline for part in item.parts()] == [(), ()]
    assert item.key < FUNCTIONS.key


def test_a_part_is_called_by_its_name_or_its_address() -> None:
    assert [FUNCTIONS.place(number) for number in range(2)] == ["sub_1000", "sub_1010"]
    assert address_name("rodata", 0x1000) == "0x1000"
    item = LeftOut(what="bss", change="new", ranges=1, kept=0, fixed=(0x10, 0x20), names=("counter",))
    assert item.part(0).place == "counter"


def test_the_cause_says_what_and_how_much() -> None:
    ranges = (Interval(0x10, 0x20), Interval(0x5, 0x7))
    assert cause_of("changed", "rodata", ranges) == "changed rodata at 0x10, 18 bytes"
    assert cause_of("same", "rodata", ranges).endswith(", leads into a function that is left out")
    assert cause_of("same", "function", ranges).endswith(", leads into one that is left out")
    assert FUNCTIONS.part(0).cause == "changed function at 0x1000, 20 bytes"


def test_rows_say_what_the_parts_say() -> None:
    new = LeftOut(
        what="data", change="new", ranges=1, kept=0, fixed=(0x10, 0x20, 0x30, 0x40), names=("a", "b")
    )
    for item in (FUNCTIONS, new):
        rows = [
            (place, cause, tuple(fixed), tuple(baseline)) for place, cause, fixed, baseline in item.rows()
        ]
        assert rows == [
            (
                part.place,
                part.cause,
                tuple(border for run in part.fixed for border in (run.start, run.end)),
                tuple(border for run in part.baseline for border in (run.start, run.end)),
            )
            for part in item.parts()
        ]
