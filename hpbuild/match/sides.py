"""One side of a comparison: a program with its forms, its atoms and where each reference leads."""

from dataclasses import dataclass, replace

import numpy as np

from hpbuild.code.model import I64, U8, FieldForm, Program
from hpbuild.match.atoms import Atoms, cut_atoms, masked_memory
from hpbuild.match.forms import fragment_forms, reference_ranges
from hpbuild.match.links import Links, link
from hpbuild.match.places import Places, locate


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """``first`` and ``last`` delimit each fragment's rows in the references; ``targets`` says where those
    lead, ``pointers`` where the data fields lead, ``origins`` where their origins lie, ``links`` who names
    each fragment."""

    program: Program
    masked: U8
    forms: I64
    first: I64
    last: I64
    atoms: Atoms
    targets: Places
    pointers: Places
    origins: Places
    links: Links


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What takes the most time to compute of one program alone, and little room: the forms of its code and
    its data with their digests. May be computed in another process, or kept for the same program."""

    forms: I64
    atoms: Atoms


def contents(program: Program) -> Contents:
    """The contents of one program."""
    return _contents(program, masked_memory(program))


def prepare(program: Program, known: Contents | None = None) -> Side:
    """Compute everything about one program that does not depend on the other; ``known`` are its contents
    where they are known."""
    masked = masked_memory(program)
    known = known or _contents(program, masked)
    first, last = reference_ranges(program)
    targets = locate(program, known.atoms, program.references.target)
    pointers = _pointers(program, known.atoms)
    return Side(
        program=program,
        masked=masked,
        forms=known.forms,
        first=first,
        last=last,
        atoms=known.atoms,
        targets=targets,
        pointers=pointers,
        origins=locate(program, known.atoms, program.fields.origin),
        links=link(program, known.atoms, first, targets, pointers),
    )


def _contents(program: Program, masked: U8) -> Contents:
    return Contents(forms=fragment_forms(program, masked), atoms=cut_atoms(program, masked))


def _pointers(program: Program, atoms: Atoms) -> Places:
    """Where data fields lead; the address behind a run belongs with the run's last byte."""
    ends = (program.fields.form == FieldForm.END32NB).astype(np.int64)
    places = locate(program, atoms, program.fields.target - ends)
    return replace(places, offset=places.offset + ends)
