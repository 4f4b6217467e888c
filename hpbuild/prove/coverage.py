"""Step 2: every mapped byte of the fixed image has one class, and filler and metadata are what they say."""

from collections.abc import Iterable

import numpy as np
from capstone import x86

from hpbuild.codes import prove as codes
from hpbuild.dataclass import dataclass
from hpbuild.manifest.model import ByteClass, Module
from hpbuild.pe.image import Image
from hpbuild.pe.metadata import MetadataRuns
from hpbuild.prove.checks import Check, Recorder
from hpbuild.prove.claims import Claims
from hpbuild.prove.cursor import Cursor
from hpbuild.prove.records import Flags
from hpbuild.prove.references import Bytes, Numbers, by_rows
from hpbuild.values import Interval

_Run = tuple[int, int, str]
_CODE_FILLER = np.array([0xCC, 0x90, 0x00], dtype=np.uint8)
_RECORD_ALIGNMENT = 4
LEFT_OUT = "left out"
_NAMES = (
    "carried code",
    "carried data",
    "excluded",
    "identical code",
    "identical data",
    LEFT_OUT,
    "metadata",
    "padding",
    "unwind",
)
"""Classes of bytes; the columns hold indices, which are in the order of the names."""
_FILLER_INSTRUCTIONS = frozenset((x86.X86_INS_NOP, x86.X86_INS_INT3))
_INT3, _NOP = 0xCC, 0x90
_SMALL = 1 << 12
_BATCH = 1 << 20


@dataclass(frozen=True, slots=True)
class Classes:
    """Runs of the fixed image: columns (start, end, index of the class's name), sorted in this order."""

    start: Numbers
    end: Numbers
    kind: Numbers

    @classmethod
    def of(cls, claims: Claims, module: Module) -> "Classes":
        """All that claims and manifest say."""
        parts = _parts(claims, module)
        rows = np.concatenate([part for _, part in parts])
        kind = np.repeat([_NAMES.index(name) for name, _ in parts], [len(part) for _, part in parts])
        order = by_rows(rows[:, 0], rows[:, 1], kind)
        return cls(rows[order, 0], rows[order, 1], kind[order])

    def without(self, *names: str) -> "Classes":
        """The runs of all other classes."""
        keep = ~np.isin(self.kind, [_NAMES.index(name) for name in names])
        return Classes(self.start[keep], self.end[keep], self.kind[keep])

    def along_with(self, runs: Iterable[Interval], name: str) -> "Classes":
        """These and further runs, of class ``name``."""
        more = _columns(runs)
        rows = np.concatenate([np.column_stack((self.start, self.end)), more])
        kind = np.concatenate([self.kind, np.full(len(more), _NAMES.index(name), dtype=np.int64)])
        order = by_rows(rows[:, 0], rows[:, 1], kind)
        return Classes(rows[order, 0], rows[order, 1], kind[order])

    def reached(self) -> Numbers:
        """By row: how far all rows before it reach, 0 for the first one."""
        ends = np.maximum.accumulate(np.append(0, self.end))
        return ends[:-1]

    def rows(self) -> Iterable[_Run]:
        """(start, end, name) of every run."""
        for start, end, kind in zip(self.start.tolist(), self.end.tolist(), self.kind.tolist(), strict=True):
            yield start, end, _NAMES[kind]


def _parts(claims: Claims, module: Module) -> list[tuple[str, Numbers]]:
    """Name of a class and its runs (start, end), of every class that claims and manifest tell of."""
    parts = [
        (name, getattr(claims, field)[:, :2].astype(np.int64))
        for name, field in (
            ("identical code", "code"),
            ("identical data", "data"),
            ("padding", "padding"),
            ("metadata", "metadata"),
            ("excluded", "excluded"),
        )
    ]
    carried = [part for function in module.functions for part in function.fixed]
    parts.append(("carried code", _columns(carried)))
    parts.append(("carried data", _columns(datum.fixed for datum in module.data)))
    borders = [number for item in module.left_out for number in item.fixed]
    parts.append((LEFT_OUT, np.array(borders, dtype=np.int64).reshape(-1, 2)))
    return parts


def _columns(runs: Iterable[Interval]) -> Numbers:
    return np.array([(run.start, run.end) for run in runs], dtype=np.int64).reshape(-1, 2)


def coverage(
    claims: Claims, module: Module, fixed: Image, tables: MetadataRuns, unwind: Iterable[Interval]
) -> Check:
    """Step 2. ``tables`` are the loader's tables of the fixed image; ``unwind`` are its runs that the unwind
    step compares (language data of carried functions). The step examined bytes."""
    recorder = Recorder("P2", "every byte of the fixed image has a class: bytes")
    classes = Classes.of(claims, module)
    _no_overlap(recorder, classes.without("metadata"))
    # Loader tables may lie in data, which is compared, and in what is left out; nowhere else.
    _no_overlap(recorder, classes.without("identical data", "excluded", LEFT_OUT), only="metadata")
    compared = [Interval(run.start, _aligned_end(run, fixed)) for run in unwind]
    _no_gap(recorder, classes.along_with(compared, "unwind"), fixed)
    _padding(recorder, claims, fixed)
    _metadata(recorder, claims, fixed, tables)
    return recorder.done()


def _aligned_end(run: Interval, fixed: Image) -> int:
    """The end of unwind data with the zero bytes behind it, up to the next record's alignment."""
    end = min(run.end + -run.end % _RECORD_ALIGNMENT, fixed.size_of_image)
    return run.end if fixed.memory[run.end : end].any() else end


