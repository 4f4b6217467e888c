"""Laws over drawn arrays: functions that index them, functions that read an element, and one changed bit.

No committed image has such a constant without a symbol, so small DLLs are made for it.
"""

from dataclasses import dataclass
from random import Random

import pytest

from hpbuild.code.model import Program
from hpbuild.code.program import load_program
from hpbuild.match.comparison import compare
from hpbuild.pe.reader import parse_image
from hpbuild.plan.planner import make_plan
from tests.assembled import RET, Dll, Item, datum, function
from tests.comparing import patched
from tests.property.judging import Demand, examine, judge
from tests.property.specimens import DRAWS, ONLY, SEED

_WIDTH = 4
_INDEX = b"\x8b\x04\x88"
"""mov eax,[rax+rcx*4]."""
_NOP = b"\x90"


@dataclass(frozen=True)
class Array:
    """Elements of ``_WIDTH`` bytes; ``indexing`` and ``reading`` are functions, these with the element."""

    name: str
    content: bytes
    indexing: tuple[str, ...]
    reading: tuple[tuple[str, int], ...]


def drawn(random: Random) -> tuple[Array, ...]:
    """One to three arrays. No element looks like letters or has an end mark: texts have an end that shows."""
    found = []
    for number in range(random.randint(1, 3)):
        count = random.randint(3, 12)
        readers = [random.randrange(count) for _ in range(random.randint(0, 4))]
        found.append(
            Array(
                name=f"array{number}",
                content=b"".join(
                    bytes([random.choice(b"\3\6\7"), *random.choices(range(0x80, 0x100), k=_WIDTH - 1)])
                    for _ in range(count)
                ),
                indexing=tuple(f"indexes{number}_{row}" for row in range(random.randint(1, 2))),
                reading=tuple((f"reads{number}_{row}", element) for row, element in enumerate(readers)),
            )
        )
    return tuple(found)


def linked(arrays: tuple[Array, ...]) -> Dll:
    """A DLL with these arrays, one behind the other; no two functions have the same code."""
    code: list[Item] = []
    for array in arrays:
        for name in array.indexing:
            code.append(function(name, ("lea", array.name), _INDEX, _NOP * len(code), RET))
        for name, element in array.reading:
            place = f"{array.name}+{_WIDTH * element}"
            code.append(function(name, ("load", place), _NOP * len(code), RET))
    constants = tuple(datum(array.name, array.content, align=_WIDTH) for array in arrays)
    return Dll(code=tuple(code), constants=constants)


def mutation(random: Random) -> tuple[Program, Demand, tuple[int, bytes]]:
    """A program, the demand of one changed bit, and the array as it is then (RVA, content)."""
    arrays = drawn(random)
    dll, array = linked(arrays), random.choice(arrays)
    at, start = random.randrange(len(array.content)), dll.labels()[array.name]
    new = bytearray(array.content)
    new[at] ^= 1 << random.randrange(5)
    entries = dll.labels()
    indexing = frozenset(entries[name] for name in array.indexing)
    demand = Demand(
        story=f"one bit of {array.name}+{at}, which functions index and functions read",
        edits={start + at: bytes(new[at : at + 1])},
        carried=indexing | {entries[name] for name, element in array.reading if element == at // _WIDTH},
        within=indexing | {entries[name] for name, _ in array.reading},
        datum=start + at,
    )
    return dll.program(), demand, (start, bytes(new))


def test_whoever_can_reach_a_changed_element_gets_the_whole_array() -> None:
    failures = []
    for number in range(DRAWS):
        identifier = f"{SEED}:array:{number}"
        if ONLY not in identifier:
            continue
        program, demand, (start, content) = mutation(Random(identifier))
        wrong = judge(demand, examine(program, demand.edits))
        wrong += _torn(program, demand, start, content)
        if wrong:
            failures.append(f"LAWS_ONLY={identifier}  {demand.story}: {'; '.join(wrong)}")
    if failures:
        shown = "\n  ".join(failures[:12])
        pytest.fail(f"{len(failures)} of {DRAWS} draws; LAWS_SEED={SEED}\n  {shown}", pytrace=False)


def _torn(program: Program, demand: Demand, start: int, content: bytes) -> list[str]:
    """Nothing when one datum of the package holds the array from its first byte to its last."""
    fixed = load_program(parse_image(patched(program.image, demand.edits), "tiny.dll"), program.symbols)
    plan = make_plan(compare(program, fixed))
    for item in plan.data:
        if item.fixed.start <= start and start + len(content) <= item.fixed.end:
            offset = start - item.fixed.start
            if plan.chunks[item.chunk].content[offset : offset + len(content)] == content:
                return []
    return ["the array is not carried as a whole"]
