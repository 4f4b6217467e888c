"""What lies in front of a virtual table: the words that belong with it though nothing names them.

Sources: rttidata.h (MSVC: a pointer to the CompleteObjectLocator), Itanium C++ ABI, "Virtual Table Layout"
(offset to top, pointer to the type information).
"""

import numpy as np

from hpbuild.code.model import I64, FieldForm, Program

_LOCATOR_SELF = 20
"""Offset of its own RVA in a CompleteObjectLocator."""
_TYPE_NAME = np.frombuffer(b"0123456789NSPKFA*", dtype=np.uint8)
"""How the mangled name of a type that has type information may begin."""


def table_heads(program: Program) -> tuple[I64, I64]:
    """Starts and ends of such words, ascending by start: 8 bytes (MSVC), 16 bytes (Itanium). Each ends where
    a virtual table begins."""
    fields = program.fields
    pointers = fields.form == FieldForm.ADDR64
    site, target = fields.site[pointers], fields.target[pointers]
    own = (fields.form == FieldForm.ADDR32NB) & (fields.site == fields.target + _LOCATOR_SELF)
    locators = site[np.isin(target, fields.target[own])]
    typed = _itanium(program, site, target)
    start = np.concatenate([locators, typed - 8])
    order = np.argsort(start, kind="stable")
    return start[order], np.concatenate([locators, typed])[order] + 8


def _itanium(program: Program, site: I64, target: I64) -> I64:
    """Pointers to type information (itself two pointers, the second to a name) with a number in front and a
    pointer to code behind."""
    memory, limit = program.image.memory, program.image.size_of_image
    if not len(site):
        return site
    known = np.isin(target, site) & np.isin(target + 8, site)
    known &= ~np.isin(site - 8, site) & (site >= 8)
    rows = np.flatnonzero(known)
    name = target[np.minimum(np.searchsorted(site, target[rows] + 8), len(site) - 1)]
    rows = rows[(name >= 0) & (name < limit) & np.isin(memory[np.clip(name, 0, limit - 1)], _TYPE_NAME)]
    after = np.minimum(np.searchsorted(site, site[rows] + 8), len(site) - 1)
    rows = rows[(site[after] == site[rows] + 8) & _in_code(program, target[after])]
    octets = memory[(site[rows] - 8)[:, None] + np.arange(8)] if len(rows) else np.zeros((0, 8), np.uint8)
    offset = np.ascontiguousarray(octets).view("<i8")[:, 0]
    found: I64 = site[rows[np.abs(offset) < 1 << 31]]
    return found


def _in_code(program: Program, rva: I64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    fragments = program.fragments
    if not len(fragments):
        return np.zeros(len(rva), dtype=np.bool_)
    place = np.maximum(np.searchsorted(fragments.start, rva, side="right") - 1, 0)
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = (rva >= fragments.start[place]) & (
        rva < fragments.end[place]
    )
    return inside