def account(claims: Claims, module: Module) -> tuple[ByteClass, ...]:
    """Bytes by class, by name."""
    return tuple(
        ByteClass(klass=name, size=int((runs[:, 1] - runs[:, 0]).sum()))
        for name, runs in sorted(_parts(claims, module), key=lambda part: part[0])
        if len(runs)
    )


def _no_overlap(recorder: Recorder, classes: Classes, only: str = "") -> None:
    if not (classes.start < classes.reached()).any():
        return
    reached, holder = 0, ""
    for start, end, name in classes.rows():
        if start < reached and only in (name, holder, ""):
            recorder.fail(
                codes.CONTRADICTORY_CLASSES, f"{start:#x}", f"{name}, and {holder} up to {reached:#x}"
            )
        if end > reached:
            reached, holder = end, name


def _no_gap(recorder: Recorder, classes: Classes, fixed: Image) -> None:
    reached = classes.reached()
    for section in fixed.sections:
        first, behind = int(section.range.start), int(section.range.end)
        recorder.examined += behind - first
        rows = slice(
            int(np.searchsorted(classes.start, first, side="right")),
            int(np.searchsorted(classes.start, behind)),
        )
        start, at = classes.start[rows], np.maximum(reached[rows], first)
        gaps = [(int(at[row]), int(start[row])) for row in np.flatnonzero(start > at).tolist()]
        last = max(first, int(classes.end[: rows.stop].max(initial=0)))
        gaps += [(last, behind)] if last < behind else []
        for low, high in gaps:
            _gap(recorder, fixed, section.name, Interval(low, high))
        tail = fixed.memory[behind : section.rva + section.raw_size]
        if not np.isin(tail, _CODE_FILLER if section.executable else 0).all():
            recorder.fail(
                codes.UNCOVERED_BYTES,
                section.name,
                f"bytes that are no filler after its end {section.range.end:#x}",
            )


def _gap(recorder: Recorder, fixed: Image, section: str, gap: Interval) -> None:
    sample = fixed.read(gap.start, min(len(gap), 16)).hex()
    recorder.fail(codes.UNCOVERED_BYTES, f"{section} {gap}", f"{len(gap)} bytes in no class: {sample}")


def _padding(recorder: Recorder, claims: Claims, fixed: Image) -> None:
    memory = np.ascontiguousarray(fixed.memory)
    cursor = Cursor()
    for start, end in claims.padding[~_plain_filler(claims.padding.astype(np.int64), fixed)].tolist():
        section = fixed.section_at(start)
        inside = section is None or end <= section.range.end
        run = memory[start:end]
        if section is not None and section.executable:
            good = bool(np.isin(run, _CODE_FILLER).all()) or _all_nops(cursor, memory, start, end)
        else:
            good = not run.any()
        if not inside or not good:
            sample = run[:16].tobytes().hex()
            recorder.fail(codes.FALSE_PADDING, f"[{start:#x}, {end:#x})", f"bytes {sample}")


def _plain_filler(runs: Numbers, fixed: Image) -> Flags:
    """By row: a short run inside one section, of nothing but filler bytes. The others are looked at one by
    one."""
    start, end = runs[:, 0], runs[:, 1]
    result: Flags = np.zeros(len(runs), dtype=np.bool_)
    for section in fixed.sections:
        filler = np.zeros(256, dtype=np.bool_)
        filler[_CODE_FILLER if section.executable else 0] = True
        inside = (start >= section.range.start) & (end <= section.range.end) & (end - start < _SMALL)
        for rows in _batches(np.flatnonzero(inside), end - start):
            size = end[rows] - start[rows]
            before = np.cumsum(size) - size
            places = np.repeat(start[rows] - before, size) + np.arange(int(size.sum()))
            result[rows] = np.logical_and.reduceat(filler[fixed.memory[places]], before)
    return result


def _batches(rows: Numbers, size: Numbers) -> Iterable[Numbers]:
    """``rows`` in parts of at most some ``_BATCH`` bytes each."""
    part = np.cumsum(size[rows]) // _BATCH
    return np.split(rows, np.flatnonzero(np.diff(part)) + 1) if len(rows) else ()


def _all_nops(cursor: Cursor, memory: Bytes, start: int, end: int) -> bool:
    """True when the run is nothing but no-operation instructions and int3, up to zero bytes at its end."""
    others = (memory[start:end] != _INT3) & (memory[start:end] != _NOP)
    at = start + int(np.argmax(others)) if others.any() else end  # up to there each byte is an instruction
    step = cursor.start(memory, at, end)
    while step():
        if cursor.instruction.id not in _FILLER_INSTRUCTIONS:
            break
        at = int(cursor.state[2])
    return not memory[at:end].any()


def _metadata(recorder: Recorder, claims: Claims, fixed: Image, tables: MetadataRuns) -> None:
    """Every claimed run lies inside the union of the loader's tables."""
    start = np.append(0, tables.starts.astype(np.int64))
    end = np.append(fixed.size_of_headers, tables.ends.astype(np.int64))
    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    first = np.flatnonzero(np.append(True, start[1:] > end[:-1]))
    start, end = start[first], end[np.append(first[1:], len(end)) - 1]
    claimed = claims.metadata.astype(np.int64)
    row = np.searchsorted(start, claimed[:, 0], side="right") - 1
    for index in np.flatnonzero((row < 0) | (claimed[:, 1] > end[row])).tolist():
        low, high = claims.metadata[index].tolist()
        recorder.fail(codes.FALSE_METADATA, f"[{low:#x}, {high:#x})", "no loader table covers it")
