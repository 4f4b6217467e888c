"""Jumps that might lead somewhere, told from bytes alone: without the borders of the instructions."""

import numpy as np

from hpbuild.code.model import I64
from hpbuild.code.sections import Mask
from hpbuild.pe.image import Image

SHORT = 128
"""A short jump that ends so many bytes in front of a place, or more, does not reach it."""


def may_lead(image: Image, start: I64, end: I64, low: I64, high: I64) -> Mask:
    """Which of the runs ``[start, end)`` hold bytes that could be a near jump into ``[low, high)``, each its
    own. Short jumps are not looked at."""
    memory, sizes = image.memory.data, end - start
    runs = zip(start.tolist(), end.tolist(), strict=True)
    code = np.frombuffer(b"".join([*(memory[begin:stop] for begin, stop in runs), bytes(8)]), dtype=np.uint8)
    first, second = code[:-8], code[1:-7]
    jumps = np.flatnonzero(first == 0xE9)
    branches = np.flatnonzero((first == 0x0F) & (second & 0xF0 == 0x80))
    at = np.concatenate([jumps, branches])
    field = np.concatenate([jumps + 1, branches + 2])
    ends = np.cumsum(sizes)
    owner = np.searchsorted(ends, at, side="right")
    words = np.ndarray(len(code) - 3, "<i4", code, 0, (1,))
    target = field + 4 + words[field] - (ends - sizes)[owner] + start[owner]
    found = np.zeros(len(sizes), dtype=np.bool_)
    found[owner[(target >= low[owner]) & (target < high[owner])]] = True
    begins = np.flatnonzero((first == 0xC7) & (second == 0xF8))  # XBEGIN, whose distance may have 16 bits
    found[np.searchsorted(ends, begins, side="right")] = True
    return found
