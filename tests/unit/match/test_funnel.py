"""The levels one by one (form, surroundings, reference, layout, likeness, order) and the whole funnel."""

import copy

import numpy as np
import pytest

from hpbuild.match.changed import pair_by_layout, pair_by_order, pair_by_reference, pair_by_similarity
from hpbuild.match.colours import Colouring, final_colours, pair_by_colour, pair_by_form
from hpbuild.match.data_testimony import DataTestimony
from hpbuild.match.funnel import pair_fragments
from hpbuild.match.mixing import mix
from hpbuild.match.pairing import Level, Pairing
from hpbuild.match.sides import Side
from hpbuild.match.similarity import Shapes, similarity
from hpbuild.match.surroundings import Surroundings
from tests.assembled import RET, Dll, Part, function
from tests.comparing import PAIRS, compared

LONG = (b"\x31\xc0\x48\x89\xca\x48\x01\xd0\x48\xf7\xd8\x48\x0f\xaf\xc1\x48\xc1\xe0\x04\x48\x29\xd0",)
CHANGED = (
    b"\x31\xc0\x48\x89\xca\x48\x01\xd0\x48\xf7\xd8\x48\x0f\xaf\xc1\x48\xc1\xe0\x04\x48\x29\xd0\x48\xff\xc0",
)
CPUID = (b"\x0f\xa2\x0f\xa2\x0f\xa2\x0f\xa2",)


def hidden(label: str, *parts: Part) -> object:
    return function(label, *parts, RET, exported=False)


def sides(fixed: Dll, baseline: Dll) -> tuple[Side, Side, Pairing, tuple[Shapes, Shapes]]:
    left, right = fixed.side(), baseline.side()
    return left, right, Pairing(len(left.forms), len(right.forms)), (Shapes(left), Shapes(right))


def index(side: Side, dll: Dll, label: str) -> int:
    found = side.program.fragment_at(dll.labels()[label])
    assert int(side.program.fragments.start[found]) == dll.labels()[label]
    return found


def call_each(*labels: str) -> tuple[Part, ...]:
    return tuple(("call", label) for label in labels)


def test_unique_forms_pair_and_repeated_forms_do_not() -> None:
    dll = Dll(code=(function("a", *LONG, RET), function("b", *CPUID, RET), function("c", *CPUID, RET)))
    moved = Dll(code=(dll.code[1], dll.code[2], dll.code[0]))
    left, right, pairing, _ = sides(dll, moved)
    assert pair_by_form(left, right, pairing) == 1
    assert pairing.fixed[index(left, dll, "a")] == index(right, moved, "a")
    assert pairing.level[index(left, dll, "a")] == Level.FORM


def test_form_leaves_out_targets_only() -> None:
    def made(target: str, byte: int) -> Side:
        return Dll(
            code=(
                function("a", ("call", target), bytes([0xB0, byte]), RET),
                function("b", RET),
                function("c", b"\x90", RET),
            )
        ).side()

    forms = [int(side.forms[0]) for side in (made("b", 1), made("c", 1), made("b", 2))]
    assert forms[0] == forms[1] != forms[2]
    assert all(form & 1 for form in forms), "0 is for data in code"


def test_surroundings_tell_equal_forms_apart() -> None:
    """Two functions of one form: what they call is different, and so is who calls them."""
    code = (
        function("top", *call_each("x", "y"), RET),
        function("x", ("call", "p"), RET),
        function("y", ("call", "q"), RET),
        function("p", *LONG, RET),
        function("q", *CPUID, RET),
    )
    fixed, baseline = Dll(code=code), Dll(code=(code[2], code[4], code[1], code[3], code[0]))
    left, right, pairing, _ = sides(fixed, baseline)
    assert pair_by_colour(Colouring(left, right), pairing, 6) == 5
    assert {int(level) for level in pairing.level} == {Level.CONTEXT}
    for label in ("top", "x", "y", "p", "q"):
        assert pairing.fixed[index(left, fixed, label)] == index(right, baseline, label)


def test_callers_tell_equal_functions_apart() -> None:
    """The two callees are equal in all they refer to (nothing)."""
    code = (
        function("one", *LONG, ("call", "x"), RET),
        function("two", *CPUID, ("call", "y"), RET),
        function("x", RET),
        function("y", RET),
    )
    fixed, baseline = Dll(code=code), Dll(code=(code[3], code[1], code[2], code[0]))
    left, right, pairing, _ = sides(fixed, baseline)
    assert pair_by_colour(Colouring(left, right), pairing, 6) == 4
    assert pairing.fixed[index(left, fixed, "x")] == index(right, baseline, "x")


