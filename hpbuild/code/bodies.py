"""Many whole functions decoded in one go: what their code begins with, and which of them surely end.

What the columns cannot tell is left to ``flow``, an instruction at a time.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from iced_x86 import Decoder, FlowControl

from hpbuild.code.model import I64, Program
from hpbuild.code.opcodes import Shape, by_shape
from hpbuild.code.sweep import Sweep, sweep
from hpbuild.dataclass import dataclass

Bools = npt.NDArray[np.bool_]
_BATCH = 1 << 20
"""Bytes of code decoded in one go: its columns fit into a processor's cache."""
HEAD = 7
"""Bytes from an entry on in which the targets of jumps are told."""
_FIRST = 5
"""Instructions from an entry on whose calls are told."""
_JUMPS = by_shape(Shape.BRANCH8, Shape.BRANCH32, Shape.JUMP8, Shape.JUMP32)
_CALLS = by_shape(Shape.CALL, Shape.CALL_THROUGH)
_ENDS = by_shape(Shape.INT3, Shape.FINAL)
_STOPS = by_shape(Shape.JUMP8, Shape.JUMP32, Shape.JUMP_THROUGH, Shape.INT3, Shape.FINAL)
_LEAVES = (FlowControl.RETURN, FlowControl.EXCEPTION, FlowControl.INTERRUPT)
_PASSES = (FlowControl.NEXT, FlowControl.CALL, FlowControl.XBEGIN_XABORT_XEND)


@dataclass(frozen=True, slots=True)
class Bodies:
    """The instructions of some functions, ascending by address: ``address`` of each, ``behind`` it, and the
    number of its ``function``; ``jumps`` are the rows of near jumps, and ``targets`` where those lead.
    ``functions`` are the functions' numbers. In step with the runs of ``swept``: ``runs`` are the fragments,
    ascending, ``starts`` and ``ends`` their addresses, ``owners`` the numbers of their functions."""

    functions: range
    runs: I64
    starts: I64
    ends: I64
    owners: I64
    swept: Sweep
    address: I64
    behind: I64
    function: I64
    jumps: I64
    targets: I64


@dataclass(frozen=True, slots=True)
class Head:
    """The begin of a function's first fragment: the bytes of its ``first`` instruction, 0 when that is none;
    ``inner``, where jumps of the fragment lead among its first ``HEAD`` bytes, ascending; ``returns``, where
    calls among its first five instructions return to."""

    first: int
    inner: tuple[int, ...] = ()
    returns: tuple[int, ...] = ()


def bodies(program: Program, functions: Sequence[tuple[int, ...]]) -> Iterator[Bodies]:
    """Decode functions, given by their fragments, some at a time: none twice in one batch."""
    table = program.fragments
    sizes = (table.end - table.start).tolist()
    first, size, held = 0, 0, set[int]()
    for number, members in enumerate(functions):
        if size >= _BATCH or not held.isdisjoint(members):
            yield _bodies(program, functions, range(first, number))
            first, size, held = number, 0, set()
        size += sum(sizes[one] for one in members)
        held.update(members)
    if functions:
        yield _bodies(program, functions, range(first, len(functions)))


def _bodies(program: Program, functions: Sequence[tuple[int, ...]], numbers: range) -> Bodies:
    table = program.fragments
    rows = sorted((one, number) for number in numbers for one in functions[number])
    runs, owners = np.ascontiguousarray(np.array(rows, dtype=np.int64).reshape(-1, 2).T)
    starts, ends = table.start[runs], table.end[runs]
    found = sweep(program.image.memory, starts, ends)
    jumps = np.flatnonzero(_JUMPS[found.shapes.shape])
    return Bodies(
        functions=numbers,
        runs=runs,
        starts=starts,
        ends=ends,
        owners=owners,
        swept=found,
        address=found.at,
        behind=found.at + found.length,
        function=np.repeat(owners, np.diff(found.first)),
        jumps=jumps,
        targets=found.branch_targets(jumps),
    )


