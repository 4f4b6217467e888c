"""Move a patch image in memory: to a higher place, with another image base, and back.

Used on the checking side: imports neither the plan nor the linker. The sites may come from a hostile
manifest; every one is checked before a byte changes.
"""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hpbuild.codes import patchimage as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.patchimage.fixups import FixupSites
from hpbuild.patchimage.format import GRANULARITY, REACH
from hpbuild.values import Interval

Values = npt.NDArray[np.integer[Any]]
_U64: Final = struct.Struct("<Q")
_U32: Final = struct.Struct("<I")
_I32: Final = struct.Struct("<i")
_ADDR64, _REL32, _ADDR32NB = "ADDR64", "REL32", "ADDR32NB"
_SIZES: Final = {_ADDR64: 8, _REL32: 4, _ADDR32NB: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """From one image base and place to another; ``source`` is the block's RVAs before, ``baseline_end``
    the nominal start: RVAs below it belong to the baseline."""

    source: Interval
    baseline_end: int
    source_base: int
    target_base: int
    delta: int


def place(
    memory: bytes,
    nominal: Interval,
    baseline_base: int,
    fixups: FixupSites,
    actual_image_base: int,
    delta: int,
) -> bytes:
    """The bytes of a patch image that lies ``delta`` bytes above its nominal place.

    ``memory`` are the bytes of RVAs ``nominal`` as linked; ``baseline_base`` is the image base it was
    linked for, ``actual_image_base`` the one the baseline really has. Sites are nominal RVAs.
    Raises HpbuildError: HP3701 for an illegal place, HP3702 to HP3704 for a fixup.
    """
    _check_place(memory, nominal, baseline_base, actual_image_base, delta)
    move = _Move(
        source=nominal,
        baseline_end=nominal.start,
        source_base=baseline_base,
        target_base=actual_image_base,
        delta=delta,
    )
    return _apply(memory, nominal, fixups, move)


def unplace(
    memory: bytes,
    nominal: Interval,
    baseline_base: int,
    fixups: FixupSites,
    actual_image_base: int,
    delta: int,
) -> bytes:
    """The inverse of ``place``: the bytes as linked, from those found at the moved place."""
    _check_place(memory, nominal, baseline_base, actual_image_base, delta)
    moved = Interval(nominal.start + delta, nominal.end + delta)
    back = _Move(
        source=moved,
        baseline_end=nominal.start,
        source_base=actual_image_base,
        target_base=baseline_base,
        delta=-delta,
    )
    return _apply(memory, nominal, fixups, back)


def _check_place(memory: bytes, nominal: Interval, old_base: int, new_base: int, delta: int) -> None:
    if len(memory) != len(nominal):
        cause = f"{len(memory)} bytes of memory for {nominal}"
        raise HpbuildError(codes.MOVE_ILLEGAL, "patch image", cause)
    if delta < 0 or delta % GRANULARITY or nominal.end + delta > REACH:
        raise HpbuildError(codes.MOVE_ILLEGAL, "patch image", f"{nominal} moved by {delta:#x}")
    for base in (old_base, new_base):
        if base < 0 or base % GRANULARITY or base + REACH > 2**64:
            raise HpbuildError(codes.MOVE_ILLEGAL, "patch image", f"{base:#x} is not an image base")


def _checked_sites(fixups: FixupSites, nominal: Interval) -> list[tuple[int, str]]:
    """All sites with their kinds, ascending."""
    sites: list[tuple[int, str]] = []
    for kind, group in ((_ADDR64, fixups.addr64), (_REL32, fixups.rel32), (_ADDR32NB, fixups.addr32nb)):
        for before, site in pairwise(group):
            if site <= before:
                raise HpbuildError(codes.FIXUP_MISPLACED, f"{kind} {site:#x}", f"it comes after {before:#x}")
        sites.extend((site, kind) for site in group)
    sites.sort()
    cursor = nominal.start
    for rva, kind in sites:
        if rva < cursor:
            raise HpbuildError(codes.FIXUP_MISPLACED, f"{kind} {rva:#x}", f"it begins before {cursor:#x}")
        cursor = rva + _SIZES[kind]
        if cursor > nominal.end:
            raise HpbuildError(codes.FIXUP_MISPLACED, f"{kind} {rva:#x}", f"it ends after {nominal.end:#x}")
    return sites


def _apply(memory: bytes, nominal: Interval, fixups: FixupSites, move: _Move) -> bytes:
    moved = _applied(memory, nominal, fixups, move)
    if moved is None:  # one by one, up to the first that is not as it should be
        sites, moved = _checked_sites(fixups, nominal), bytearray(memory)
        for offset, raw in _new_fields(memory, nominal.start, sites, move):
            moved[offset : offset + len(raw)] = raw
    return bytes(moved)


def _applied(memory: bytes, nominal: Interval, fixups: FixupSites, move: _Move) -> bytearray | None:
    """``memory`` with all fixups applied together; None when something is wrong with one of them."""
    groups = fixups.addr64, fixups.rel32, fixups.addr32nb
    try:
        sites = [np.fromiter(group, np.int64, len(group)) - nominal.start for group in groups]
    except OverflowError:
        return None
    widths = np.repeat([_SIZES[kind] for kind in (_ADDR64, _REL32, _ADDR32NB)], [len(each) for each in sites])
    every = np.concatenate(sites)
    order = np.argsort(every, kind="stable")
    ends = every[order] + widths[order]
    apart = np.all(every[order][1:] >= ends[:-1]) and all(np.all(np.diff(each) > 0) for each in sites)
    if len(every) and not (apart and every.min() >= 0 and ends[-1] <= len(memory)):
        return None
    moved = bytearray(memory)
    image = np.frombuffer(moved, dtype=np.uint8)
    for each, kind in zip(sites, ("<u8", "<i4", "<u4"), strict=True):
        width = np.dtype(kind).itemsize
        places = each[:, None] + np.arange(width)
        values = _moved_values(image[places].view(kind)[:, 0], kind, move)
        if values is None:
            return None
        image[places] = values.astype(kind)[:, None].view(np.uint8)
    return moved


def _moved_values(values: Values, kind: str, move: _Move) -> Values | None:
    """The values of all fields of one kind after the move; None when one of them cannot be moved."""
    if kind == "<i4":
        apart = values.astype(np.int64) - move.delta
        return apart if np.all((apart >= -REACH) & (apart < REACH)) else None
    if kind == "<u4":
        inside = (values >= move.source.start) & (values < move.source.end)
        return values.astype(np.int64) + move.delta if inside.all() else None
    rva = values - np.uint64(move.source_base)  # modulo 2**64: what lies below is far above
    inside = (rva >= np.uint64(move.source.start)) & (rva < np.uint64(move.source.end))
    if not np.all(inside | (rva < np.uint64(move.baseline_end))):
        return None
    further = np.where(inside, np.int64(move.delta), np.int64(0)).view(np.uint64)
    return rva + np.uint64(move.target_base) + further


def _new_fields(
    memory: bytes, start: int, sites: list[tuple[int, str]], move: _Move
) -> Iterator[tuple[int, bytes]]:
    for site, kind in sites:
        offset = site - start
        name = f"{kind} {site:#x}"
        if kind == _ADDR64:
            (value,) = _U64.unpack_from(memory, offset)
            yield offset, _U64.pack(_moved_pointer(value, move, name))
        elif kind == _ADDR32NB:
            (value,) = _U32.unpack_from(memory, offset)
            if value not in move.source:
                cause = f"{value:#x} is not an RVA of the patch image {move.source}"
                raise HpbuildError(codes.FIXUP_VALUE, name, cause)
            yield offset, _U32.pack(value + move.delta)
        else:
            (value,) = _I32.unpack_from(memory, offset)
            if not -REACH <= value - move.delta < REACH:
                raise HpbuildError(codes.FIXUP_OVERFLOW, name, f"{value:#x} less {move.delta:#x}")
            yield offset, _I32.pack(value - move.delta)


def _moved_pointer(value: int, move: _Move, name: str) -> int:
    """The absolute address after the move: one into the patch image moves with it, one into the
    baseline only with the image base."""
    rva = value - move.source_base
    if rva in move.source:
        return move.target_base + rva + move.delta
    if 0 <= rva < move.baseline_end:
        return move.target_base + rva
    raise HpbuildError(codes.FIXUP_VALUE, name, f"{value:#x} is in neither the baseline nor the patch image")
