"""Resolve the fields of chunks: their values at the nominal place, and which of them are fixups.

Source of the kinds: PE specification, "Type Indicators", x64 (IMAGE_REL_AMD64_ADDR64, _ADDR32NB, _REL32,
_REL32_1 to _5). TABLE32 is the entry of a table relative to an address of the same table or function.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hpbuild.codes import patchimage as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.plan.model import Chunk, Field, FieldKind, Target
from hpbuild.values import Rva

SIZES = {
    FieldKind.REL8: 1,
    FieldKind.REL32: 4,
    FieldKind.ADDR64: 8,
    FieldKind.ADDR32NB: 4,
    FieldKind.TABLE32: 4,
}
"""Bytes of a field by kind."""
_RELATIVE = (FieldKind.REL8, FieldKind.REL32)
_NUMBERS = {kind: number for number, kind in enumerate(FieldKind)}
_REL8, _REL32, _ADDR64, _ADDR32NB, _TABLE32 = (
    _NUMBERS[kind]
    for kind in (
        FieldKind.REL8, FieldKind.REL32, FieldKind.ADDR64, FieldKind.ADDR32NB, FieldKind.TABLE32
    )
)  # fmt: skip
_WIDTHS = np.array([SIZES[kind] for kind in FieldKind], dtype=np.int64)
_BASELINE = -1 << 62
"""As the number of a chunk: none."""
Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What addresses are resolved against: the laid-out chunks and the baseline's image."""

    chunks: Sequence[Chunk]
    chunk_rvas: Sequence[Rva]
    image_base: int
    size_of_image: int

    def rva(self, target: Target, place: str) -> Rva:
        """RVA of ``target``. HP3501 for a target outside its chunk, HP3503 outside the baseline.

        One past the end of the baseline is refused too: it may be the patch image's first byte, and
        nobody could tell the two apart when the patch image moves.
        """
        if target.chunk is None:
            if not 0 <= target.offset < self.size_of_image:
                cause = f"RVA {target.offset:#x} is not below SizeOfImage {self.size_of_image:#x}"
                raise HpbuildError(codes.TARGET_OUTSIDE, place, cause)
            return Rva(target.offset)
        if not 0 <= target.chunk < len(self.chunks):
            raise HpbuildError(codes.PLAN_INCONSISTENT, place, f"there is no chunk {target.chunk}")
        if not 0 <= target.offset <= self.chunks[target.chunk].size:
            cause = f"offset {target.offset:#x} is outside chunk {target.chunk}"
            raise HpbuildError(codes.PLAN_INCONSISTENT, place, cause)
        return Rva(self.chunk_rvas[target.chunk] + target.offset)


@dataclass(frozen=True, slots=True)
class Columns:
    """All fields at their nominal places, by ``site``. ``kind`` is an index into ``FieldKind``; ``raw`` are
    the field's bytes as a number; ``target`` is an RVA; ``bias`` is what the distance is measured from, in
    bytes after the field's end (REL32: ``trailing``); ``in_patch`` says that the target belongs to a chunk;
    ``fixup`` that the bytes depend on where the patch image lies."""

    site: Numbers
    kind: Numbers
    raw: npt.NDArray[np.uint64]
    target: Numbers
    bias: Numbers
    in_patch: Flags
    fixup: Flags

    def of(self, *kinds: FieldKind) -> Flags:
        """Which rows are of these kinds."""
        return np.isin(self.kind, [_NUMBERS[kind] for kind in kinds])

    def write(self, content: npt.NDArray[np.uint8], start: int) -> None:
        """Write the fields into ``content``, the bytes from RVA ``start`` on."""
        low, high = self.site.searchsorted((start, start + len(content))).tolist()
        octets = self.raw.astype("<u8").view(np.uint8).reshape(-1, 8)
        for width in sorted(set(SIZES.values())):
            rows = low + np.flatnonzero(_WIDTHS[self.kind[low:high]] == width)
            content[(self.site[rows] - start)[:, None] + np.arange(width)] = octets[rows, :width]


def resolve_all(space: Space) -> Columns:
    """All fields of all chunks. Raises HpbuildError HP3501 to HP3504, for the first that is not as it should
    be."""
    found = _together(space)
    if found is None:
        for index, chunk in enumerate(space.chunks):
            for field in chunk.fields:
                _resolve(space, index, field, f"{chunk.name}+{field.offset:#x}")
        raise HpbuildError(codes.PLAN_INCONSISTENT, "the plan", "its fields cannot be resolved together")
    return found


