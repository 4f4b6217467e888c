"""Functions found through data, copies of one function, and what takes a wrong pair back."""

import numpy as np

from hpbuild.match.funnel import pair_fragments
from hpbuild.match.leftovers import pair_leftovers
from hpbuild.match.pairing import Level, Pairing
from hpbuild.match.similarity import Shapes
from hpbuild.match.witness import drop_outvoted, pair_by_witness, witnesses
from tests.assembled import RET, Dll, against, datum, diff, function
from tests.comparing import assert_same, changed

USES = function("uses", ("lea", "table"), RET)
OTHER = function("other", b"\x31\xc0", ("lea rcx", "second"), RET)


def copies(order: str, *, first: str = "a", second: str = "b") -> Dll:
    """Functions that are equal in all they are, in the given order, and two tables that name one each."""
    return Dll(
        code=(USES, OTHER, *(function(name, b"\x31\xc9", RET, exported=False) for name in order)),
        constants=(
            datum("table", ("pointer", first), b"first...", ("pointer", "uses")),
            datum("second", ("pointer", second), b"second.."),
        ),
    )


def index(dll: Dll, label: str) -> int:
    return dll.program().fragment_at(dll.labels()[label])


def test_tables_of_paired_functions_say_which_copy_is_which() -> None:
    fixed, baseline = copies("ba"), copies("ab")
    left, right = fixed.side(), baseline.side()
    pairing = Pairing(len(left.forms), len(right.forms))
    named = np.array([index(fixed, "uses"), index(fixed, "other")])
    pairing.add(named, np.array([index(baseline, "uses"), index(baseline, "other")]), Level.EXPORT)
    votes = witnesses(left, right, pairing)
    assert pair_by_witness(left, right, pairing, (Shapes(left), Shapes(right)), votes) == 2
    for label in "ab":
        assert pairing.fixed[index(fixed, label)] == index(baseline, label)
    assert_same(diff(baseline, fixed))


def test_wrong_pairs_are_taken_back_and_names_are_not() -> None:
    fixed, baseline = copies("ba"), copies("ab")
    left, right = fixed.side(), baseline.side()
    for level, undone in ((Level.LAYOUT, 2), (Level.SYMBOL, 0)):
        pairing = Pairing(len(left.forms), len(right.forms))
        for label in ("uses", "other"):
            pairing.add_one(index(fixed, label), index(baseline, label), Level.EXPORT)
        pairing.add_one(index(fixed, "a"), index(baseline, "b"), level)
        pairing.add_one(index(fixed, "b"), index(baseline, "a"), level)
        assert drop_outvoted(left, right, pairing, witnesses(left, right, pairing)) == undone


def test_the_quick_way_finds_all_votes_for_free_functions() -> None:
    """They are the same votes, among others that speak for what is paired."""
    for order, paired in (("ba", ("uses", "other")), ("ab", ("uses",)), ("ba", ("uses", "other", "a"))):
        fixed, baseline = copies(order), copies("ab")
        left, right = fixed.side(), baseline.side()
        pairing = Pairing(len(left.forms), len(right.forms))
        for label in paired:
            pairing.add_one(index(fixed, label), index(baseline, label), Level.EXPORT)
        every, free = (
            {
                row
                for row in zip(*(column.tolist() for column in votes), strict=True)
                if pairing.fixed[row[0]] < 0 and pairing.baseline[row[1]] < 0
            }
            for votes in (witnesses(left, right, pairing), witnesses(left, right, pairing, free=True))
        )
        assert every == free
        assert every


def test_no_witness_without_a_pair() -> None:
    side = copies("ab").side()
    pairing = Pairing(len(side.forms), len(side.forms))
    votes = witnesses(side, side, pairing)
    assert [len(column) for column in votes] == [0, 0, 0]
    assert drop_outvoted(side, side, pairing, votes) == 0


def test_another_function_in_a_table_is_a_change() -> None:
    """Both tables name one copy now: only one of them can be the old table."""
    found = diff(copies("ab"), copies("ab", first="b"))
    assert len(changed(found)) == 1


def test_copies_pair_as_far_as_both_sides_have_them() -> None:
    """Three and five of the same: three are the old ones, two are new."""
    for old, new, added, removed in (("abcde", "abc", 0, 2), ("abc", "abcde", 2, 0)):
        found = diff(copies(old), copies(new)).summary
        assert (found.changed, found.added, found.removed) == (0, added, removed)


def calls(*targets: str) -> Dll:
    """Functions that call one each: equal but for what they call."""
    code = [function("x", b"\x31\xc0", RET), function("y", b"\x31\xc9", RET)]
    code += [
        function(f"f{n}", b"\x31\xd2" * 4, ("call", target), RET, exported=False)
        for n, target in enumerate(targets)
    ]
    return Dll(code=tuple(code))


def test_copies_that_are_known_to_call_something_else_do_not_pair() -> None:
    fixed, baseline = calls("x", "x"), calls("y")
    left, right = fixed.side(), baseline.side()
    pairing = Pairing(len(left.forms), len(right.forms))
    for label in "xy":
        pairing.add_one(index(fixed, label), index(baseline, label), Level.EXPORT)
    assert pair_leftovers(left, right, pairing) == 0
    right = calls("x").side()
    assert pair_leftovers(left, right, Pairing(len(left.forms), len(right.forms))) == 3


def test_what_agrees_most_pairs_first() -> None:
    fixed, baseline = calls("y", "x"), calls("x", "x", "y")
    comparison = against(baseline, fixed)
    pairing = pair_fragments(comparison.fixed, comparison.baseline)
    assert pairing.fixed[index(fixed, "f0")] == index(baseline, "f2")
