"""Link a plan into a patch image: a PE file above the baseline, its fixups and the redirections.

The steps: lay out, resolve fields, fill sections, add the exception directory, the native hotpatch table
and the base relocations, write the file. The result is a function of the arguments alone.
"""

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from hpbuild.codes import patchimage as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.patchimage import format as shape
from hpbuild.patchimage.container import OutputSection, write_image
from hpbuild.patchimage.fields import Columns, Space, resolve_all
from hpbuild.patchimage.fixups import Fixups
from hpbuild.patchimage.layout import Layout, check_reach, first_rva, lay_out
from hpbuild.patchimage.native import BaseImage, RecordGroup, hotpatch_blob, load_config
from hpbuild.patchimage.redirection import redirected, written_range
from hpbuild.patchimage.relocations import relocation_table
from hpbuild.pe import hotpatch_format as native
from hpbuild.pe.image import Image
from hpbuild.plan.model import ChunkKind, FieldKind, Plan, UnwindEntry
from hpbuild.values import Interval, Rva

_RUNTIME_FUNCTION: Final = struct.Struct("<III")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedImage:
    """The patch image as written.

    ``data`` is the PE file; ``range`` its RVAs, from the first section to the end of the last page;
    ``chunk_rvas`` is in step with ``Plan.chunks``; ``redirections`` holds the new bytes of each window,
    in step with ``Plan.redirections``, for the nominal place.
    """

    data: bytes
    range: Interval
    chunk_rvas: tuple[Rva, ...]
    fixups: Fixups
    redirections: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """A RUNTIME_FUNCTION; ``own_unwind`` when its record lies in the patch image."""

    begin: int
    end: int
    unwind: int
    own_unwind: bool


def link(plan: Plan, baseline: Image, sequence: int, base: BaseImage | None = None) -> LinkedImage:
    """Make the patch image of ``plan`` for ``baseline``; ``sequence`` goes into the native table. ``base`` is
    what that says of the baseline's file, when somebody has computed it.

    Raises HpbuildError HP3501 to HP3510. The plan must have at least one chunk.
    """
    _check_inputs(plan, baseline, sequence)
    layout = lay_out(plan.chunks, first_rva(baseline.size_of_image))
    space = Space(
        chunks=plan.chunks,
        chunk_rvas=layout.chunk_rvas,
        image_base=baseline.image_base,
        size_of_image=baseline.size_of_image,
    )
    redirections = _redirections(plan, baseline, layout.chunk_rvas)
    fields = resolve_all(space)
    sections = [
        OutputSection(
            name=laid.name,
            rva=Rva(laid.range.start),
            size=len(laid.range),
            content=_content(plan, layout, laid.name, laid.range, laid.chunks, fields),
        )
        for laid in layout.sections
    ]
    directories: dict[int, Interval] = {}
    rows = _rows(plan.unwind, space)
    if rows:
        table = b"".join(_RUNTIME_FUNCTION.pack(row.begin, row.end, row.unwind) for row in rows)
        directories[shape.DIRECTORY_EXCEPTION] = _append(sections, shape.PDATA, table)
    fixups = _fixups(fields, rows, directories.get(shape.DIRECTORY_EXCEPTION))
    _append_hotpatch(sections, directories, _blob(plan, baseline, sequence, fields, space, base))
    if fixups.addr64:
        table = relocation_table(fixups.addr64)
        directories[shape.DIRECTORY_RELOCATIONS] = _append(sections, shape.RELOC, table)
    end = _next_page(sections)
    check_reach(end)
    return LinkedImage(
        data=write_image(sections, directories, baseline.image_base, baseline.subsystem),
        range=Interval(sections[0].rva, end),
        chunk_rvas=layout.chunk_rvas,
        fixups=fixups,
        redirections=redirections,
    )


