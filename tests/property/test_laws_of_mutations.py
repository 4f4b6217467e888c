"""Laws over real images: one random mutation, and exactly what it is must be reported.

`make test` draws a few over the committed images; `make test-property` draws thousands over larger ones too.
"""

import sys
from random import Random

import pytest

from tests.property.judging import Demand, examine, judge
from tests.property.mutations import LAWS
from tests.property.specimens import DRAWS, ONLY, SEED, Specimen, absent, specimens
from tests.property.terrain import Terrain, terrain

TRIES = 400
"""Draws that may not suit a law, for each that does."""
SHOWN = 12


def shares() -> list[tuple[Specimen, str, int]]:
    """Every specimen and law with its number of draws, together DRAWS of each law."""
    every = specimens()
    return [
        (specimen, law, DRAWS // len(every) + (number < DRAWS % len(every)))
        for number, specimen in enumerate(every)
        for law in LAWS
    ]


CASES = [pytest.param(*row, id=f"{row[1]}:{row[0].identifier}") for row in shares() if row[2]]


def drawn(here: Terrain, law: str, identifier: str) -> Demand | None:
    """The demand of one draw; none when the image has nothing that suits the law."""
    random = Random(identifier)
    for _ in range(TRIES):
        demand = LAWS[law](here, random)
        if demand is not None:
            return demand
    return None


@pytest.mark.parametrize(("specimen", "law", "count"), CASES)
def test_one_mutation_is_reported_as_what_it_is(specimen: Specimen, law: str, count: int) -> None:
    here, failures, made = terrain(specimen), list[str](), 0
    for number in range(count):
        identifier = f"{SEED}:{law}:{specimen.identifier}:{number}"
        if ONLY not in identifier:
            continue
        demand = drawn(here, law, identifier)
        if demand is None:
            break
        made += 1
        wrong = judge(demand, examine(here.program, demand.edits))
        if wrong:
            failures.append(f"LAWS_ONLY={identifier}  {demand.story}\n      " + "\n      ".join(wrong[:6]))
    sys.stdout.write(f"seed {SEED}, {made} draws of {law}\n")
    if failures:
        repeat = f"LAWS_SEED={SEED} LAWS_DRAWS={DRAWS}, and in front of the same command one of:"
        shown = "\n  ".join(failures[:SHOWN])
        pytest.fail(f"{len(failures)} of {made} draws; repeat with {repeat}\n  {shown}", pytrace=False)
    if not made:
        pytest.skip("nothing in this image suits the law")


def test_larger_images_are_used() -> None:
    if absent():
        pytest.skip(absent())
    assert len(specimens()) > 20
