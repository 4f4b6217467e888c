"""Which code reads tables of addresses: found over all code at once, decoded only where it may be so."""

from collections.abc import Iterator

import numpy as np

from hpbuild.code.address_tables import address_tables
from hpbuild.code.columns import among, distinct
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64, FieldForm, Fragments, References
from hpbuild.code.sections import in_code_sections
from hpbuild.code.tables import relative_tables
from hpbuild.pe.image import Image

_PIECE = 1 << 18
"""Bytes that are looked through at once: they stay in the processor's cache."""
_ENTRY, _LOAD = 4, 4
"""Bytes of an entry, and of the beginning of an instruction that loads one with sign extension."""


def read_tables(
    image: Image, fragments: Fragments, references: References
) -> Iterator[tuple[int, FieldForm]]:
    """RVA and form of each table whose entries code makes addresses, by fragment, then RVA; without tables of
    RVAs in code, which their function tells. What a fragment reads in both ways holds RVAs."""
    found = dict.fromkeys(_relative(image, fragments), FieldForm.TABLE32)
    readers = distinct(np.array([number for number, _ in found], dtype=np.int64))
    found.update(dict.fromkeys(_based(image, fragments, references, readers), FieldForm.ADDR32NB))
    for (_, table), form in sorted(found.items()):
        if form is not FieldForm.ADDR32NB or not in_code_sections(image, np.array([table]))[0]:
            yield table, form


def _relative(image: Image, fragments: Fragments) -> Iterator[tuple[int, int]]:
    """(fragment, table) of tables whose entries are relative to the table."""
    for number in distinct(_owners(fragments, _sign_extending_loads(image), _LOAD)).tolist():
        start, end = int(fragments.start[number]), int(fragments.end[number])
        for table in relative_tables(image.read(start, end - start), start):
            yield number, table


def _sign_extending_loads(image: Image) -> I64:
    """Addresses of ``movsxd r64, [base + index*4 (+ disp8)]``: 4x 63 [mod < 2, rm 4] [scale 2]."""
    found = [np.zeros(0, dtype=np.int64)]
    for section in image.sections:
        if not section.executable:
            continue
        code = image.memory[section.rva : section.rva + section.virtual_size]
        for at in range(0, len(code) - _LOAD + 1, _PIECE):
            piece = code[at : at + _PIECE + _LOAD - 1]
            place = np.flatnonzero(piece[1:-2] == 0x63)
            place = place[(piece[place] & 0xF8 == 0x48) & (piece[place + 2] & 0x87 == 0x04)]
            found.append(place[piece[place + 3] & 0xC0 == 0x80] + (section.rva + at))
    return np.concatenate(found)


def _based(
    image: Image, fragments: Fragments, references: References, relative: I64
) -> Iterator[tuple[int, int]]:
    """(fragment, table) of tables of RVAs, which code reads behind the image base; those in code only of the
    fragments ``relative``."""
    reads = np.flatnonzero((references.kind == RefKind.IMAGE_BASE) & (references.access == _ENTRY))
    needed = ~in_code_sections(image, references.target[reads])
    reads = reads[needed | among(references.fragment[reads], relative)]
    sites, targets = references.site[reads], references.target[reads]
    numbers = distinct(_owners(fragments, sites, 1))
    bounds = np.stack([fragments.start[numbers], fragments.end[numbers]], axis=1)
    rows = zip(bounds.tolist(), np.searchsorted(sites, bounds), strict=True)
    for number, ((start, end), (low, high)) in zip(numbers.tolist(), rows, strict=True):
        named = dict(zip(sites[low:high].tolist(), targets[low:high].tolist(), strict=True))
        borders = _borders(references, start, end)
        for table in address_tables(image.read(start, end - start), start, named, borders):
            yield number, table


def _borders(references: References, start: int, end: int) -> list[int]:
    """Where instructions begin in the fragment ``[start, end)``: behind those that have a reference."""
    first, last = np.searchsorted(references.site, (start, end))
    own = slice(int(first), int(last))
    behind = references.site[own] + references.width[own] + references.trailing[own]
    found: list[int] = behind[references.kind[own] != RefKind.ABSOLUTE].tolist()
    return found


def _owners(fragments: Fragments, places: I64, size: int) -> I64:
    """Numbers of the code fragments that hold ``size`` bytes from each of these places; other places are left
    out."""
    if not len(fragments):
        return np.zeros(0, dtype=np.int64)
    owner = np.searchsorted(fragments.start, places, side="right") - 1
    inside = (owner >= 0) & (places + size <= fragments.end[owner]) & ~fragments.opaque[owner]
    return owner[inside]
