"""Every law can fail: a result with one fact dropped, added or changed is not accepted."""

from dataclasses import replace
from functools import cache
from random import Random

import pytest

from hpbuild.code.program import load_program
from hpbuild.match.comparison import compare
from hpbuild.match.facts import describe
from hpbuild.match.model import Change, Difference
from hpbuild.pe.reader import parse_image
from hpbuild.pe.symbols import SymbolKind
from tests.assembled import RET, Dll, datum, function, symbol
from tests.comparing import patched
from tests.property.judging import Carried, Demand, Result, examine, examine_programs, judge
from tests.property.mutations import LAWS
from tests.property.relinking import relinked, same_operands
from tests.property.specimens import Specimen, specimens
from tests.property.terrain import Terrain, terrain
from tests.property.test_laws_of_copies import mirrored, same
from tests.property.test_laws_of_mutations import drawn

COMMITTED = specimens()[:16]


@cache
def example(law: str) -> tuple[Terrain, Demand, Result]:
    """A draw of the law over a committed image, with the result that the law holds for."""
    for specimen in COMMITTED:
        here = terrain(specimen)
        for number in range(4):
            demand = drawn(here, law, f"can fail {number}")
            if demand is not None:
                result = examine(here.program, demand.edits)
                assert judge(demand, result) == []
                return here, demand, result
    return drawn_by_hand(law)


def drawn_by_hand(law: str) -> tuple[Terrain, Demand, Result]:
    """A draw over a small DLL, for laws that no committed image suits."""
    names = ("first", "first", "first", "second", "second", "second")
    code = tuple(
        function(f"function{number}", ("load", name), bytes((0x83, 0xC0, number)), RET)
        for number, name in enumerate(names)
    )
    variables = (datum("first", b"\1" * 8), datum("second", b"\2" * 8))
    constants = (datum("pair", b"\1\2\3\4\5\6\7\0"),)
    readers = (function("one", ("lea", "pair"), RET), function("two", ("load", "pair+4"), RET))
    dll = Dll(code=(*code, *readers), constants=constants, variables=variables)
    sized = symbol("pair", dll.labels()["pair"], SymbolKind.DATA, size=8)
    program = dll.program(sized)
    here = Terrain(program, program.symbols)
    demand = drawn(here, law, "by hand")
    assert demand is not None, law
    result = examine(program, demand.edits)
    assert judge(demand, result) == []
    return here, demand, result


def difference_of(result: Result) -> Difference:
    assert result.difference is not None
    return result.difference


def codec() -> Specimen:
    return specimens()[1]


@pytest.mark.parametrize("law", LAWS)
def test_a_missing_fact_is_noticed(law: str) -> None:
    _, demand, result = example(law)
    difference = difference_of(result)
    demanded = demand.changed or demand.carried or demand.datum >= 0 or demand.refused
    assert demanded, "a law that demands nothing"
    for entry in demand.changed:
        rest = tuple(item for item in difference.functions if not item.fixed or item.fixed[0].start != entry)
        assert judge(demand, replace(result, difference=replace(difference, functions=rest)))
    for entry in demand.changed | demand.carried:
        left = tuple(item for item in result.carried if item.entry != entry)
        assert judge(demand, replace(result, carried=left))
    if demand.datum >= 0:
        assert judge(demand, replace(result, difference=replace(difference, data=())))
    if demand.refused:
        assert judge(demand, replace(result, refusals=frozenset()))


@pytest.mark.parametrize("law", ["byte-of-code", "constant-in-code", "branch-target"])
def test_lines_are_no_answer(law: str) -> None:
    _, demand, result = example(law)
    difference = difference_of(result)
    moved = tuple(replace(item, line_only=True) for item in difference.functions)
    assert judge(demand, replace(result, difference=replace(difference, functions=moved)))


@pytest.mark.parametrize("law", ["byte-of-code", "constant-in-code", "branch-target", "text", "variable"])
def test_a_fact_too_many_is_noticed(law: str) -> None:
    here, demand, result = example(law)
    difference = difference_of(result)
    assert demand.within is not None
    other = next(entry for entry in here.ranges if entry not in demand.within)
    whole = examine_programs(here.program, here.program)
    assert judge(replace(demand, edits={}), whole), "nothing changed, and the law holds"
    template = example("byte-of-code")[2]
    change = difference_of(template).functions[0]
    extra = replace(change, fixed=tuple(type(run)(other, other + 1) for run in change.fixed[:1]))
    functions = (*difference.functions, extra)
    assert judge(demand, replace(result, difference=replace(difference, functions=functions)))
    carried = (*result.carried, Carried(other, follows=False))
    assert judge(demand, replace(result, carried=carried))
    gone = replace(extra, change=Change.REMOVED, fixed=())
    functions = (*difference.functions, gone)
    assert judge(demand, replace(result, difference=replace(difference, functions=functions)))


def test_an_image_that_is_not_read_is_noticed() -> None:
    _, demand, _ = example("byte-of-code")
    assert judge(demand, Result(difference=None, declined="HP1001")) == ["not read: HP1001"]
    assert same(Result(difference=None, declined="HP1001")) == ["not read: HP1001"]


def test_an_account_that_does_not_add_up_is_noticed() -> None:
    _, demand, result = example("byte-of-code")
    difference = replace(difference_of(result), account=())
    assert judge(demand, replace(result, difference=difference))
    assert same(replace(result, difference=difference))


@pytest.mark.parametrize("law", ["byte-of-code", "text", "variable"])
def test_a_change_is_not_the_same(law: str) -> None:
    assert same(example(law)[2])


def test_a_side_with_a_fact_less_is_no_mirror() -> None:
    here, demand, _ = example("byte-of-code")
    image = parse_image(patched(here.image, demand.edits), here.image.name)
    other = load_program(image, here.program.symbols)
    there = describe(compare(here.program, other))
    back = describe(compare(other, here.program))
    assert mirrored(there, back) == []
    assert mirrored(there, replace(back, functions=()))
    assert mirrored(replace(there, functions=()), back)
    data, _, _ = example("text")
    found = difference_of(example("text")[2])
    assert data is not here or found is not there
    assert mirrored(found, replace(found, data=()))


def test_a_branch_that_was_not_moved_is_noticed() -> None:
    """In a relinked image, one call that leads where it led before."""
    program = codec().program()
    copy, moves = relinked(program, Random("a call"))
    references = copy.references
    row = next(
        row
        for row in range(len(references))
        if references.width[row] == 4 and copy.fragment_at(int(references.target[row])) >= 0
    )
    site, target = int(references.site[row]), int(references.target[row])
    broken = patched(copy.image, {site: (target + 1 - site - 4).to_bytes(4, "little", signed=True)})
    again = load_program(parse_image(broken, copy.image.name), copy.symbols)
    assert same_operands(program, copy, moves) == []
    assert same_operands(program, again, moves)
    assert same(examine_programs(program, again))


def test_functions_are_moved() -> None:
    program = codec().program()
    copy, moves = relinked(program, Random("order"))
    assert moves.moved > len(moves.units) // 2
    assert copy.fragments.start.tolist() != program.fragments.start.tolist()
    assert {copy.names[row] for row in copy.names} == {program.names[row] for row in program.names}
