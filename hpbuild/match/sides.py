"""One side of a comparison: a program with its forms, its atoms and where each reference leads."""

import numpy as np

from hpbuild.code.model import I64, FieldForm, Program
from hpbuild.dataclass import dataclass, replace
from hpbuild.match.atoms import Atoms, cut_atoms
from hpbuild.match.forms import fragment_forms, reference_ranges
from hpbuild.match.links import Links, link
from hpbuild.match.masked import Masked
from hpbuild.match.places import Places, locate, nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """``first`` and ``last`` delimit each fragment's rows in the references; ``targets`` says where those
    lead, ``pointers`` where the data fields lead, ``origins`` where their origins lie, ``links`` who names
    each fragment. ``origins`` are of TABLE32 fields: what the others have for one means nothing."""

    program: Program
    masked: Masked
    forms: I64
    first: I64
    last: I64
    atoms: Atoms
    targets: Places
    pointers: Places
    origins: Places
    links: Links


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearings:
    """Where everything of one program leads: columns as in ``Side``, computed soon, and of much room."""

    first: I64
    last: I64
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
    masked = Masked(program)
    return Contents(forms=fragment_forms(program, masked), atoms=cut_atoms(program, masked))


def bearings(program: Program, atoms: Atoms) -> Bearings:
    """Where everything of one program leads, among its ``atoms``."""
    first, last = reference_ranges(program)
    targets, pointers = locate(program, atoms, program.references.target), _pointers(program, atoms)
    return Bearings(
        first=first,
        last=last,
        targets=targets,
        pointers=pointers,
        origins=_origins(program, atoms),
        links=link(program, atoms, first, targets, pointers),
    )


def prepare(program: Program, known: Contents | None = None, whither: Bearings | None = None) -> Side:
    """Compute everything about one program that does not depend on the other; ``known`` are its contents and
    ``whither`` its bearings, where they are known."""
    known = known or contents(program)
    whither = whither or bearings(program, known.atoms)
    return Side(
        program=program,
        masked=Masked(program),
        forms=known.forms,
        first=whither.first,
        last=whither.last,
        atoms=known.atoms,
        targets=whither.targets,
        pointers=whither.pointers,
        origins=whither.origins,
        links=whither.links,
    )


def _pointers(program: Program, atoms: Atoms) -> Places:
    """Where data fields lead; the address behind a run belongs with the run's last byte."""
    ends = (program.fields.form == FieldForm.END32NB).astype(np.int64)
    places = locate(program, atoms, program.fields.target - ends)
    return replace(places, offset=places.offset + ends)


def _origins(program: Program, atoms: Atoms) -> Places:
    """Where the origins of tables lie; for fields of other forms, nothing: neither code nor data."""
    rows = np.flatnonzero(program.fields.form == FieldForm.TABLE32)
    if not len(rows):
        return nothing(len(program.fields))
    found = locate(program, atoms, program.fields.origin[rows])

    def spread(column: I64, other: int) -> I64:
        every = np.full(len(program.fields), other, dtype=np.int64)
        every[rows] = column
        return every

    return Places(
        code=spread(found.code, -1),
        atom=spread(found.atom, -1),
        offset=spread(found.offset, 0),
        other=spread(found.other, 0),
        edge=spread(found.edge, 0),
    )