def _together(space: Space) -> Columns | None:
    """``resolve_all``; None when one of the fields is refused."""
    fields = [field for chunk in space.chunks for field in chunk.fields]
    count = len(fields)
    owner = np.repeat(np.arange(len(space.chunks)), [len(chunk.fields) for chunk in space.chunks])
    rvas = np.array(space.chunk_rvas, dtype=np.int64)
    sizes = np.array([chunk.size for chunk in space.chunks], dtype=np.int64)
    kind = np.fromiter((_NUMBERS[field.kind] for field in fields), np.int64, count)
    trailing = np.fromiter((field.trailing for field in fields), np.int64, count)
    site = rvas[owner] + np.fromiter((field.offset for field in fields), np.int64, count)
    target, in_patch, good = _targets(space, rvas, sizes, [field.target for field in fields])
    behind = site + _WIDTHS[kind]
    anchor = behind + trailing
    tables = [row for row, field in enumerate(fields) if field.origin is not None]
    origins = [origin for field in fields if (origin := field.origin) is not None]
    counted, inside, known = _targets(space, rvas, sizes, origins)
    good[tables] &= known & inside
    anchor[tables] = counted
    table = np.zeros(count, dtype=np.bool_)
    table[tables] = True
    relative = (kind == _REL8) | (kind == _REL32)
    good &= (table == (kind == _TABLE32)) & ((trailing == 0) | relative) & (in_patch | (kind != _REL8))
    value, bits = target - anchor, 8 * _WIDTHS[kind] - 1
    good &= ~(relative | table) | ((value >= -(1 << bits)) & (value < 1 << bits))
    value[kind == _ADDR32NB] = target[kind == _ADDR32NB]
    if not good.all():
        return None
    raw = value.view(np.uint64)
    raw[kind == _ADDR64] = target[kind == _ADDR64].view(np.uint64) + np.uint64(space.image_base % 2**64)
    order = np.argsort(site, kind="stable")
    fixup = (kind == _ADDR64) | np.where(kind == _ADDR32NB, in_patch, (kind != _REL8) & ~in_patch)
    return Columns(
        site=site[order],
        kind=kind[order],
        raw=raw[order],
        target=target[order],
        bias=(anchor - behind)[order],
        in_patch=in_patch[order],
        fixup=fixup[order],
    )


def _targets(
    space: Space, rvas: Numbers, sizes: Numbers, targets: Sequence[Target]
) -> tuple[Numbers, Flags, Flags]:
    """RVAs of targets; whether each lies in the patch image; whether it is one that ``Space.rva`` takes."""
    count = len(targets)
    chunk = np.fromiter((_BASELINE if one.chunk is None else one.chunk for one in targets), np.int64, count)
    offset = np.fromiter((one.offset for one in targets), np.int64, count)
    in_patch = chunk != _BASELINE
    known = (chunk >= 0) & (chunk < len(sizes))
    held = np.where(known, chunk, 0)
    limit = np.where(in_patch, np.append(sizes, 0)[held], space.size_of_image - 1)
    good: Flags = (known | ~in_patch) & (offset >= 0) & (offset <= limit)
    return offset + np.where(known, np.append(rvas, 0)[held], 0), in_patch, good


def check_fields(chunk: Chunk, place: str) -> None:
    """HP3501 unless the fields lie inside the chunk's content and apart from each other."""
    cursor = 0
    for field in sorted(chunk.fields, key=lambda each: each.offset):
        if field.offset < cursor:
            cause = f"the field at {field.offset:#x} overlaps another or begins before the chunk"
            raise HpbuildError(codes.PLAN_INCONSISTENT, place, cause)
        cursor = field.offset + SIZES[field.kind]
        if cursor + field.trailing > len(chunk.content) or field.trailing < 0:
            cause = f"the field at {field.offset:#x} ends after the chunk's content"
            raise HpbuildError(codes.PLAN_INCONSISTENT, place, cause)


def _resolve(space: Space, index: int, field: Field, place: str) -> None:
    """Raise what is wrong with one field."""
    site = Rva(space.chunk_rvas[index] + field.offset)
    target = space.rva(field.target, place)
    bias = field.trailing
    if field.kind is FieldKind.TABLE32:
        bias = _table_origin(space, field, place) - (site + SIZES[field.kind])
    elif field.origin is not None or (field.trailing and field.kind not in _RELATIVE):
        raise HpbuildError(
            codes.PLAN_INCONSISTENT, place, f"{field.kind} has neither origin nor trailing bytes"
        )
    _check_distance(field.kind, target, site + SIZES[field.kind] + bias, place)
    if field.kind is FieldKind.REL8 and field.target.chunk is None:
        raise HpbuildError(codes.FIELD_OVERFLOW, place, "a short branch cannot reach the baseline")


def _table_origin(space: Space, field: Field, place: str) -> Rva:
    if field.origin is None or field.trailing:
        raise HpbuildError(codes.PLAN_INCONSISTENT, place, "TABLE32 has an origin and no trailing bytes")
    if field.origin.chunk is None:
        cause = f"the origin is baseline RVA {field.origin.offset:#x}"
        raise HpbuildError(codes.TABLE_ORIGIN_IN_BASELINE, place, cause)
    return space.rva(field.origin, place)


def _check_distance(kind: FieldKind, target: Rva, counted_from: int, place: str) -> None:
    if kind in (FieldKind.ADDR64, FieldKind.ADDR32NB):
        return
    distance, bits = target - counted_from, 8 * SIZES[kind] - 1
    if not -(1 << bits) <= distance < 1 << bits:
        cause = f"{kind} cannot hold {distance:#x}, the distance to RVA {target:#x}"
        raise HpbuildError(codes.FIELD_OVERFLOW, place, cause)
