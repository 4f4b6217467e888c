"""Resolve the fields of chunks: their values at the nominal place, and which of them are fixups.

Source of the kinds: PE specification, "Type Indicators", x64 (IMAGE_REL_AMD64_ADDR64, _ADDR32NB, _REL32,
_REL32_1 to _5). TABLE32 is the entry of a table relative to an address of the same table or function.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hpbuild.codes import patchimage as codes
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A field at its nominal place. ``raw`` are its bytes; ``target`` is an RVA; ``bias`` is what the
    distance is measured from, in bytes after the field's end (REL32: ``trailing``); ``in_patch`` says
    that the target belongs to a chunk; ``fixup`` that the bytes depend on where the patch image lies."""

    site: Rva
    kind: FieldKind
    raw: bytes
    target: Rva
    bias: int
    in_patch: bool
    fixup: bool


def resolve_chunk(space: Space, index: int) -> list[Resolved]:
    """All fields of chunk ``index``, in plan order. Raises HpbuildError HP3501 to HP3504."""
    chunk = space.chunks[index]
    return [_resolve(space, index, field, f"{chunk.name}+{field.offset:#x}") for field in chunk.fields]


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


def _resolve(space: Space, index: int, field: Field, place: str) -> Resolved:
    site = Rva(space.chunk_rvas[index] + field.offset)
    target = space.rva(field.target, place)
    in_patch = field.target.chunk is not None
    bias = 0
    if field.kind is FieldKind.TABLE32:
        bias = _table_origin(space, field, place) - (site + SIZES[field.kind])
    elif field.origin is not None or (field.trailing and field.kind not in _RELATIVE):
        raise HpbuildError(
            codes.PLAN_INCONSISTENT, place, f"{field.kind} has neither origin nor trailing bytes"
        )
    else:
        bias = field.trailing
    return Resolved(
        site=site,
        kind=field.kind,
        raw=_encode(space, field.kind, target, site + SIZES[field.kind] + bias, place),
        target=target,
        bias=bias,
        in_patch=in_patch,
        fixup=_is_fixup(field.kind, in_patch, place),
    )


def _table_origin(space: Space, field: Field, place: str) -> Rva:
    if field.origin is None or field.trailing:
        raise HpbuildError(codes.PLAN_INCONSISTENT, place, "TABLE32 has an origin and no trailing bytes")
    if field.origin.chunk is None:
        cause = f"the origin is baseline RVA {field.origin.offset:#x}"
        raise HpbuildError(codes.TABLE_ORIGIN_IN_BASELINE, place, cause)
    return space.rva(field.origin, place)


def _is_fixup(kind: FieldKind, in_patch: bool, place: str) -> bool:
    match kind:
        case FieldKind.ADDR64:
            return True
        case FieldKind.ADDR32NB:
            return in_patch
        case FieldKind.REL8:
            if not in_patch:
                raise HpbuildError(codes.FIELD_OVERFLOW, place, "a short branch cannot reach the baseline")
            return False
        case FieldKind.REL32 | FieldKind.TABLE32:
            return not in_patch


def _encode(space: Space, kind: FieldKind, target: Rva, counted_from: int, place: str) -> bytes:
    match kind:
        case FieldKind.ADDR64:
            return ((space.image_base + target) % 2**64).to_bytes(8, "little")
        case FieldKind.ADDR32NB:
            return target.to_bytes(4, "little")
        case FieldKind.REL8 | FieldKind.REL32 | FieldKind.TABLE32:
            distance = target - counted_from
            size = SIZES[kind]
            if not -(1 << 8 * size - 1) <= distance < 1 << 8 * size - 1:
                cause = f"{kind} cannot hold {distance:#x}, the distance to RVA {target:#x}"
                raise HpbuildError(codes.FIELD_OVERFLOW, place, cause)
            return distance.to_bytes(size, "little", signed=True)