def heads(found: Bodies, roots: I64) -> list[Head]:
    """By function of ``found``, how its first fragment begins, which is that of ``roots`` (by function)."""
    swept, run = found.swept, np.searchsorted(found.runs, roots)
    low, high = swept.first[run], swept.first[run + 1]
    first = np.append(swept.length, 0)[np.where(low < high, low, len(swept.length))]
    inner = _inner(found, found.starts[run], low, high)
    returns = _returns(found, low, high)
    return [Head(size, inner.get(at, ()), returns.get(at, ())) for at, size in enumerate(first.tolist())]


def _inner(found: Bodies, start: I64, low: I64, high: I64) -> dict[int, tuple[int, ...]]:
    """``Head.inner``, by the place in the columns: those with any."""
    owner = found.function[found.jumps] - found.functions.start
    near = (found.targets >= start[owner]) & (found.targets < start[owner] + HEAD)
    near &= (found.jumps >= low[owner]) & (found.jumps < high[owner])
    opcode = found.swept.memory[found.swept.shapes.operand[found.jumps] - 1]
    near &= (opcode & 0xFC) != 0xE0  # loops that count, and JRCXZ
    kept: dict[int, set[int]] = {}
    for place, target in zip(owner[near].tolist(), found.targets[near].tolist(), strict=True):
        kept.setdefault(place, set()).add(target)
    return {place: tuple(sorted(targets)) for place, targets in kept.items()}


