"""What is not followed would have changed nothing: without the screening the same lines are found."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpbuild.match import line_only
from hpbuild.match.funnel import pair_fragments
from hpbuild.match.line_calls import Calls, groups
from hpbuild.match.line_only import LineSites, line_sites
from hpbuild.match.line_screening import worth_following
from hpbuild.match.line_sites import Walks, differing_constants, differing_sites
from hpbuild.match.sides import Side
from tests.assembled import RET, Dll, Item, Part, function
from tests.lines import (
    CHECK_CALL,
    CLOSE,
    FILE,
    LINES,
    OPEN,
    asserted,
    assertions,
    checks,
    dll,
    put,
    said,
    shifted,
)

NOTE = function("note", b"\xb8\x02\0\0\0", RET)
NOTE_CALL: Part = ("call", "note")


def parts(kind: int, line: int) -> list[Part]:
    """One call that may get a line."""
    made: tuple[list[Part], ...] = (
        checks((line,)),
        checks((line,), FILE),
        asserted(line),
        said(line),
        checks((line,), call=NOTE_CALL),
        checks((line,), FILE, call=NOTE_CALL),
        [put("r8d", line), CHECK_CALL, b"\x45\x31\xc0", CHECK_CALL],
    )
    return made[kind]


def stays(number: int, *body: Part) -> Item:
    """A caller that does not change; inc rsi tells it apart."""
    return function(f"same{number}", OPEN, b"\x48\xff\xc6" * (number + 1), *body, CLOSE)


KINDS = st.lists(st.integers(0, 6), min_size=1, max_size=3)
CALLS = st.lists(st.tuples(KINDS, st.integers(0, 3)), min_size=1, max_size=5)
STEPS = st.lists(st.sampled_from([0, 0, 1, 3, 3, 8]), min_size=6, max_size=6)


def program(rows: list[tuple[list[int], int]], steps: list[int], same: list[list[int]]) -> Dll:
    """Callers with lines that rise, from each of ``rows`` on by another step; and such as do not change."""
    line, bodies = 100, []
    for (kinds, gap), step in zip(rows, steps, strict=False):
        line += 20 + step
        bodies.append(
            [part for number, kind in enumerate(kinds) for part in parts(kind, line + 3 * number + gap)]
        )
    more = [
        function(
            f"same{number}",
            OPEN,
            b"\x48\xff\xc6" * (number + 1),
            *(p for k in kinds for p in parts(k, 900)),
            CLOSE,
        )
        for number, kinds in enumerate(same)
    ]
    return assertions(*bodies, more=(NOTE, *more))


def both(fixed: Side, baseline: Side) -> tuple[LineSites, LineSites]:
    """The lines as they are found, and without any screening."""
    pairing = pair_fragments(fixed, baseline)
    found = line_sites(fixed, baseline, pairing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_only, "worth_following", lambda calls, callees, walks: callees)
        patch.setattr(line_only, "may_be_lines", lambda side, constants: True)
        return found, line_sites(fixed, baseline, pairing)


@settings(max_examples=60, deadline=None)
@given(CALLS, STEPS, st.lists(KINDS, max_size=2))
def test_screening_changes_nothing(
    rows: list[tuple[list[int], int]], steps: list[int], same: list[list[int]]
) -> None:
    baseline, fixed = program(rows, [0] * 6, same).side(), program(rows, steps, same).side()
    found, everything = both(fixed, baseline)
    assert found == everything


def screened(*functions: Part) -> tuple[frozenset[int] | None, int]:
    """What has to be followed when the lines of ``check`` move, and how many callers were followed to see
    that. ``functions`` are bodies of callers that stay."""
    more = tuple(stays(number, body, CHECK_CALL) for number, body in enumerate(functions))
    old, new = (dll(*(checks(some) for some in lines), more=more).side() for lines in (LINES, shifted(7)))
    pairing = pair_fragments(new, old)
    sites = differing_sites(new, old, pairing, differing_constants(new, old, pairing))
    assert len(sites) == len(LINES)
    walks = Walks(new, old, pairing)
    calls = Calls(
        new, old, pairing, frozenset(sites), groups(each for some in sites.values() for each in some)
    )
    callees = frozenset(site.callee for some in sites.values() for site in some)
    return worth_following(calls, callees, walks), walks.of.cache_info().misses


def test_a_pattern_asks_for_all_callers() -> None:
    found, followed = screened(put("r8d", 402), put("r8d", 433))
    assert found is not None
    assert len(found) == 1
    assert followed == 2


def test_one_caller_without_a_constant_is_enough() -> None:
    """xor r8d, r8d: the others are not looked at."""
    assert screened(b"\x45\x31\xc0", put("r8d", 402), put("r8d", 433)) == (None, 1)


def test_no_lines_by_their_values() -> None:
    """All old values are one: nothing is followed, and nothing is a line."""
    made = [dll(*([put("r8d", value), CHECK_CALL] for _ in LINES)).side() for value in (600, 601)]
    found, everything = both(made[1], made[0])
    assert found == everything == LineSites((), (), frozenset())