def test_field_that_is_masked_is_not_a_zero() -> None:
    """A jump to the next instruction and a jump to another function differ in the masked field alone."""
    inner = Dll(code=(function("a", b"\xe9\0\0\0\0", RET), function("b", RET))).side()
    outer = Dll(code=(function("a", ("jump", "b"), RET), function("b", RET))).side()
    assert len(inner.program.references) == 0
    assert inner.masked[0x1000:0x1006].tolist() == outer.masked[0x1000:0x1006].tolist()
    assert inner.forms[0] != outer.forms[0]


def test_mix_depends_on_both_columns() -> None:
    values = np.arange(64, dtype=np.uint64)
    mixed = {int(item) for other in range(64) for item in mix(values, np.full(64, other, dtype=np.uint64))}
    assert len(mixed) == 64 * 64


def test_changed_function_is_found_by_its_caller() -> None:
    def made(body: tuple[bytes, ...]) -> Dll:
        return Dll(code=(function("top", ("call", "work"), RET), hidden("work", *body)))

    fixed, baseline = made(CHANGED), made(LONG)
    left, right, pairing, shapes = sides(fixed, baseline)
    pair_by_form(left, right, pairing)
    assert pair_by_reference(left, right, pairing, shapes) == 1
    work = index(left, fixed, "work")
    assert (pairing.fixed[work], pairing.level[work]) == (index(right, baseline, "work"), Level.REFERENCE)


def test_caller_alone_does_not_pair_what_is_not_alike() -> None:
    fixed = Dll(code=(function("top", ("call", "work"), RET), hidden("work", *CPUID)))
    baseline = Dll(code=(function("top", ("call", "work"), RET), hidden("work", *LONG)))
    left, right, pairing, shapes = sides(fixed, baseline)
    pair_by_form(left, right, pairing)
    assert pair_by_reference(left, right, pairing, shapes) == 0


def between(*middle: object) -> Dll:
    return Dll(code=(function("a", b"\xb8\1\0\0\0", RET), *middle, function("z", b"\xb8\2\0\0\0", RET)))  # type: ignore[arg-type]


def test_changed_function_is_found_between_its_neighbours() -> None:
    """The new one is not alike, so the old one goes to the other."""
    fixed = between(function("new", *CPUID, RET), function("work", *CHANGED, RET))
    baseline = between(function("work", *LONG, RET))
    left, right, pairing, shapes = sides(fixed, baseline)
    pair_by_form(left, right, pairing)
    assert pair_by_layout(left, right, pairing, shapes) == 1
    work = index(left, fixed, "work")
    assert (pairing.fixed[work], pairing.level[work]) == (index(right, baseline, "work"), Level.LAYOUT)
    assert pairing.fixed[index(left, fixed, "new")] == -1


def test_changed_function_that_moved_is_found_by_likeness() -> None:
    baseline = between(function("work", *LONG, RET))
    fixed = Dll(code=(baseline.code[0], baseline.code[2], function("work", *CHANGED, RET)))
    left, right, pairing, shapes = sides(fixed, baseline)
    pair_by_form(left, right, pairing)
    assert pair_by_layout(left, right, pairing, shapes) == 0
    assert pair_by_similarity(left, right, pairing, shapes) == 1
    assert pairing.level[index(left, fixed, "work")] == Level.SIMILARITY


def test_what_cannot_be_told_apart_pairs_in_order() -> None:
    dll = Dll(code=tuple(function(label, *LONG, RET) for label in "abc"))
    left, right, pairing, _ = sides(dll, dll)
    assert pair_by_colour(Colouring(left, right), pairing, 6) == 0
    assert pair_by_order(left, right, pairing, final_colours(Colouring(left, right), pairing, 6)) == 3
    assert pairing.fixed.tolist() == [0, 1, 2]
    assert {int(level) for level in pairing.level} == {Level.ORDER}


def test_order_says_nothing_when_the_numbers_differ() -> None:
    fixed, baseline = (
        Dll(code=tuple(function(label, *LONG, RET) for label in text)) for text in ("abc", "ab")
    )
    left, right, pairing, _ = sides(fixed, baseline)
    assert pair_by_order(left, right, pairing, final_colours(Colouring(left, right), pairing, 6)) == 0


