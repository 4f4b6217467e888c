"""Step 2: every mapped byte of the fixed image has one class, and filler and metadata are what they say."""

from collections.abc import Iterable

import numpy as np
from capstone import x86

from hpbuild.codes import prove as codes
from hpbuild.manifest.model import ByteClass, Module
from hpbuild.pe.image import Image
from hpbuild.pe.metadata import metadata_extents
from hpbuild.prove.checks import Check, Recorder
from hpbuild.prove.claims import Claims
from hpbuild.prove.decode import Bytes, Cursor
from hpbuild.values import Interval

_Run = tuple[int, int, str]
_CODE_FILLER = np.array([0xCC, 0x90, 0x00], dtype=np.uint8)
_RECORD_ALIGNMENT = 4
LEFT_OUT = "left out"
_FILLER_INSTRUCTIONS = frozenset((x86.X86_INS_NOP, x86.X86_INS_INT3))


def coverage(claims: Claims, module: Module, fixed: Image, unwind: Iterable[Interval]) -> Check:
    """Step 2. ``unwind`` are runs of the fixed image that the unwind step compares (language data of carried
    functions). The step examined bytes."""
    recorder = Recorder("P2", "every byte of the fixed image has a class: bytes")
    exclusive = [run for run in classes(claims, module) if run[2] != "metadata"]
    _no_overlap(recorder, sorted(exclusive))
    # Loader tables may lie in data, which is compared, and in what is left out; nowhere else.
    shared = ("identical data", "excluded", LEFT_OUT)
    others = [run for run in classes(claims, module) if run[2] not in shared]
    _no_overlap(recorder, sorted(others), only="metadata")
    compared = [(run.start, _aligned_end(run, fixed), "unwind") for run in unwind]
    _no_gap(recorder, sorted([*classes(claims, module), *compared]), fixed)
    _padding(recorder, claims, fixed)
    _metadata(recorder, claims, fixed)
    return recorder.done()


def _aligned_end(run: Interval, fixed: Image) -> int:
    """The end of unwind data with the zero bytes behind it, up to the next record's alignment."""
    end = min(run.end + -run.end % _RECORD_ALIGNMENT, fixed.size_of_image)
    return run.end if fixed.memory[run.end : end].any() else end


def classes(claims: Claims, module: Module) -> Iterable[_Run]:
    """All runs of the fixed image with the name of their class, in no order."""
    for name, rows in (
        ("identical code", claims.code),
        ("identical data", claims.data),
        ("padding", claims.padding),
        ("metadata", claims.metadata),
        ("excluded", claims.excluded),
    ):
        for row in rows.tolist():
            yield row[0], row[1], name
    for function in module.functions:
        for part in function.fixed:
            yield part.start, part.end, "carried code"
    for datum in module.data:
        yield datum.fixed.start, datum.fixed.end, "carried data"
    for item in module.left_out:
        for part in item.fixed:
            yield part.start, part.end, LEFT_OUT


def account(claims: Claims, module: Module) -> tuple[ByteClass, ...]:
    """Bytes by class, by name."""
    sizes: dict[str, int] = {}
    for start, end, name in classes(claims, module):
        sizes[name] = sizes.get(name, 0) + end - start
    return tuple(ByteClass(klass=name, size=size) for name, size in sorted(sizes.items()))


def _no_overlap(recorder: Recorder, runs: list[_Run], only: str = "") -> None:
    reached, holder = 0, ""
    for start, end, name in runs:
        if start < reached and only in (name, holder, ""):
            recorder.fail(
                codes.CONTRADICTORY_CLASSES, f"{start:#x}", f"{name}, and {holder} up to {reached:#x}"
            )
        if end > reached:
            reached, holder = end, name


def _no_gap(recorder: Recorder, runs: list[_Run], fixed: Image) -> None:
    for section in fixed.sections:
        recorder.examined += len(section.range)
        at = int(section.range.start)
        for start, end, _ in runs:
            if start >= section.range.end:
                break
            if start > at:
                _gap(recorder, fixed, section.name, Interval(at, start))
            at = max(at, end)
        if at < section.range.end:
            _gap(recorder, fixed, section.name, Interval(at, section.range.end))
        tail = fixed.memory[section.range.end : section.rva + section.raw_size]
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
    for start, end in claims.padding.tolist():
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


def _all_nops(cursor: Cursor, memory: Bytes, start: int, end: int) -> bool:
    """True when the run is nothing but no-operation instructions and int3, up to zero bytes at its end."""
    step = cursor.start(memory, start, end)
    at = start
    while step():
        if cursor.instruction.id not in _FILLER_INSTRUCTIONS:
            break
        at = int(cursor.state[2])
    return not memory[at:end].any()


def _metadata(recorder: Recorder, claims: Claims, fixed: Image) -> None:
    """Every claimed run lies inside the union of the loader's tables."""
    extents = sorted((extent.start, extent.end) for _, extent in metadata_extents(fixed))
    merged: list[list[int]] = []
    for start, end in [(0, fixed.size_of_headers), *extents]:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    table = np.array(merged, dtype=np.int64)
    claimed = claims.metadata.astype(np.int64)
    row = np.searchsorted(table[:, 0], claimed[:, 0], side="right") - 1
    for index in np.flatnonzero((row < 0) | (claimed[:, 1] > table[row, 1])).tolist():
        start, end = claims.metadata[index].tolist()
        recorder.fail(codes.FALSE_METADATA, f"[{start:#x}, {end:#x})", "no loader table covers it")
