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
from hpbuild.code.model import I64, FieldForm, Program
from hpbuild.code.rtti import old_locators, throws_in_runs
from hpbuild.codes import traps as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.plan.cells import Cells
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
    constant = side.atoms.memory[selection.first] == Memory.RODATA
    start, end = side.atoms.start[selection.first], side.atoms.end[selection.last]

    def place(first: int) -> str:
        return side.atoms.names.get(first) or f"data at {int(side.atoms.start[first]):#x}"

    found = _resolved_by_module(side.program, start[constant], end[constant])
    constants = selection.first[constant]
    findings = [
        Finding(codes.FOUND_BY_MODULE, place(int(constants[number])), what)
        for number, what in sorted(found.items())
    ]
    writable = [
        (Interval(*run), place(first))
        for first, *run in zip(
            *(column[~constant].tolist() for column in (selection.first, start, end)), strict=True
        )
    ]
    return findings + _thrown_variables(side.program, selection, writable)


def _resolved_by_module(program: Program, starts: I64, ends: I64) -> dict[int, str]:
    """The first such thing in each of the runs from ``starts`` to ``ends`` that has any, by the number of the
    run."""
    image, table = program.image, program.fields
    found: dict[int, str] = {}
    for number, rva in throws_in_runs(image, starts, ends):
        found.setdefault(number, f"the ThrowInfo at {rva:#x}")
    # Where the pointers with a base relocation in a run lead, and the one before it: there a virtual table
    # names its locator.
    low, high = np.searchsorted(table.site, starts - _POINTER), np.searchsorted(table.site, ends)
    rows, run = within(low, high), np.repeat(np.arange(len(starts)), high - low)
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
    references, memory, root = program.references, program.image.memory, program.fragments.root
    runs = [run for run, _ in writable]
    near = Cells(
        program.image.size_of_image,
        np.array([run.start for run in runs], dtype=np.int64),
        np.array([run.end for run in runs], dtype=np.int64),
    )
    rows = near.rows(references.target)
    rows = rows[references.kind[rows] == RefKind.LEA]
    if not len(rows):
        return []
    throwing = set(root[references.fragment[_throws(program)]].tolist()) & selection.functions.keys()
    owner = root[references.fragment[rows]]
    named = among(owner, np.array(sorted(throwing), dtype=np.int64))
    findings = []
    for row, thrower in zip(rows[named].tolist(), owner[named].tolist(), strict=True):
        site, target = int(references.site[row]), int(references.target[row])
        if memory[site - 3 : site].tobytes() != _LEA_RDX:
            continue
        cause = f"{program.name_of(thrower)} throws, and takes its address"
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