def _returns(found: Bodies, low: I64, high: I64) -> dict[int, tuple[int, ...]]:
    """``Head.returns``, by the place in the columns: those with any."""
    rows = low[:, None] + np.arange(_FIRST)
    inside = np.flatnonzero(rows.ravel() < np.repeat(high, _FIRST))
    rows = rows.ravel()[inside]
    called = _CALLS[found.swept.shapes.shape[rows]]
    kept: dict[int, tuple[int, ...]] = {}
    places = (inside[called] // _FIRST).tolist()
    for place, behind in zip(places, found.behind[rows[called]].tolist(), strict=True):
        kept[place] = (*kept.get(place, ()), behind)
    return kept


def may_never_end(found: Bodies, cases: I64, final: I64) -> list[int]:
    """Numbers of the functions in which control may come to an instruction from which it never leaves.
    ``cases`` are the addresses that tables and pointers lead to, ``final`` those of callees that do not
    return, both ascending: see ``flow.Loops``. All others surely have none."""
    nodes = _nodes(found, cases, final)
    out, goes_on = nodes.out.copy(), nodes.goes_on
    number, count = np.arange(len(out)), -1
    while count != (count := int(np.count_nonzero(out))) and count < len(out):
        event = np.where(out | ~goes_on, number, len(out))
        out = out[np.minimum.accumulate(event[::-1])[::-1]]
        out[nodes.jumps] |= out[nodes.ways]
        leading = np.zeros(len(found.functions), dtype=np.bool_)
        leading[nodes.case_function[out[nodes.cases]]] = True
        out[nodes.tables] |= leading[nodes.table_function]
    stuck = np.zeros(len(found.functions), dtype=np.bool_)
    stuck[found.function[nodes.rows[~out]] - found.functions.start] = True
    return (np.flatnonzero(stuck) + found.functions.start).tolist()


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The instructions ``rows`` that may lead elsewhere than on. ``out``: control may leave its function;
    ``goes_on``: it may come to the next node. ``jumps`` (nodes) lead to the nodes ``ways``, and jumps through
    ``tables`` to all ``cases`` (nodes) of the same function, by its place in the columns."""

    rows: I64
    out: Bools
    goes_on: Bools
    jumps: I64
    ways: I64
    tables: I64
    table_function: I64
    cases: I64
    case_function: I64


def _nodes(found: Bodies, cases: I64, final: I64) -> _Nodes:
    shape, base = found.swept.shapes.shape, found.functions.start
    inside, switching = _cases_inside(found, cases)
    out = _ENDS[shape] | _does_not_return(found, final)
    through = np.flatnonzero(shape == Shape.JUMP_THROUGH)
    table = switching[found.function[through] - base]
    out[through[~table]] = True
    goes_on = ~_STOPS[shape] & ~out
    last = np.append((found.behind[:-1] != found.address[1:]) | (np.diff(found.function) != 0), True)
    out |= goes_on & last[: len(out)]
    turns = out | _JUMPS[shape]
    turns[through] = True
    _rare(found, out, goes_on, turns)
    place, known = _rows_at(found, found.targets, found.function[found.jumps])
    out[found.jumps[~known]] = True
    rows = np.flatnonzero(turns)
    return _Nodes(
        rows=rows,
        out=out[rows],
        goes_on=goes_on[rows],
        jumps=np.searchsorted(rows, found.jumps[known]),
        ways=np.searchsorted(rows, place[known]),
        tables=np.searchsorted(rows, through[table]),
        table_function=found.function[through[table]] - base,
        cases=np.searchsorted(rows, inside),
        case_function=found.function[inside] - base,
    )


def _rare(found: Bodies, out: Bools, goes_on: Bools, turns: Bools) -> None:
    """Settle the instructions without a rule; those that do more than that count as leading nowhere."""
    for row in np.flatnonzero(found.swept.shapes.shape == Shape.RARE).tolist():
        flow = Decoder(64, found.swept.octets(row)).decode().flow_control
        if flow in _LEAVES:
            out[row] = turns[row] = True
        elif flow not in _PASSES:
            out[row], goes_on[row], turns[row] = False, False, True


def _rows_at(found: Bodies, targets: I64, function: I64) -> tuple[I64, Bools]:
    """The rows of the instructions at addresses, and whether there is one, of the given function (each)."""
    if not len(found.address):
        return targets, np.zeros(len(targets), dtype=np.bool_)
    place = np.minimum(np.searchsorted(found.address, targets), len(found.address) - 1)
    return place, (found.address[place] == targets) & (found.function[place] == function)


def _cases_inside(found: Bodies, cases: I64) -> tuple[I64, Bools]:
    """Rows of the instructions at ``cases``, but for the first of each run; and by function whether any of
    ``cases`` lies behind the begin of one of its runs."""
    switching = np.zeros(len(found.functions), dtype=np.bool_)
    if not len(found.address):
        return found.address, switching
    low, high = cases.searchsorted(found.starts + 1), cases.searchsorted(found.ends)
    switching[found.owners[high > low] - found.functions.start] = True
    near = cases[low.min() : high.max()]
    place = np.minimum(np.searchsorted(found.address, near), len(found.address) - 1)
    rows = place[found.address[place] == near]
    begins = np.zeros(len(found.address) + 1, dtype=np.bool_)
    begins[found.swept.first] = True
    return rows[~begins[rows]], switching


def _does_not_return(found: Bodies, final: I64) -> Bools:
    """By instruction: a call of one of ``final``, which may be import slots."""
    swept, shape = found.swept, found.swept.shapes.shape
    result = np.zeros(len(shape), dtype=np.bool_)
    called = np.flatnonzero(shape == Shape.CALL)
    through = np.flatnonzero(shape == Shape.CALL_THROUGH)
    operand = swept.shapes.operand[through]
    relative = swept.memory[operand] & 0xC7 == 5
    through, field = through[relative], operand[relative] + 1
    for rows, targets in (
        (called, swept.branch_targets(called)),
        (through, found.behind[through] + swept.words(field)),
    ):
        if len(final):
            place = np.minimum(np.searchsorted(final, targets), len(final) - 1)
            result[rows[final[place] == targets]] = True
    return result
