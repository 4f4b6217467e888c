"""Compiler identification behind the constants: texts that gcc leaves in every object; nobody refers to them.

GCC emits them for the directive ``.ident`` ("GCC: (GNU) 12.2.0"), on Windows into ``.rdata$zzz``, which
linkers put behind all other constants. Their number changes with the objects that are linked in; without a
cut in front of them they would pass for the end of the last constant.
"""

import re

from hpbuild.pe.image import Image
from hpbuild.values import Interval

_MARK = b"GCC: ("
_TEXT = re.compile(rb"GCC: \([ -~]{1,200}\0+")
_LONGEST = 1 << 20
"""Bytes at a section's end that are looked at."""
_ALIGNMENT = 16
"""Each object's section begins at a multiple of at least this."""


def identification(image: Image) -> tuple[Interval, ...]:
    """Runs of identification texts that reach to the end of a constant section's content, ascending."""
    found = []
    for section in image.sections:
        if section.writable or section.executable:
            continue
        size = min(section.raw_size, section.virtual_size)
        skipped = max(size - _LONGEST, 0)
        first = _first_text(image.read(section.rva + skipped, size - skipped))
        start = section.rva + skipped + first
        if first >= 0 and start % _ALIGNMENT == 0:
            found.append(Interval(start, section.rva + section.virtual_size))
    return tuple(found)


def _first_text(content: bytes) -> int:
    """Where the texts begin that ``content`` ends with, -1 when it does not end with one."""
    first, end = -1, len(content)
    while (start := content.rfind(_MARK, 0, end)) >= 0 and _TEXT.fullmatch(content, start, end):
        first = end = start
    return first
