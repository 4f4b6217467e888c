"""What the user should know about a patched copy."""

from typing import Final

from hpbuild.apply.offline import headers
from hpbuild.apply.offline.headers import get_u32
from hpbuild.apply.offline.moves import Moves
from hpbuild.codes import apply_offline as codes
from hpbuild.errors import Finding
from hpbuild.patchimage.read import PatchImage
from hpbuild.pe.dynamic_relocations import rewritten_sites
from hpbuild.pe.image import Image
from hpbuild.pe.load_config import load_config
from hpbuild.pe.unwind import UNW_FLAG_EHANDLER, UNW_FLAG_UHANDLER, unwind_info
from hpbuild.values import Interval

_SYMBOL_SIZE: Final = 18
"""Bytes of a row of the COFF symbol table."""


def warnings(baseline: Image, patch: PatchImage, moves: Moves) -> tuple[Finding, ...]:
    """Warnings about the copy of ``baseline`` with ``patch``, whose parts went by ``moves``."""
    found = []
    if len(moves.certificate):
        cause = f"the certificate table of {len(moves.certificate)} bytes; the patched file is unsigned"
        found.append(Finding(codes.SIGNATURE_REMOVED, baseline.name, cause))
    if moved := _unknown_overlay(baseline, moves):
        cause = f"{moved} bytes behind the last section, now at file offset {moves.overlay:#x}"
        found.append(Finding(codes.OVERLAY_MOVED, baseline.name, cause))
    if moves.grown:
        cause = f"by {moves.grown:#x} bytes; the debug directory's file offsets are as they were"
        found.append(Finding(codes.HEADERS_GREW, baseline.name, cause))
    if baseline.dll_characteristics & headers.FORCE_INTEGRITY:
        found.append(Finding(codes.INTEGRITY_FLAG, baseline.name, "DllCharacteristics has FORCE_INTEGRITY"))
    if rewritten_sites(baseline) is None:
        cause = "the dynamic relocation table has kinds or a version that this program does not know"
        found.append(Finding(codes.DYNAMIC_RELOCATIONS_UNKNOWN, baseline.name, cause))
    config = load_config(baseline)
    handled = UNW_FLAG_EHANDLER | UNW_FLAG_UHANDLER
    if config is not None and len(config.guard_eh_cont):
        rows = [row for row in patch.runtime_functions if row.unwind in patch.range]
        count = sum(1 for row in rows if unwind_info(patch.image, row.unwind).flags & handled)
        if count:
            cause = f"{count} parts of new functions have an exception handler"
            found.append(Finding(codes.CONTINUATIONS_UNKNOWN, baseline.name, cause))
    return tuple(found)


def _unknown_overlay(baseline: Image, moves: Moves) -> int:
    """Bytes behind the sections that are neither the certificate table, nor the COFF symbol table with its
    strings (PE specification, section "COFF Symbol Table"), whose place the headers know, nor padding."""
    data = baseline.data
    parts = (Interval(moves.body.end, moves.certificate.start), Interval(moves.certificate.end, len(data)))
    at = headers.places(baseline)
    start, count = get_u32(data, at.symbol_table), get_u32(data, at.symbol_table + 4)
    symbols = start + _SYMBOL_SIZE * count if start >= moves.body.end else 0
    if symbols and symbols + 4 <= len(data):
        known = Interval(start, symbols + max(4, get_u32(data, symbols)))
        rest = [
            piece for part in parts
            for piece in (Interval(part.start, max(part.start, min(part.end, known.start))),
                          Interval(min(part.end, max(part.start, known.end)), part.end))
        ]  # fmt: skip
    else:
        rest = list(parts)
    return sum(len(piece) for piece in rest if any(data[piece.start : piece.end]))
