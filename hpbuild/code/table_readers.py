"""Which code reads tables of addresses: found over all code at once, decoded only where it may be so."""

from collections.abc import Iterator

import numpy as np

from hpbuild.code.columns import among, distinct
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64, FieldForm, Fragments, References
from hpbuild.code.sections import in_code_sections
from hpbuild.code.tables import address_tables, relative_tables
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
    first = np.searchsorted(sites, fragments.start[numbers])
    stop = np.searchsorted(sites, fragments.end[numbers])
    begins = _first_of_interest(fragments, references, numbers, reads[first])
    rows = zip(numbers.tolist(), begins.tolist(), first.tolist(), stop.tolist(), strict=True)
    for number, begin, low, high in rows:
        named = dict(zip(sites[low:high].tolist(), targets[low:high].tolist(), strict=True))
        for table in address_tables(image.read(begin, int(fragments.end[number]) - begin), begin, named):
            yield number, table


def _first_of_interest(fragments: Fragments, references: References, numbers: I64, reads: I64) -> I64:
    """An instruction of each fragment among ``numbers`` in front of which none takes the image base or reads
    behind it: it follows one that a reference is known of. ``reads`` are the first references behind it."""
    starts = fragments.start[numbers]
    bases = np.flatnonzero((references.kind == RefKind.LEA) & (references.target == 0))
    next_base = np.append(bases, len(references.site))[np.searchsorted(references.site[bases], starts)]
    row = np.minimum(next_base, reads)
    before = np.maximum(row - 1, 0)
    behind = references.site[before] + references.width[before] + references.trailing[before]
    fits = (row > 0) & (references.site[before] >= starts) & (behind <= references.site[row])
    fits &= references.kind[before] != RefKind.ABSOLUTE
    return np.where(fits, behind, starts)


def _owners(fragments: Fragments, places: I64, size: int) -> I64:
    """Numbers of the code fragments that hold ``size`` bytes from each of these places; other places are left
    out."""
    if not len(fragments):
        return np.zeros(0, dtype=np.int64)
    owner = np.searchsorted(fragments.start, places, side="right") - 1
    inside = (owner >= 0) & (places + size <= fragments.end[owner]) & ~fragments.opaque[owner]
    return owner[inside]
