"""Laws over real images: copies that mean the same are no change, and what differs is the same seen from the
other side."""

import struct
from collections.abc import Sequence
from random import Random

import pytest

from bench.mutate import CannotMutateError, rebased, restamped
from hpbuild.code.model import Program
from hpbuild.code.program import load_program
from hpbuild.match.comparison import compare
from hpbuild.match.facts import describe
from hpbuild.match.model import Change, Difference
from hpbuild.pe.reader import parse_image
from tests.comparing import assert_same, patched
from tests.property.judging import Result, examine_file, examine_programs
from tests.property.mutations import LAWS
from tests.property.relinking import CannotRelinkError, relinked, same_operands
from tests.property.specimens import DRAWS, ONLY, SEED, Specimen, specimens
from tests.property.terrain import Terrain, terrain
from tests.property.test_laws_of_mutations import SHOWN, drawn

EVERY = [pytest.param(specimen, id=specimen.identifier) for specimen in specimens()]
SHARE = max(1, DRAWS // len(EVERY))
CODE_LAWS = ("byte-of-code", "constant-in-code", "text")
"""Laws whose mutations go together. Not a byte of any constant: virtual tables and type information that
cannot be read as such have other extents, and no compiler makes that."""


def draws(law: str, specimen: Specimen) -> list[tuple[str, Random]]:
    identifiers = [f"{SEED}:{law}:{specimen.identifier}:{number}" for number in range(SHARE)]
    return [(identifier, Random(identifier)) for identifier in identifiers if ONLY in identifier]


def same(result: Result) -> list[str]:
    """What a comparison of equals reports; nothing when the law holds."""
    if result.difference is None:
        return [f"not read: {result.declined}"]
    difference = result.difference
    wrong = [f"{item.change.value}: {item.name} ({item.reason})" for item in difference.functions]
    wrong += [f"{item.change.value} datum: {item.fixed or item.baseline}" for item in difference.data]
    wrong += [f"carried: {item.entry:#x}" for item in result.carried]
    wrong += [f"refused: {code}" for code in sorted(result.refusals)]
    if sum(size for _, size in difference.account) != difference.mapped:
        wrong.append("the account does not add up")
    return wrong


@pytest.mark.parametrize("specimen", EVERY)
def test_nothing_differs_from_itself(specimen: Specimen) -> None:
    program = specimen.program()
    assert_same(describe(compare(program, program)))


@pytest.mark.parametrize("specimen", EVERY)
def test_stamps_and_base_are_no_change(specimen: Specimen) -> None:
    program, random = specimen.program(), Random(f"{SEED}:{specimen.identifier}")
    data = program.image.data.whole()
    assert not same(examine_file(program, restamped(data)))
    try:
        moved = rebased(data, 0x10000 * random.randint(1, 0x7000))
    except CannotMutateError:
        return
    assert not same(examine_file(program, moved))
    assert not same(examine_file(program, restamped(moved)))


def other_filler(here: Terrain, random: Random) -> dict[int, bytes]:
    """No-operations for int3 behind functions, in any of the runs of int3 but the first byte: it tells where
    a function ends that no-operations would seem to belong to. Behind a table bytes are no filler by their
    value, but by that of int3."""
    fragments = here.program.fragments
    behind = set(fragments.end[~fragments.opaque].tolist())
    runs = [
        run for run in here.filler() if run[0] in behind and run[1] - run[0] > 1 and random.random() < 0.5
    ]
    return {low + 1: b"\x90" * (high - low - 1) for low, high in runs}


def longer(data: bytes, random: Random) -> bytes:
    """The file with bytes behind the last section; a signature stays at the end of the file, else it goes."""
    (header,) = struct.unpack_from("<I", data, 0x3C)
    if any(struct.unpack_from("<II", data, header + 24 + 112 + 8 * 4)):
        return data
    return data + random.randbytes(8 * random.randrange(1, 200))


@pytest.mark.parametrize("specimen", EVERY)
def test_filler_is_no_change(specimen: Specimen) -> None:
    here, failures = terrain(specimen), []
    for identifier, random in draws("filler", specimen):
        edits = other_filler(here, random)
        data = longer(patched(here.image, edits), random)
        wrong = same(examine_file(here.program, data))
        failures += [f"LAWS_ONLY={identifier}  {len(edits)} runs: {'; '.join(wrong[:4])}"] if wrong else []
    assert not failures, "\n".join(failures[:SHOWN])


@pytest.mark.parametrize("specimen", EVERY)
def test_order_of_functions_is_no_change(specimen: Specimen) -> None:
    program, failures = specimen.program(), []
    for identifier, random in draws("order", specimen):
        try:
            copy, moves = relinked(program, random)
        except CannotRelinkError as error:
            pytest.skip(str(error))
        assert moves.moved > 1
        wrong = same(examine_programs(program, copy))
        failures += [f"LAWS_ONLY={identifier}  {moves.moved} moved: {'; '.join(wrong[:4])}"] if wrong else []
    assert not failures, "\n".join(failures[:SHOWN])


@pytest.mark.parametrize("specimen", EVERY[:8])
def test_relinked_images_mean_the_same(specimen: Specimen) -> None:
    """The rewriter under the law above, checked by another decoder."""
    program = specimen.program()
    copy, moves = relinked(program, Random(SEED))
    assert same_operands(program, copy, moves) == []
    assert copy.image.data.whole() != program.image.data.whole()


def seen(difference: Difference, *, swap: bool) -> tuple[set[object], set[object]]:
    """Functions and data as (change, old ranges, new ranges); as seen from the other side with ``swap``."""
    other = {Change.ADDED: Change.REMOVED, Change.REMOVED: Change.ADDED}
    functions, data = set[object](), set[object]()
    for function in difference.functions:
        sides = (function.baseline, function.fixed)
        change = other.get(function.change, function.change) if swap else function.change
        functions.add((change, *(sides[::-1] if swap else sides), function.line_only))
    for datum in difference.data:
        places = (datum.baseline, datum.fixed)
        change = other.get(datum.change, datum.change) if swap else datum.change
        data.add((change, *(places[::-1] if swap else places)))
    return functions, data


def several(here: Terrain, identifier: str, random: Random, laws: Sequence[str] = CODE_LAWS) -> Program:
    """The program with up to six mutations of different kinds."""
    edits: dict[int, bytes] = {}
    for number in range(random.randrange(1, 7)):
        demand = drawn(here, random.choice(laws), f"{identifier}:{number}")
        if demand is not None:
            edits |= demand.edits
    image = parse_image(patched(here.image, edits), here.image.name)
    return load_program(image, here.program.symbols)


def mirrored(there: Difference, back: Difference) -> list[str]:
    """What two comparisons in opposite directions do not agree on."""
    wrong = []
    names = ("functions", "data")
    for name, one, other in zip(names, seen(there, swap=False), seen(back, swap=True), strict=True):
        wrong += [f"{name}, there only: {item}" for item in one - other]
        wrong += [f"{name}, back only: {item}" for item in other - one]
    return wrong


def mirror(specimen: Specimen, law: str, laws: Sequence[str]) -> list[str]:
    here, failures = terrain(specimen), []
    for identifier, random in draws(law, specimen):
        one, other = (several(here, f"{identifier}:{side}", random, laws) for side in "ab")
        wrong = mirrored(describe(compare(one, other)), describe(compare(other, one)))
        failures += [f"LAWS_ONLY={identifier}  {'; '.join(wrong[:4])}"] if wrong else []
    return failures


@pytest.mark.parametrize("specimen", EVERY)
def test_comparing_backwards_swaps_added_and_removed(specimen: Specimen) -> None:
    failures = mirror(specimen, "backwards", CODE_LAWS)
    assert not failures, "\n".join(failures[:SHOWN])


@pytest.mark.parametrize("specimen", EVERY)
def test_comparing_backwards_with_other_calls(specimen: Specimen) -> None:
    failures = mirror(specimen, "calls-backwards", (*CODE_LAWS, "branch-target"))
    assert not failures, "\n".join(failures[:SHOWN])


def test_all_laws_that_mix_are_laws() -> None:
    assert set(CODE_LAWS) <= set(LAWS)
