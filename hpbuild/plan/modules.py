"""Data that a runtime resolves through the module that it lies in: carried data lies in none at run time.

Sources: throw.cpp and rtti.cpp of Visual C++'s runtime (``_CxxThrowException`` and, for locators of signature
0, ``__RTDynamicCast`` ask RtlPcToFileHeader). Locators of signature 1 tell their own place, and handlers get
the image base from the dispatcher: both work anywhere.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import among
from hpbuild.code.columns import members as within
from hpbuild.code.decode import RefKind
from hpbuild.code.model import FieldForm, Program
from hpbuild.code.rtti import old_locators, throws_in_runs
from hpbuild.codes import traps as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.plan.objects import extent
from hpbuild.plan.selection import Selection
from hpbuild.values import Interval

_THROW = "_CxxThrowException"
_RAISE = "RaiseException"
_MAGIC = bytes.fromhex("63736de0")
"""0xE06D7363, the status of every C++ exception of Visual C++."""
_LEA_RDX = bytes.fromhex("488d15")
_POINTER = 8
_THUNK = 8
"""Most bytes of a jump through a slot."""


def found_by_module(comparison: Comparison, selection: Selection) -> list[Finding]:
    """A refusal for each carried ThrowInfo and each carried virtual table with a locator of
    signature 0."""
    side = comparison.fixed
    runs: list[Interval] = []
    places: list[str] = []
    writable: list[tuple[Interval, str]] = []
    for members, _ in selection.objects.values():
        run = extent(side, members)
        place = side.atoms.names.get(members[0]) or f"data at {run.start:#x}"
        if side.atoms.memory[members[0]] != Memory.RODATA:
            writable.append((run, place))
        else:
            runs.append(run)
            places.append(place)
    findings = [
        Finding(codes.FOUND_BY_MODULE, places[number], what)
        for number, what in sorted(_resolved_by_module(side.program, runs).items())
    ]
    return findings + _thrown_variables(side.program, selection, writable)


def _resolved_by_module(program: Program, runs: list[Interval]) -> dict[int, str]:
    """The first such thing in each of ``runs`` that has any, by the number of the run."""
    image, table = program.image, program.fields
    starts = np.array([run.start for run in runs], dtype=np.int64)
    ends = np.array([run.end for run in runs], dtype=np.int64)
    found: dict[int, str] = {}
    for number, rva in throws_in_runs(image, starts, ends):
        found.setdefault(number, f"the ThrowInfo at {rva:#x}")
    # Where the pointers with a base relocation in a run lead, and the one before it: there a virtual table
    # names its locator.
    low, high = np.searchsorted(table.site, starts - _POINTER), np.searchsorted(table.site, ends)
    rows, run = within(low, high), np.repeat(np.arange(len(runs)), high - low)
    pointers = table.form[rows] == FieldForm.ADDR64
    targets, run = table.target[rows[pointers]], run[pointers]
    old = old_locators(image, targets)
    for number, rva in sorted(zip(run[old].tolist(), targets[old].tolist(), strict=True)):
        found.setdefault(number, f"the locator at {rva:#x}")
    return found


def _thrown_variables(
    program: Program, selection: Selection, writable: list[tuple[Interval, str]]
) -> list[Finding]:
    """Variables that carried code which throws takes for the second argument of something: a ThrowInfo that
    is filled before it is thrown, as Rust does, cannot be told by its content."""
    if not writable:
        return []
    references, memory = program.references, program.image.memory
    owner = program.fragments.root[references.fragment]
    throwing = set(owner[_throws(program)].tolist()) & selection.functions.keys()
    rows = np.flatnonzero(
        (references.kind == RefKind.LEA) & among(owner, np.array(sorted(throwing), dtype=np.int64))
    )
    findings = []
    for row in rows.tolist():
        site, target = int(references.site[row]), int(references.target[row])
        if memory[site - 3 : site].tobytes() != _LEA_RDX:
            continue
        cause = f"{program.name_of(int(owner[row]))} throws, and takes its address"
        findings += [Finding(codes.FOUND_BY_MODULE, place, cause) for run, place in writable if target in run]
    return findings


def _throws(program: Program) -> npt.NDArray[np.bool_]:
    """Which references lead to what throws: its import slot, a jump through that, or its code."""
    references, fragments = program.references, program.fragments
    slots = [rva for rva, name in program.slots.items() if name.partition("!")[2] == _THROW]
    through = np.isin(references.target, slots)
    short = fragments.end - fragments.start <= _THUNK
    thunks = fragments.start[references.fragment[through & short[references.fragment]]]
    entries = np.array([*_throwers(program), *thunks.tolist()], dtype=np.int64)
    found: npt.NDArray[np.bool_] = through | among(references.target, np.sort(entries))
    return found


def _throwers(program: Program) -> Iterator[int]:
    """Starts of the functions that are named so, or that raise a C++ exception themselves."""
    fragments, references = program.fragments, program.references
    yield from (int(fragments.start[index]) for index, name in program.names.items() if name == _THROW)
    slots = [rva for rva, name in program.slots.items() if name.partition("!")[2] == _RAISE]
    for index in sorted(set(references.fragment[np.isin(references.target, slots)].tolist())):
        start, end = int(fragments.start[index]), int(fragments.end[index])
        if _MAGIC in program.image.read(start, end - start):
            yield int(fragments.start[fragments.root[index]])
