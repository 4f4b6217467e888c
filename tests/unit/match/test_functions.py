"""Functions in columns: each fact is what the columns say, made when it is asked for."""

import numpy as np
import pytest

from hpbuild.match.functions import FunctionFact, ranges, ranges_of_each
from tests.comparing import PAIRS, compared


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("pair", PAIRS)
def test_facts_are_the_rows_of_the_columns(pair: str, symbols: str) -> None:
    both = compared(pair, symbols)
    facts = both.facts
    assert both.functions == facts.every == tuple(facts.values())
    assert [fact.root for fact in both.functions] == facts.roots.tolist() == list(facts)
    assert [fact.partner for fact in both.functions] == facts.partner.tolist()
    assert [fact.identical for fact in both.functions] == facts.identical.tolist()
    assert [fact.line_only for fact in both.functions] == facts.line_only.tolist()
    wanted = [fact for fact in both.functions if not fact.identical or fact.line_only]
    assert list(facts.differing) == wanted


def test_facts_by_root() -> None:
    facts = compared("codec", "auto").facts
    root = int(facts.roots[-1])
    assert root in facts
    assert facts[root] is facts[root]
    assert facts[root] == facts.every[-1]
    assert isinstance(facts[root], FunctionFact)
    assert len(facts) == len(facts.roots)


@pytest.mark.parametrize("root", [-1, 1 << 40, "name", None])
def test_what_is_no_root(root: object) -> None:
    both = compared("codec", "auto")
    assert root not in both.facts
    assert root not in both.baseline_functions
    assert both.facts.get(root) is None  # type: ignore[call-overload]
    with pytest.raises(KeyError):
        both.baseline_functions[root]  # type: ignore[index]


def test_parts_are_no_roots() -> None:
    both = compared("codec", "none")
    groups, fragments = both.baseline_functions, both.baseline.program.fragments
    parts = np.flatnonzero(fragments.root != np.arange(len(fragments))).tolist()
    assert not any(part in groups for part in parts)
    assert groups.roots.tolist() == [members[0] for members in groups.values()]
    assert np.int64(groups.roots[0]) in groups


def test_ranges_of_many_are_those_of_each() -> None:
    both = compared("codec", "none")
    program, wanted = both.fixed.program, [*both.facts.every[-1:], *both.facts.every[:5]]
    several = [(), *(fact.fragments for fact in wanted), (2, 0, 1), ()]
    found = ranges_of_each(program, several)
    assert found == [ranges(program, parts) for parts in several]
    assert {type(run.start) for part in found for run in part} == {int}
    assert ranges_of_each(program, []) == []