def _check_inputs(plan: Plan, baseline: Image, sequence: int) -> None:
    if baseline.machine != shape.MACHINE_AMD64:
        raise HpbuildError(codes.NOT_AMD64, baseline.name, f"its machine is {baseline.machine:#06x}")
    if not 1 <= sequence < 2**32:
        raise HpbuildError(codes.SEQUENCE_INVALID, baseline.name, f"it is {sequence}")
    if not plan.chunks:
        raise HpbuildError(codes.PLAN_INCONSISTENT, baseline.name, "there is nothing to carry")
    for index, function in enumerate(plan.functions):
        known = (0 <= chunk < len(plan.chunks) for chunk in function.chunks)
        kinds = (plan.chunks[chunk].kind is ChunkKind.CODE for chunk in function.chunks)
        if not function.chunks or not all(known) or not all(kinds):
            place = f"functions[{index}] {function.name}"
            raise HpbuildError(codes.PLAN_INCONSISTENT, place, "its chunks are not carried code")


def _content(
    plan: Plan,
    layout: Layout,
    name: str,
    extent: Interval,
    chunks: Sequence[int],
    fields: Columns,
) -> bytes:
    """Bytes of one section: chunks, their fields filled in, and filler between them."""
    if name == shape.BSS:
        return b""
    content = bytearray(bytes([shape.CODE_FILLER if name == shape.TEXT else 0]) * len(extent))
    for index in chunks:
        begin = layout.chunk_rvas[index] - extent.start
        content[begin : begin + plan.chunks[index].size] = plan.chunks[index].content
    fields.write(np.frombuffer(content, dtype=np.uint8), extent.start)
    return bytes(content)


def _rows(entries: Sequence[UnwindEntry], space: Space) -> list[_Row]:
    """RUNTIME_FUNCTIONs sorted by begin (PE specification, section "The .pdata Section")."""
    rows = []
    for index, entry in enumerate(entries):
        place = f"unwind[{index}]"
        if not 0 <= entry.code < len(space.chunks) or space.chunks[entry.code].kind is not ChunkKind.CODE:
            raise HpbuildError(codes.PLAN_INCONSISTENT, place, f"chunk {entry.code} is not code")
        chunk = space.chunks[entry.code]
        if not 0 <= entry.begin < entry.end <= chunk.size:
            cause = f"[{entry.begin:#x}, {entry.end:#x}) is not inside chunk {chunk.name}"
            raise HpbuildError(codes.PLAN_INCONSISTENT, place, cause)
        rva = space.chunk_rvas[entry.code]
        unwind = space.rva(entry.unwind, place)
        rows.append(_Row(rva + entry.begin, rva + entry.end, unwind, entry.unwind.chunk is not None))
    rows.sort(key=lambda row: row.begin)
    for row, following in pairwise(rows):
        if following.begin < row.end:
            cause = f"[{row.begin:#x}, {row.end:#x}) and [{following.begin:#x}, {following.end:#x})"
            raise HpbuildError(codes.UNWIND_OVERLAP, "exception directory", cause)
    return rows


def _fixups(fields: Columns, rows: Sequence[_Row], table: Interval | None) -> Fixups:
    nb: list[Rva] = fields.site[fields.fixup & fields.of(FieldKind.ADDR32NB)].tolist()
    if table is not None:
        for index, row in enumerate(rows):
            columns = 3 if row.own_unwind else 2
            site = table.start + index * _RUNTIME_FUNCTION.size
            nb.extend(Rva(site + 4 * column) for column in range(columns))
    distances = fields.fixup & fields.of(FieldKind.REL32, FieldKind.TABLE32)
    return Fixups(
        addr64=tuple(fields.site[fields.of(FieldKind.ADDR64)].tolist()),
        rel32=tuple(fields.site[distances].tolist()),
        addr32nb=tuple(sorted(nb)),
    )


