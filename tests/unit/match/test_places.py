"""What lies at an address: against the plain search."""

import numpy as np
import pytest

from hpbuild.code.model import FieldForm
from hpbuild.match.places import label, locate, nothing
from tests.comparing import PAIRS, compared


@pytest.mark.parametrize("pair", PAIRS)
def test_every_address_of_an_image(pair: str) -> None:
    side = compared(pair, "none").fixed
    program, atoms = side.program, side.atoms
    fragments, size = program.fragments, program.image.size_of_image
    rva = np.concatenate([np.arange(0, size, 7), fragments.start, fragments.end, atoms.start, atoms.end])
    found = locate(program, atoms, np.append(rva, -1)[::-1])
    for number, address in enumerate([-1, *rva[::-1].tolist()]):
        fragment = program.fragment_at(address)
        code = -1 if fragment < 0 or fragments.opaque[fragment] else fragment
        atom = -1 if code >= 0 else atoms.one(address)
        assert (found.code[number], found.atom[number]) == (code, atom)
        start = fragments.start[code] if code >= 0 else atoms.start[atom] if atom >= 0 else address
        assert found.offset[number] == address - start
        if code >= 0 or atom >= 0:
            assert found.other[number] == 0


@pytest.mark.parametrize("pair", PAIRS)
def test_ends_of_sections_have_labels(pair: str) -> None:
    side = compared(pair, "none").fixed
    sections = side.program.image.sections
    ends = {section.rva + section.virtual_size: section.name for section in sections}
    rva = np.array([place + step for place in sorted(ends, reverse=True) for step in (1, 0, -1)])
    found = locate(side.program, side.atoms, rva)
    for number, address in enumerate(rva.tolist()):
        name = ends.get(address)
        assert found.edge[number] == (label("behind", name, 0) if name is not None else 0)
    assert np.count_nonzero(found.edge) >= len(ends)


def test_origins_of_tables_are_located_and_nothing_else() -> None:
    located = 0
    for pair in PAIRS:
        side = compared(pair, "none").fixed
        fields, origins = side.program.fields, side.origins
        tables = np.flatnonzero(fields.form == FieldForm.TABLE32)
        plain = locate(side.program, side.atoms, fields.origin)
        for name in ("code", "atom", "offset", "other", "edge"):
            assert np.array_equal(getattr(origins, name)[tables], getattr(plain, name)[tables])
        others = np.flatnonzero(fields.form != FieldForm.TABLE32)
        assert (origins.code[others] < 0).all()
        assert (origins.atom[others] < 0).all()
        located += len(tables)
    assert located, "some example has such a table"


def test_what_is_one_number_everywhere_takes_no_room() -> None:
    side = compared(PAIRS[0], "none").fixed
    starts = side.program.fragments.start[~side.program.fragments.opaque]
    found = locate(side.program, side.atoms, np.repeat(starts, 2))
    assert (found.code >= 0).all()
    for labels in (found.other, found.edge):
        assert (len(labels), labels.strides, labels.any()) == (2 * len(starts), (0,), False)
    none = nothing(5)
    assert (none.code.tolist(), none.atom.tolist(), none.offset.tolist()) == ([-1] * 5, [-1] * 5, [0] * 5)
    assert [len(column) for column in (none.other, none.edge)] == [5, 5]
