"""One side of a comparison: a program with its forms, its atoms and where each reference leads."""

from dataclasses import dataclass, replace

import numpy as np

from hpbuild.code.model import I64, U8, FieldForm, Program
from hpbuild.match.atoms import Atoms, cut_atoms, masked_memory
from hpbuild.match.forms import fragment_forms, reference_ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What lies at each of a column of addresses: ``code`` is the fragment or -1, ``atom`` the atom or
    -1, ``offset`` the distance from the start of whichever it is, ``other`` a stable label of anything
    else (import slot, loader structure, headers), 0 where that cannot be named. ``edge`` is the label of the
    end of a section at its last byte's successor, where the next section may begin too; 0 elsewhere."""

    code: I64
    atom: I64
    offset: I64
    other: I64
    edge: I64


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """``first`` and ``last`` delimit each fragment's rows in the references; ``targets`` says where those
    lead, ``pointers`` where the data fields lead, ``origins`` where their origins lie."""

    program: Program
    masked: U8
    forms: I64
    first: I64
    last: I64
    atoms: Atoms
    targets: Places
    pointers: Places
    origins: Places


def prepare(program: Program) -> Side:
    """Compute everything about one program that does not depend on the other."""
    masked = masked_memory(program)
    atoms = cut_atoms(program, masked)
    first, last = reference_ranges(program)
    return Side(
        program=program,
        masked=masked,
        forms=fragment_forms(program, masked),
        first=first,
        last=last,
        atoms=atoms,
        targets=locate(program, atoms, program.references.target),
        pointers=_pointers(program, atoms),
        origins=locate(program, atoms, program.fields.origin),
    )


def _pointers(program: Program, atoms: Atoms) -> Places:
    """Where data fields lead; the address behind a run belongs with the run's last byte."""
    ends = (program.fields.form == FieldForm.END32NB).astype(np.int64)
    places = locate(program, atoms, program.fields.target - ends)
    return replace(places, offset=places.offset + ends)


def locate(program: Program, atoms: Atoms, rva: I64) -> Places:
    """Say what lies at each address of ``rva``."""
    fragments = program.fragments
    index = np.searchsorted(fragments.start, rva, side="right") - 1
    code = (
        np.where((index >= 0) & (rva < fragments.end[np.maximum(index, 0)]), index, -1)
        if len(fragments)
        else index
    )
    code = np.where((code >= 0) & fragments.opaque[np.maximum(code, 0)], -1, code) if len(fragments) else code
    atom = np.where(code < 0, atoms.at(rva), -1)
    offset = np.zeros(len(rva), dtype=np.int64)
    offset = (
        np.where(code >= 0, rva - fragments.start[np.maximum(code, 0)], offset) if len(fragments) else offset
    )
    offset = np.where(atom >= 0, rva - atoms.start[np.maximum(atom, 0)], offset) if len(atoms) else offset
    rest = np.flatnonzero((code < 0) & (atom < 0))
    other = np.zeros(len(rva), dtype=np.int64)
    other[rest] = _labels(program, rva[rest])
    return Places(code=code, atom=atom, offset=offset, other=other, edge=_edges(program, rva))


def _edges(program: Program, rva: I64) -> I64:
    """Labels of addresses at which a section ends, as ``_labels`` gives them where nothing else begins."""
    labels = np.zeros(len(rva), dtype=np.int64)
    for section in program.image.sections:
        labels[rva == section.rva + section.virtual_size] = label("behind", section.name, 0)
    return labels


def label(*parts: object) -> int:
    """A 63-bit label that is the same on both sides and in every run."""
    text = "\0".join(str(part) for part in parts).encode("utf-8", "surrogateescape")
    value = 0xCBF29CE484222325
    for byte in text:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return (value >> 1) | 1


def _labels(program: Program, rva: I64) -> I64:
    """Labels of addresses that are neither code nor atoms: import slots by name, loader structures by
    class and offset, headers by offset."""
    values, inverse = np.unique(rva, return_inverse=True)
    labels = np.zeros(len(values), dtype=np.int64)
    headers = program.image.size_of_headers
    for number, address in enumerate(values.tolist()):
        slot = program.slots.get(address)
        if slot is not None:
            labels[number] = label("import", slot)
        elif address < headers:
            labels[number] = label("header", address)
        else:
            labels[number] = _structure_label(program, address)
    return labels[inverse]


def _structure_label(program: Program, address: int) -> int:
    """Label of a loader structure by its class and the offset in it, or of a place behind a section."""
    for name, start, end in program.metadata:
        if start <= address < end:
            return label(name, address - start)
    for section in reversed(program.image.sections):
        if address >= section.rva + section.virtual_size:
            return label("behind", section.name, address - section.rva - section.virtual_size)
    return 0
