"""The bytes of an image without its addresses, made for the places that somebody looks at.

A second copy of the image takes room, and to fill room that was not used before takes longer than to make the
bytes: digests of all pieces are made run by run. They decide nearly all comparisons; what is left asks for a
few thousand short runs.
"""

import numpy as np
import numpy.typing as npt

from hpbuild.code.model import I64, U8, FieldForm, Program

_WIDEST = 8
"""Bytes of the widest field."""
_FEW = 16
"""Fields up to which one is zeroed after the other."""


class Masked:
    """The mapped image with every reference of code and every data field zeroed; a slice of it is a column of
    its own, or the image's where that has no field. ``more`` are further fields of 4 bytes."""

    __slots__ = ("_kinds", "_memory")

    def __init__(self, program: Program, more: tuple[int, ...] = ()) -> None:
        references, fields = program.references, program.fields
        widths = np.where(fields.form == FieldForm.ADDR64, 8, 4).astype(np.uint8)
        further = np.array(sorted(more), dtype=np.int64)
        self._memory = program.image.memory
        kinds: tuple[tuple[I64, U8], ...] = (
            (references.site, references.width),
            (fields.site, widths),
            (further, np.full(len(further), 4, dtype=np.uint8)),
        )
        self._kinds = tuple(kind for kind in kinds if len(kind[0]))

    def __getitem__(self, run: slice) -> U8:
        start, end, _ = run.indices(len(self._memory))
        kinds = [(sites[rows], widths[rows]) for sites, widths, rows in self._reaching(start, end)]
        if not kinds:
            return self._memory[start:end]
        # With room for all of a field that only its end or its beginning is of the run.
        wide = np.empty(end - start + 2 * _WIDEST, dtype=np.uint8)
        wide[_WIDEST:-_WIDEST] = self._memory[start:end]
        for sites, widths in kinds:
            _zero(wide, sites - (start - _WIDEST), widths)
        return wide[_WIDEST:-_WIDEST]

    def _reaching(self, start: int, end: int) -> list[tuple[I64, U8, slice]]:
        """Sites and widths of each kind that has any in [start, end), and the rows that may reach into it."""
        found = []
        for sites, widths in self._kinds:
            bounds = np.array((max(start - _WIDEST + 1, 0), end), dtype=sites.dtype)
            first, last = sites.searchsorted(bounds).tolist()
            if first < last and start < end:
                found.append((sites, widths, slice(first, last)))
        return found


def _zero(data: U8, at: npt.NDArray[np.integer], widths: U8) -> None:
    """Zero ``widths`` bytes from each place in ``data``."""
    if len(at) <= _FEW:
        for place, width in zip(at.tolist(), widths.tolist(), strict=True):
            data[place : place + width] = 0
        return
    for width in np.flatnonzero(np.bincount(widths)).tolist():
        chosen = at[widths == width]
        for place in range(width):
            data[chosen + place] = 0