def _blob(
    plan: Plan, baseline: Image, sequence: int, fields: Columns, space: Space, base: BaseImage | None
) -> bytes:
    forward = sorted(
        (site.entry, _target(plan, index, space.chunk_rvas), _entry_word(baseline, site.entry))
        for index, site in enumerate(plan.redirections)
    )
    outward, pointer = fields.fixup & ~fields.in_patch, fields.of(FieldKind.ADDR64)
    every = np.column_stack((fields.site, fields.target, np.where(pointer, 0, fields.bias)))
    entries = sorted({space.chunk_rvas[function.chunks[0]] for function in plan.functions})
    targets = np.zeros((len(entries), 3), dtype=np.int64)
    targets[:, 0] = entries
    return hotpatch_blob(
        sequence,
        base or BaseImage.of(baseline.data, baseline.time_date_stamp, baseline.checksum),
        (
            RecordGroup(native.KIND_FUNCTION, False, np.array(forward, dtype=np.int64).reshape(-1, 3)),
            RecordGroup(native.KIND_REL32, True, every[outward & ~pointer]),
            RecordGroup(native.KIND_ABSOLUTE, True, every[outward & pointer]),
            RecordGroup(native.KIND_CALL_TARGET, True, targets),
        ),
    )


def _entry_word(baseline: Image, entry: int) -> int:
    """The first four bytes at ``entry``, zeros behind the end of the image."""
    size = min(4, max(0, baseline.size_of_image - entry))
    return int.from_bytes(baseline.read(entry, size), "little") if size else 0


def _target(plan: Plan, index: int, chunk_rvas: Sequence[Rva]) -> Rva:
    site = plan.redirections[index]
    if not 0 <= site.function < len(plan.functions):
        cause = f"there is no function {site.function}"
        raise HpbuildError(codes.PLAN_INCONSISTENT, f"redirections[{index}]", cause)
    return chunk_rvas[plan.functions[site.function].chunks[0]]


def _redirections(plan: Plan, baseline: Image, chunk_rvas: Sequence[Rva]) -> tuple[bytes, ...]:
    """New bytes of every window, after the old ones and the windows themselves were checked."""
    windows = tuple(_redirect(plan, index, chunk_rvas, baseline) for index in range(len(plan.redirections)))
    written = sorted(written_range(site.kind, site.entry) for site in plan.redirections)
    for one, following in pairwise(written):
        if one.overlaps(following):
            cause = f"the redirections at {one} and {following} overlap"
            raise HpbuildError(codes.PLAN_INCONSISTENT, baseline.name, cause)
    return windows


def _redirect(plan: Plan, index: int, chunk_rvas: Sequence[Rva], baseline: Image) -> bytes:
    site = plan.redirections[index]
    place = f"redirections[{index}] {site.entry:#x}"
    if site.window.end > baseline.size_of_image:
        raise HpbuildError(codes.PLAN_INCONSISTENT, place, f"the window {site.window} leaves the baseline")
    if baseline.read(site.window.start, len(site.window)) != site.old:
        raise HpbuildError(codes.OLD_BYTES_DIFFER, place, f"the window is {site.window}")
    target = _target(plan, index, chunk_rvas)
    try:
        return redirected(site.kind, site.entry, site.window, site.old, target)
    except ValueError as error:
        raise HpbuildError(codes.PLAN_INCONSISTENT, place, str(error)) from error


def _append_hotpatch(sections: list[OutputSection], directories: dict[int, Interval], blob: bytes) -> None:
    start = _next_page(sections)
    config = load_config(start + shape.LOAD_CONFIG_SIZE)
    extent = _append(sections, shape.HOTP, config + blob)
    directories[shape.DIRECTORY_LOAD_CONFIG] = Interval(extent.start, extent.start + len(config))


def _append(sections: list[OutputSection], name: str, content: bytes) -> Interval:
    rva = _next_page(sections)
    sections.append(OutputSection(name=name, rva=Rva(rva), size=len(content), content=content))
    return Interval(rva, rva + len(content))


def _next_page(sections: Sequence[OutputSection]) -> int:
    return shape.round_up(sections[-1].rva + sections[-1].size, shape.PAGE)
