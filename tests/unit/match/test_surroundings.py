"""Pairs by what surrounds a function in code and data, and twins that are paired in step."""

import numpy as np

from hpbuild.match.model import Change
from hpbuild.match.pairing import Level, Pairing, balanced
from hpbuild.match.surroundings import Surroundings, pair_by_surroundings, pair_twins
from tests.assembled import RET, Dll, Item, against, datum, diff, function
from tests.comparing import assert_same

BODY = b"\x31\xc9"


def hidden(label: str) -> Item:
    return function(label, BODY, RET, exported=False)


def tables(order: str, *, tail: bytes = b"") -> Dll:
    """Two exported functions name one table each by code of equal form; each table names one of two functions
    that are equal in all they are, and a text. Only the texts tell the tables apart, two steps away."""
    return Dll(
        code=(
            function("uses", ("lea", "holder"), RET),
            *(hidden(name) for name in order),
            function("last", b"\xb8\1\1\1\1", RET, tail),
        ),
        constants=(
            datum("holder", ("pointer", "table a"), b"--------", ("pointer", "table b")),
            datum("table a", ("pointer", "a"), ("pointer", "text a")),
            datum("table b", ("pointer", "b"), ("pointer", "text b")),
            datum("text a", b"alpha\0"),
            datum("text b", b"omega\0"),
        ),
    )


def index(dll: Dll, label: str) -> int:
    return dll.program().fragment_at(dll.labels()[label])


def test_what_a_table_names_besides_tells_copies_apart() -> None:
    fixed, baseline = tables("ba"), tables("ab")
    pairing = Pairing(len(fixed.side().forms), len(baseline.side().forms))
    assert pair_by_surroundings(Surroundings(fixed.side(), baseline.side(), pairing), pairing) >= 2
    for label in "ab":
        assert pairing.fixed[index(fixed, label)] == index(baseline, label)
        assert pairing.level[index(fixed, label)] == Level.CONTEXT


def test_nothing_is_paired_where_no_form_is_on_both_sides() -> None:
    fixed, baseline = tables("ab").side(), tables("ab").side()
    pairing = Pairing(len(fixed.forms), len(baseline.forms))
    everything = np.arange(len(fixed.forms))
    pairing.add(everything, everything, Level.FORM)
    assert pair_by_surroundings(Surroundings(fixed, baseline, pairing), pairing) == 0
    assert pair_twins(fixed, baseline, pairing, Surroundings(fixed, baseline, pairing), even=False) == 0


def rings(order: str) -> Dll:
    """Two pairs of functions that call each other, a with c and b with d. Nothing tells the pairs apart."""
    calls = {"a": "c", "b": "d", "c": "a", "d": "b"}
    return Dll(
        code=(
            function("exported", b"\xb8\1\1\1\1", RET),
            *(
                function(
                    name, BODY if name in "ab" else b"\x31\xd2", ("call", calls[name]), RET, exported=False
                )
                for name in order
            ),
        )
    )


def test_twins_that_call_each_other_are_paired_together() -> None:
    fixed, baseline = rings("abdc"), rings("abcd")
    pairing = Pairing(len(fixed.side().forms), len(baseline.side().forms))
    assert (
        pair_twins(
            fixed.side(),
            baseline.side(),
            pairing,
            Surroundings(fixed.side(), baseline.side(), pairing),
            even=True,
        )
        >= 4
    )
    partner = {
        name: next(each for each in "abcd" if index(baseline, each) == pairing.fixed[index(fixed, name)])
        for name in "abcd"
    }
    assert (partner["a"], partner["c"]) in (("a", "c"), ("b", "d"))
    assert (partner["b"], partner["d"]) in (("a", "c"), ("b", "d"))
    assert_same(diff(baseline, fixed))


def test_one_more_of_a_form_waits_for_other_evidence() -> None:
    baseline = Dll(code=(function("first", RET), hidden("a")))
    fixed = Dll(code=(function("first", RET), hidden("b"), hidden("a")))
    pairing = Pairing(3, 2)
    pairing.add(np.array([0]), np.array([0]), Level.EXPORT)
    assert not balanced(fixed.side().forms, baseline.side().forms, pairing).any()
    assert (
        pair_twins(
            fixed.side(),
            baseline.side(),
            pairing,
            Surroundings(fixed.side(), baseline.side(), pairing),
            even=True,
        )
        == 0
    )


def small(order: str, *, named: bool = False) -> Dll:
    """Functions that nobody calls: three of one form and three of another that is much like it. A table names
    them or not."""
    one, two = (b"\x31\xc9\x31\xd2" + code for code in (b"\x31\xdb", b"\x31\xf6\x90"))
    return Dll(
        code=(
            function("begin", b"\xb8\1\1\1\1", RET),
            *(function(name, one if name in "abc" else two, RET, exported=False) for name in order),
            function("end", b"\xb8\2\2\2\2", RET),
        ),
        constants=(datum("table", *(("pointer", name) for name in "abcdef")),) if named else (),
    )


def test_functions_of_other_form_are_not_paired_while_each_has_its_own() -> None:
    found = against(small("abcdef"), small("dafbec"))
    fixed, baseline = found.fixed.forms, found.baseline.forms
    paired = np.flatnonzero(found.pairing.fixed >= 0)
    assert len(paired) == 8
    assert (fixed[paired] == baseline[found.pairing.fixed[paired]]).all()


def test_a_change_that_makes_its_own_form_is_still_found() -> None:
    baseline = small("abcdef", named=True)
    parts = dict.fromkeys("c", (b"\x31\xc9\x31\xd2\x31\xdb\x90\x90", RET))
    code = tuple(
        function(item.label, *parts[item.label], exported=False) if item.label in parts else item
        for item in baseline.code
    )
    fixed = Dll(code=code, constants=baseline.constants)
    (change,) = diff(baseline, fixed).functions
    assert change.change is Change.CHANGED
    assert change.fixed[0].start == fixed.labels()["c"]
