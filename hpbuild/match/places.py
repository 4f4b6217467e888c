"""What lies at addresses of one image: code, data, or something of the loader."""

from functools import lru_cache

import numpy as np

from hpbuild.code.model import I64, Program
from hpbuild.dataclass import dataclass
from hpbuild.match.atoms import Atoms

_LABELS = 4096
"""Labels that are kept: more than most images import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What lies at each of a column of addresses: ``code`` is the fragment or -1, ``atom`` the atom or
    -1, ``offset`` the distance from the start of whichever it is, ``other`` a stable label of anything
    else (import slot, loader structure, headers), 0 where that cannot be named. ``edge`` is the label of the
    end of a section at its last byte's successor, where the next section may begin too; 0 elsewhere. Columns
    that are one number everywhere may be ``everywhere``."""

    code: I64
    atom: I64
    offset: I64
    other: I64
    edge: I64


def nothing(count: int) -> Places:
    """Places of so many addresses at which nothing lies."""
    none, label = everywhere(-1, count), everywhere(0, count)
    return Places(code=none, atom=none, offset=label, other=label, edge=label)


def everywhere(number: int, count: int) -> I64:
    """A column that is one number everywhere: it takes no room, and nothing can be written to it."""
    column: I64 = np.broadcast_to(np.int64(number), count)
    return column


def locate(program: Program, atoms: Atoms, rva: I64) -> Places:
    """Say what lies at each address of ``rva``. Addresses are named many times over: each is looked up once,
    in their order, in which neighbours are found near each other."""
    if not len(rva):
        return nothing(0)
    keys = rva << 32
    keys |= np.arange(len(rva))
    keys.sort()
    ordered = keys >> 32
    first = np.ones(len(rva), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    found = _locate(program, atoms, ordered.take(np.flatnonzero(first)))
    # Which of those found it is, by address. Columns are used again, for to touch new memory takes its time.
    keys &= 0xFFFFFFFF
    np.cumsum(first, out=ordered)
    ordered -= 1
    number = np.empty(len(rva), dtype=np.int64)
    number[keys] = ordered
    del keys, ordered, first
    code, atom = found.code.take(number), np.full(len(rva), -1, dtype=np.int64)
    # Most is code, which is not data.
    rest = np.flatnonzero(code < 0)
    atom[rest] = found.atom[number[rest]]
    other, edge = (
        labels.take(number) if labels.any() else everywhere(0, len(number))
        for labels in (found.other, found.edge)
    )
    return Places(code=code, atom=atom, offset=found.offset.take(number), other=other, edge=edge)


def _locate(program: Program, atoms: Atoms, rva: I64) -> Places:
    """``locate`` for addresses that are ascending and distinct."""
    code, offset = _code(program, rva)
    atom = np.full(len(rva), -1, dtype=np.int64)
    other = np.zeros(len(rva), dtype=np.int64)
    rest = np.flatnonzero(code < 0)
    found = atoms.at(rva[rest])
    atom[rest] = found
    if len(atoms):
        data = rest[found >= 0]
        offset[data] = rva[data] - atoms.start[atom[data]]
    rest = rest[found < 0]
    other[rest] = _labels(program, rva[rest])
    return Places(code=code, atom=atom, offset=offset, other=other, edge=_edges(program, rva))


def _code(program: Program, rva: I64) -> tuple[I64, I64]:
    """The code fragment at each address or -1, and the distance from its start or 0."""
    fragments = program.fragments
    index = np.searchsorted(fragments.start, rva, side="right") - 1
    known = np.maximum(index, 0)
    offset = rva - fragments.start[known]
    ends = np.where(fragments.opaque, fragments.start, fragments.end) - fragments.start
    outside = (index < 0) | (offset >= ends[known])
    index[outside] = -1
    offset[outside] = 0
    return index, offset


def _edges(program: Program, rva: I64) -> I64:
    """Labels of addresses at which a section ends, as ``_labels`` gives them where nothing else begins. The
    addresses are ascending and distinct."""
    labels = np.zeros(len(rva), dtype=np.int64)
    for section in program.image.sections:
        end = section.rva + section.virtual_size
        row = int(rva.searchsorted(end))
        if row < len(rva) and rva[row] == end:
            labels[row] = label("behind", section.name, 0)
    return labels


@lru_cache(maxsize=_LABELS)
def label(*parts: str | int) -> int:
    """A 63-bit label that is the same on both sides and in every run. Both sides ask for most of them."""
    text = "\0".join(str(part) for part in parts).encode("utf-8", "surrogateescape")
    value = 0xCBF29CE484222325
    for byte in text:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return (value >> 1) | 1


def _labels(program: Program, rva: I64) -> I64:
    """Labels of addresses that are neither code nor atoms: import slots by name, loader structures by
    class and offset, headers by offset."""
    labels = np.zeros(len(rva), dtype=np.int64)
    headers = program.image.size_of_headers
    for number, address in enumerate(rva.tolist()):
        slot = program.slots.get(address)
        if slot is not None:
            labels[number] = label("import", slot)
        elif address < headers:
            labels[number] = label("header", address)
        else:
            labels[number] = _structure_label(program, address)
    return labels


def _structure_label(program: Program, address: int) -> int:
    """Label of a loader structure by its class and the offset in it, or of a place behind a section."""
    for name, start, end in program.metadata:
        if start <= address < end:
            return label(name, address - start)
    for section in reversed(program.image.sections):
        if address >= section.rva + section.virtual_size:
            return label("behind", section.name, address - section.rva - section.virtual_size)
    return 0
