"""Who refers to each fragment, and what is kept of a program beside the program."""

import numpy as np
import pytest

from hpbuild.match.comparison import compare
from hpbuild.match.facts import describe
from hpbuild.match.links import ordered_by
from hpbuild.match.sides import Side, bearings, contents, prepare
from tests.comparing import PAIRS, compared, example, program


def side(pair: str) -> Side:
    return compared(pair, "none").fixed


def test_rows_stand_by_group_and_in_order() -> None:
    rows, ends = ordered_by(np.array([2, -1, 0, 2, -1, 0], dtype=np.int64), 4)
    assert rows.tolist() == [2, 5, 0, 3]
    assert ends.tolist() == [0, 2, 2, 4, 4]


@pytest.mark.parametrize("pair", PAIRS)
def test_links_are_the_references_turned_round(pair: str) -> None:
    each = side(pair)
    links, code = each.links, each.targets.code
    assert len(links.rows) == int((code >= 0).sum()) > 0
    for fragment in range(len(each.forms)):
        rows = links.rows[links.first[fragment] : links.last[fragment]]
        assert rows.tolist() == np.flatnonzero(code == fragment).tolist()
        own = np.arange(each.first[fragment], links.own[fragment])
        assert own.tolist() == np.flatnonzero(each.program.references.fragment == fragment).tolist()


@pytest.mark.parametrize("pair", PAIRS)
def test_tables_are_references_to_the_start_of_data_with_addresses(pair: str) -> None:
    each = side(pair)
    atoms, atom = each.atoms, each.targets.atom
    expected = [
        row
        for row in range(len(atom))
        if atom[row] >= 0
        and each.targets.offset[row] == 0
        and atoms.memory[atom[row]] != 2
        and atoms.first_field[atom[row]] < atoms.last_field[atom[row]]
    ]
    assert each.links.tables.tolist() == expected


@pytest.mark.parametrize("pair", PAIRS)
def test_holders_and_unwind_records(pair: str) -> None:
    each = side(pair)
    fields, fragments, links = each.program.fields, each.program.fragments, each.links
    assert links.holder.tolist() == each.atoms.at(fields.site).tolist()
    for fragment, rva in enumerate(fragments.unwind.tolist()):
        assert links.unwind[fragment] == (each.atoms.one(rva) if rva else -1)


@pytest.mark.parametrize("pair", PAIRS)
def test_known_contents_change_nothing(pair: str) -> None:
    """They may have been computed elsewhere."""
    both = program(example(pair, "baseline"), "none"), program(example(pair, "fixed"), "none")
    one, two = contents(both[0]), contents(both[1])
    again = compare(*both, (one, two))
    assert describe(again) == describe(compared(pair, "none"))
    whither = bearings(both[0], one.atoms), bearings(both[1], two.atoms)
    assert describe(compare(*both, (one, two), whither)) == describe(again)
    assert again.fixed.forms.tolist() == prepare(both[1]).forms.tolist()
