"""Line numbers that the manifest declares: the only bytes that may differ in code that stays.

Each must be the whole 4-byte immediate of a MOV instruction, in code called identical, at the same place of
the counterpart. That such a constant is a line number and no other constant cannot be shown from the images:
the manifest names the place of every one, and the step says how many there are.
"""

from collections.abc import Iterable

import numpy as np
from capstone import x86

from hpbuild.codes import prove as codes
from hpbuild.dataclass import dataclass
from hpbuild.manifest.check_lines import LINE_SIZE, line_findings
from hpbuild.manifest.model import Module
from hpbuild.prove.checks import Check, Recorder
from hpbuild.prove.claims import Claims
from hpbuild.prove.compare import Runs
from hpbuild.prove.cursor import Cursor
from hpbuild.prove.references import Numbers
from hpbuild.prove.space import Space

LARGEST_LINE = 1_000_000


@dataclass(frozen=True, slots=True)
class Lines:
    """``sites``: RVAs in the fixed image of the sound ones, whose bytes step 3 leaves out; and the step."""

    sites: Numbers
    check: Check


def line_numbers(module: Module, claims: Claims, fixed: Space, baseline: Space) -> Lines:
    """Step 11: declared line numbers examined."""
    runs = Runs.claimed(claims.code, "code at")
    opaque = Runs.claimed(np.column_stack((claims.opaque, claims.opaque[:, 0])), "data at")
    recorder = Recorder(
        "P11", "declared line numbers are constants of moves, and nothing else: places examined"
    )
    for finding in line_findings(module, module.path):
        recorder.fail(codes.LINE_NUMBER_FALSE, finding.place, finding.cause)
    sound: list[int] = []
    for item in module.line_only:
        pairs = [(int(a.start), int(b.start)) for a, b in zip(item.fixed, item.baseline, strict=False)]
        recorder.examined += len(pairs)
        in_data = opaque.holding(np.array([ours for ours, _ in pairs], dtype=np.int64), 1) >= 0
        for (ours, theirs), data, cause in zip(
            pairs, in_data.tolist(), _causes(pairs, runs, fixed, baseline), strict=True
        ):
            if cause or data:
                place = f"{item.place}: {ours:#x} and {theirs:#x} of the baseline"
                recorder.fail(
                    codes.LINE_NUMBER_FALSE, place, cause or "it lies in data, not in an instruction"
                )
            else:
                sound.append(ours)
    return Lines(np.array(sorted(sound), dtype=np.int64), recorder.done())


def _causes(pairs: list[tuple[int, int]], runs: Runs, fixed: Space, baseline: Space) -> Iterable[str]:
    """For each pair what is wrong with it, in words; '' when nothing."""
    rows = runs.holding(np.array([ours for ours, _ in pairs], dtype=np.int64), LINE_SIZE)
    constants: dict[int, set[int]] = {}
    for (ours, theirs), row in zip(pairs, rows.tolist(), strict=True):
        if row < 0:
            yield "it does not lie in code that is called identical"
            continue
        shift = int(runs.shift[row])
        if theirs != ours + shift:
            yield f"the counterpart of the place is {ours + shift:#x}"
            continue
        if row not in constants:
            constants[row] = _constants(fixed, int(runs.start[row]), int(runs.end[row]))
        if ours not in constants[row]:
            yield "it is not the constant of a move"
            continue
        values = (_value(fixed, ours), _value(baseline, theirs))
        yield (
            ""
            if all(0 < value < LARGEST_LINE for value in values)
            else f"{values[1]} and {values[0]} are no lines"
        )


def _constants(space: Space, start: int, end: int) -> set[int]:
    """RVAs of the 4-byte immediates of MOV instructions in ``[start, end)``."""
    cursor, found = Cursor(), set()
    memory = np.ascontiguousarray(space.memory)
    step = cursor.start(memory, start, end)
    while step():
        after = int(cursor.state[2])
        encoding = cursor.x86.encoding
        if cursor.instruction.id == x86.X86_INS_MOV and encoding.imm_size == LINE_SIZE:
            found.add(after - cursor.instruction.size + encoding.imm_offset)
    return found


def _value(space: Space, rva: int) -> int:
    raw = space.slice(rva, LINE_SIZE)
    return int.from_bytes(raw.tobytes(), "little") if len(raw) == LINE_SIZE else 0
