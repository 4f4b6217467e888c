"""Move a patch image in memory: to a higher place, with another image base, and back.

Used on the checking side: imports neither the plan nor the linker. The sites may come from a hostile
manifest; every one is checked before a byte changes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from hpbuild.codes import patchimage as codes
from hpbuild.errors import HpbuildError
from hpbuild.patchimage.fixups import FixupSites
from hpbuild.patchimage.format import GRANULARITY, REACH
from hpbuild.values import Interval

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
    sites = _checked_sites(fixups, nominal)
    move = _Move(
        source=nominal,
        baseline_end=nominal.start,
        source_base=baseline_base,
        target_base=actual_image_base,
        delta=delta,
    )
    return _apply(memory, nominal.start, sites, move)


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
    sites = _checked_sites(fixups, nominal)
    moved = Interval(nominal.start + delta, nominal.end + delta)
    back = _Move(
        source=moved,
        baseline_end=nominal.start,
        source_base=actual_image_base,
        target_base=baseline_base,
        delta=-delta,
    )
    return _apply(memory, nominal.start, sites, back)


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


def _apply(memory: bytes, start: int, sites: list[tuple[int, str]], move: _Move) -> bytes:
    moved = bytearray(memory)
    for offset, raw in _new_fields(memory, start, sites, move):
        moved[offset : offset + len(raw)] = raw
    return bytes(moved)


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
