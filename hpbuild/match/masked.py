"""The bytes of an image without its addresses, made for the places that somebody looks at.

Nearly all comparisons are decided by digests. What is left asks for a few thousand short runs: to make these
takes less time, and less room, than a second copy of the image.
"""

import numpy as np
import numpy.typing as npt

from hpbuild.code.model import U8, FieldForm, Program

_WIDEST = 8
"""Bytes of the widest field."""


class Masked:
    """The mapped image with every reference of code and every data field zeroed, as ``masked_memory`` makes
    it; a slice of it is a column of its own. ``more`` are further fields of 4 bytes."""

    __slots__ = ("_fields", "_memory", "_more", "_references", "_size")

    def __init__(self, program: Program, more: tuple[int, ...] = ()) -> None:
        self._memory, self._size = program.image.memory, len(program.image.memory)
        self._references, self._fields = program.references, program.fields
        self._more = np.array(sorted(more), dtype=np.int64)

    def __getitem__(self, run: slice) -> U8:
        start, end, _ = run.indices(self._size)
        part = self._memory[start:end].copy()
        if start >= end:
            return part
        first, last = _rows(self._references.site, start, end)
        if first < last:
            widths = self._references.width[first:last]
            _zero(part, self._references.site[first:last], widths, start)
        first, last = _rows(self._fields.site, start, end)
        if first < last:
            widths = np.where(self._fields.form[first:last] == FieldForm.ADDR64, 8, 4)
            _zero(part, self._fields.site[first:last], widths, start)
        if len(self._more):
            first, last = _rows(self._more, start, end)
            _zero(part, self._more[first:last], np.full(last - first, 4), start)
        return part


def _rows(sites: npt.NDArray[np.integer], start: int, end: int) -> tuple[int, int]:
    """The rows of an ascending column of sites whose fields may reach into [start, end)."""
    bounds = np.array((max(start - _WIDEST + 1, 0), end), dtype=sites.dtype)
    first, last = sites.searchsorted(bounds).tolist()
    return first, last


def _zero(part: U8, sites: npt.NDArray[np.integer], widths: npt.NDArray[np.integer], start: int) -> None:
    """Zero ``widths`` bytes from each site in ``part``, which begins at RVA ``start``."""
    at = sites.astype(np.int64) - start
    for place in range(int(widths.max(initial=0))):
        bytes_at = at[widths > place] + place
        part[bytes_at[(bytes_at >= 0) & (bytes_at < len(part))]] = 0
