"""Which section many addresses lie in, and what it is for."""

import numpy as np
import numpy.typing as npt

from hpbuild.code.model import I64
from hpbuild.pe.image import Image

Mask = npt.NDArray[np.bool_]


def section_numbers(image: Image, rvas: I64) -> I64:
    """Index of the section that holds each RVA, -1 for none (headers, gaps, outside)."""
    if not image.sections:
        return np.full(len(rvas), -1, dtype=np.int64)
    starts = np.array([section.rva for section in image.sections], dtype=np.int64)
    ends = np.array([section.rva + section.virtual_size for section in image.sections], dtype=np.int64)
    found = (
        np.searchsorted(starts, rvas, side="right") - 1
    )  # ascending and disjoint: the pre-flight saw to it
    inside = (found >= 0) & (rvas < ends[np.maximum(found, 0)])
    return np.where(inside, found, -1)


def in_constants(image: Image, rvas: I64, size: int) -> Mask:
    """Which RVAs begin ``size`` bytes in a section that is neither code nor writable."""
    found = np.zeros(len(rvas), dtype=np.bool_)
    for section in image.sections:
        if not section.executable and not section.writable:
            stop = min(section.rva + section.virtual_size, image.size_of_image)
            found |= (rvas >= section.rva) & (rvas < section.range.end) & (rvas <= stop - size)
    return found


def in_code_sections(image: Image, rvas: I64) -> Mask:
    """Which RVAs lie in executable sections."""
    found = np.zeros(len(rvas), dtype=np.bool_)
    for section in image.sections:
        if section.executable:
            found |= (rvas >= section.rva) & (rvas < section.range.end)
    return found
