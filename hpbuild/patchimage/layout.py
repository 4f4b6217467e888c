"""Lay the chunks of a plan out in sections above the baseline (design, section 6).

Sections come in the order of ``format.SECTIONS``, chunks in plan order inside theirs. Empty sections are
left out. The tables that the linker itself makes (``.pdata``, ``.hotp``, ``.reloc``) follow the chunks.
"""

from collections.abc import Sequence

from hpbuild.codes import patchimage as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.patchimage import format as shape
from hpbuild.patchimage.fields import check_fields
from hpbuild.plan.model import Chunk, ChunkKind
from hpbuild.values import Interval, Rva

_SECTION_OF = {
    ChunkKind.CODE: shape.TEXT,
    ChunkKind.RODATA: shape.RDATA,
    ChunkKind.UNWIND: shape.XDATA,
    ChunkKind.DATA: shape.DATA,
    ChunkKind.BSS: shape.BSS,
}
_LEAST_ALIGNMENT = {ChunkKind.CODE: shape.CODE_ALIGNMENT, ChunkKind.UNWIND: 4}


@dataclass(frozen=True, slots=True)
class LaidSection:
    """One section before its bytes are known. ``range`` in RVAs; ``chunks`` are indices into the plan."""

    name: str
    range: Interval
    chunks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies. ``chunk_rvas`` is in step with the plan's chunks; ``end`` is the first
    free page after the last section."""

    sections: tuple[LaidSection, ...]
    chunk_rvas: tuple[Rva, ...]
    end: int


def first_rva(size_of_image: int) -> Rva:
    """Nominal place of a patch image for a baseline of ``size_of_image`` bytes."""
    return Rva(shape.round_up(size_of_image, shape.GRANULARITY))


def lay_out(chunks: Sequence[Chunk], start: Rva) -> Layout:
    """Give every chunk its RVA, from ``start`` on.

    Raises HpbuildError: HP3501 for a chunk that contradicts itself, HP3505 when the end is beyond 1 GiB,
    HP3510 for too much zero-filled memory.
    """
    rvas: list[Rva] = [Rva(0)] * len(chunks)
    sections: list[LaidSection] = []
    cursor: int = start
    for kind, name in _SECTION_OF.items():
        members = tuple(index for index, chunk in enumerate(chunks) if chunk.kind is kind)
        begin = cursor
        for index in members:
            _check(chunks[index], index)
            cursor = shape.round_up(cursor, _alignment(chunks[index]))
            rvas[index] = Rva(cursor)
            cursor += chunks[index].size
            if kind is ChunkKind.CODE:
                # The return address of a last call that never returns must not be the next function's.
                cursor += 1
        if kind is ChunkKind.BSS and cursor - begin > shape.LARGEST_ZERO_FILL:
            raise HpbuildError(codes.ZERO_FILL_TOO_LARGE, "patch image", f"{cursor - begin:#x} bytes")
        if cursor > begin:
            sections.append(LaidSection(name, Interval(begin, cursor), members))
        cursor = shape.round_up(cursor, shape.PAGE)
    check_reach(cursor)
    return Layout(tuple(sections), tuple(rvas), cursor)


def check_reach(end: int) -> None:
    """HP3505 when a patch image ending at RVA ``end`` is too large to be read back."""
    if end > shape.LARGEST_IMAGE:
        raise HpbuildError(codes.OUT_OF_REACH, "patch image", f"it would end at RVA {end:#x}")


def _alignment(chunk: Chunk) -> int:
    return max(chunk.alignment, _LEAST_ALIGNMENT.get(chunk.kind, 1))


def _check(chunk: Chunk, index: int) -> None:
    place = f"chunks[{index}] {chunk.name}"
    power = chunk.alignment > 0 and chunk.alignment & (chunk.alignment - 1) == 0
    if not power or chunk.alignment > shape.PAGE:
        raise HpbuildError(codes.PLAN_INCONSISTENT, place, f"alignment {chunk.alignment} is not 1..4096")
    if chunk.size <= 0:
        raise HpbuildError(codes.PLAN_INCONSISTENT, place, f"size {chunk.size} is not positive")
    expected = 0 if chunk.kind is ChunkKind.BSS else chunk.size
    if len(chunk.content) != expected:
        cause = f"{len(chunk.content)} bytes of content where {expected} are due"
        raise HpbuildError(codes.PLAN_INCONSISTENT, place, cause)
    check_fields(chunk, place)