def test_similarity_is_a_measure() -> None:
    made = Dll(code=(function("a", *LONG, RET), function("b", *CHANGED, RET), function("c", *CPUID, RET)))
    shapes = Shapes(made.side())
    a, b, c = (shapes.of(number) for number in range(3))
    assert similarity(a, a) == 1.0
    assert similarity(a, b) == similarity(b, a)
    assert similarity(a, a) > similarity(a, b) > similarity(a, c)
    assert 0 <= similarity(a, c) < 0.2
    assert len(a) == 9, "pairs of neighbours, with both ends"
    assert shapes.of(0) is shapes.of(0)


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("pair", PAIRS)
def test_pairs_are_one_to_one_and_of_code_only(pair: str, symbols: str) -> None:
    both = compared(pair, symbols)
    pairing = both.pairing
    paired = np.flatnonzero(pairing.fixed >= 0)
    assert len(paired)
    assert pairing.baseline[pairing.fixed[paired]].tolist() == paired.tolist()
    assert (both.fixed.forms[paired] != 0).all()
    assert (both.baseline.forms[pairing.fixed[paired]] != 0).all()
    assert both.agreement.identical[paired].any()
    assert not both.agreement.identical[pairing.fixed < 0].any()


def test_funnel_is_deterministic() -> None:
    both = compared("codec", "none")
    again = pair_fragments(both.fixed, both.baseline)
    assert again.fixed.tolist() == both.pairing.fixed.tolist()
    assert again.level.tolist() == both.pairing.level.tolist()


def changing(pair: str) -> tuple[Side, Side, list[Pairing]]:
    """Pairings of an example pair, one after the other: some of what the funnel finds, more, others, less."""
    both, choice = compared(pair, "none"), np.random.default_rng(7)
    found = both.pairing
    paired = choice.permutation(np.flatnonzero(found.fixed >= 0))
    pairing = Pairing(len(found.fixed), len(found.baseline))
    steps = [copy.deepcopy(pairing)]
    for part in np.array_split(paired, 4):
        pairing.add(part, found.fixed[part], Level.FORM)
        steps.append(copy.deepcopy(pairing))
        some = part[::2]
        pairing.drop(some)
        pairing.add(some, np.roll(found.fixed[some], 1), Level.FORM)
        steps.append(copy.deepcopy(pairing))
    pairing.drop(paired[::3])
    return both.fixed, both.baseline, [*steps, pairing]


@pytest.mark.parametrize("pair", PAIRS)
def test_colours_do_not_depend_on_what_was_paired_before(pair: str) -> None:
    """What one pairing told of references is kept for the next one, and forgotten when pairs were undone."""
    left, right, pairings = changing(pair)
    known = Colouring(left, right)
    for pairing in pairings:
        other = copy.deepcopy(pairing)
        pair_by_colour(known, other, 6)
        again = copy.deepcopy(pairing)
        pair_by_colour(Colouring(left, right), again, 6)
        assert other.fixed.tolist() == again.fixed.tolist()
        colours = final_colours(known, pairing, 6), final_colours(Colouring(left, right), pairing, 6)
        for one, two in zip(*colours, strict=True):
            assert one.tolist() == two.tolist()


@pytest.mark.parametrize("pair", PAIRS)
def test_surroundings_do_not_depend_on_what_was_paired_before(pair: str) -> None:
    """The graph of what is open now is cut out of that of before, unless more is open than was then."""
    left, right, pairings = changing(pair)
    before: Surroundings | None = None
    for pairing in pairings:
        kept, fresh = Surroundings(left, right, pairing, before=before), Surroundings(left, right, pairing)
        assert len(kept.rounds) == len(fresh.rounds)
        for one, two in zip(kept.rounds, fresh.rounds, strict=True):
            assert [side.tolist() for side in one] == [side.tolist() for side in two]
        if fresh.rounds:
            for mine, other in zip(kept.graphs, fresh.graphs, strict=True):
                edges = [
                    sorted(
                        zip(
                            *(column.tolist() for column in (graph.source, graph.target, graph.kind)),
                            strict=True,
                        )
                    )
                    for graph in (mine, other)
                ]
                assert edges[0] == edges[1]
        before = kept


@pytest.mark.parametrize("pair", PAIRS)
def test_testimony_about_data_does_not_depend_on_what_was_paired_before(pair: str) -> None:
    left, right, pairings = changing(pair)
    known, most = DataTestimony(left, right), 0
    for pairing in pairings:
        kept, fresh = known.pairs(pairing), DataTestimony(left, right).pairs(pairing)
        assert [side.tolist() for side in kept] == [side.tolist() for side in fresh]
        most = max(most, len(kept[0]))
    assert most
