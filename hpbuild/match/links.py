"""What one side knows of each fragment's place among references, whatever is paired: who refers to it, and
what data and what names surround it."""

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.model import I64, Program
from hpbuild.dataclass import dataclass
from hpbuild.match.atoms import Atoms, Memory
from hpbuild.match.mixing import U64, mix, summed, summed_runs
from hpbuild.match.places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """``rows[first[f]:last[f]]`` are the references that lead into fragment ``f``, ascending. ``own`` is one
    past the last reference of each fragment. ``named`` sums the labels of everything but code that a
    fragment refers to, each with its place among the references; ``held`` those of the data fields that lead
    to it. ``unwind`` is the atom that is each fragment's unwind record or -1, ``holder`` the atom that holds
    each data field or -1. ``code`` are the references that lead to the start of code, ``data`` those that
    lead to data, ``tables`` those to the start of data in the file with addresses in it."""

    rows: I64
    first: I64
    last: I64
    own: I64
    named: U64
    held: U64
    unwind: I64
    holder: I64
    code: I64
    data: I64
    tables: I64


def link(program: Program, atoms: Atoms, first: I64, targets: Places, pointers: Places) -> Links:
    """``first`` is the first reference of each fragment; ``targets`` and ``pointers`` where references and
    data fields lead."""
    count, references = len(program.fragments), program.references
    rows, ends = ordered_by(targets.code, count)
    other = np.flatnonzero(targets.code < 0)
    owner = references.fragment[other]
    place = (other - first[owner]).view(np.uint64)
    fields = np.flatnonzero(pointers.code >= 0)
    holder = _field_holders(program, atoms)
    data = other[targets.atom[other] >= 0]
    return Links(
        rows=rows,
        first=ends[:-1],
        last=ends[1:],
        own=np.append(first[1:], len(references)) if count else first,
        named=summed_runs(mix(_labels(atoms, targets, other), place), owner, count),
        held=summed(_holders(program, atoms, fields, holder), pointers.code[fields], count),
        unwind=_records(program, atoms),
        holder=holder,
        code=np.flatnonzero((targets.code >= 0) & (targets.offset == 0)),
        data=data,
        tables=_tables(atoms, targets, data),
    )


def _field_holders(program: Program, atoms: Atoms) -> I64:
    """The atom that holds each data field, or -1."""
    holder = np.full(len(program.fields), -1, dtype=np.int64)
    fields = members(atoms.first_field, atoms.last_field)
    holder[fields] = np.repeat(np.arange(len(atoms)), atoms.last_field - atoms.first_field)
    return holder


def _records(program: Program, atoms: Atoms) -> I64:
    """The atom that is each fragment's unwind record, or -1. They are looked up in their order, in which
    neighbours are found near each other."""
    unwind = program.fragments.unwind
    found = np.full(len(unwind), -1, dtype=np.int64)
    rows = np.flatnonzero(unwind > 0)
    keys = np.sort(unwind[rows] << 32 | rows)
    found[keys & 0xFFFFFFFF] = atoms.at(keys >> 32)
    return found


def ordered_by(groups: I64, count: int) -> tuple[I64, I64]:
    """Rows by group, ascending in each, without those of groups below 0; and where each group begins among
    them, with the end of the last. Groups and rows are below 2**31."""
    rows = np.flatnonzero(groups >= 0)
    keys = groups.take(rows)
    begin = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(keys, minlength=count), out=begin[1:])
    keys <<= 32
    keys |= rows
    keys.sort()
    keys &= 0xFFFFFFFF
    return keys, begin


def _labels(atoms: Atoms, places: Places, rows: I64) -> U64:
    """Labels of what is no code: constants by their content, the loader's by name, variables not at all."""
    labels = places.other[rows].view(np.uint64)
    if not len(atoms):
        return labels
    atom = places.atom[rows]
    known = np.maximum(atom, 0)
    constant = (atom >= 0) & (atoms.memory[known] == Memory.RODATA)
    return np.where(constant, atoms.digest[known].view(np.uint64), labels)


def _holders(program: Program, atoms: Atoms, rows: I64, holder: I64) -> U64:
    """Label of the data that holds each field: the atom's content and the field's place in it."""
    if not len(atoms):
        return np.zeros(len(rows), dtype=np.uint64)
    site, atom = program.fields.site[rows], holder[rows]
    known = np.maximum(atom, 0)
    labels = mix(atoms.digest[known].view(np.uint64), (site - atoms.start[known]).view(np.uint64))
    return np.where(atom >= 0, labels, np.uint64(0))


def _tables(atoms: Atoms, places: Places, rows: I64) -> I64:
    if not len(atoms):
        return rows[:0]
    telling = telling_atoms(atoms)
    rows = rows[places.offset[rows] == 0]
    return rows[telling[places.atom[rows]]]


def telling_atoms(atoms: Atoms) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """By atom: the file holds it, and addresses in it."""
    telling: np.ndarray[tuple[int], np.dtype[np.bool_]] = (atoms.memory != Memory.BSS) & (
        atoms.last_field > atoms.first_field
    )
    return telling
