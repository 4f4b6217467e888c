"""What lies at an address: against the plain search."""

import numpy as np
import pytest

from hpbuild.match.places import locate
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
