"""Digests of pieces are BLAKE2b's of their bytes and tails, however many are equal and wherever they lie."""

from hashlib import blake2b

import numpy as np
import pytest

from hpbuild.code.model import FieldForm, Program
from hpbuild.dataclass import replace
from hpbuild.match.digests import Pieces, digests
from hpbuild.match.forms import fragment_form, fragment_forms
from hpbuild.match.masked import Masked
from hpbuild.match.sides import contents
from tests.assembled import RET, Dll, datum, function
from tests.comparing import PAIRS, example, program

LARGE = (1 << 20) + 77
"""More than is looked at in one go."""


def hashed(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little", signed=True)


def atom_digests(one: Program) -> list[int]:
    """Of each atom by itself."""
    atoms, masked, fields = contents(one).atoms, Masked(one), one.fields
    found = []
    for start, end in zip(atoms.start.tolist(), atoms.end.tolist(), strict=True):
        held = (fields.site >= start) & (fields.site < end)
        places = (fields.site[held] - start).astype("<i8").tobytes()
        found.append(hashed(masked[start:end].tobytes() + places + fields.form[held].tobytes()))
    return found


def form_list(one: Program) -> list[int]:
    """Of each fragment by itself."""
    opaque, masked = one.fragments.opaque.tolist(), Masked(one)
    return [0 if data else fragment_form(one, masked, number) for number, data in enumerate(opaque)]


@pytest.mark.parametrize("pair", PAIRS)
def test_all_pieces_of_an_image(pair: str) -> None:
    one = program(example(pair, "fixed"), "none")
    found = contents(one)
    assert len(set(found.forms.tolist())) < len(found.forms)
    assert found.forms.tolist() == form_list(one)
    assert found.atoms.digest.tolist() == atom_digests(one)


def test_large_pieces_and_many_batches() -> None:
    noise = np.random.default_rng(5).bytes(LARGE)
    one = Dll(
        code=(function("f", b"\x90" * LARGE, RET), function("g", ("lea", "plain"), RET)),
        constants=(
            datum("plain", noise, exported=True),
            datum("small", b"abc", exported=True),
            datum("table", noise, ("pointer", "f"), noise, exported=True),
            datum("across", noise[: (1 << 20) - 4], ("pointer", "f"), b"abcd", exported=True),
            *(datum(f"part {number}", noise[: 1 << 19], exported=True) for number in range(4)),
            datum("again", b"abc", exported=True),
        ),
    ).program()
    found = contents(one)
    sizes = found.atoms.end - found.atoms.start
    assert np.count_nonzero(sizes > 1 << 20) == 3
    assert (found.atoms.last_field - found.atoms.first_field)[sizes > 1 << 20].tolist() == [0, 1, 1]
    assert found.atoms.digest.tolist() == atom_digests(one)
    assert found.forms.tolist() == form_list(one)


@pytest.mark.parametrize("size", [1, 8, 20, 40])
def test_up_to_the_last_byte_of_the_image(size: int) -> None:
    one = program(example("codec", "fixed"), "none")
    none, end = np.zeros(1, dtype=np.int64), np.array([one.image.size_of_image])
    last = Pieces(
        start=end - size, end=end, first=none, last=none, sites=none[:0], marks=none[:0].astype(np.uint8),
        tails=none[:0].astype(np.uint8), tail=8,
    )  # fmt: skip
    assert digests(Masked(one), last).tolist() == [hashed(one.image.memory[-size:].tobytes())]


def pieces(one: Program, sites: list[int], marks: list[int], size: int = 8) -> Pieces:
    """Two runs of zeros behind the data with the given fields, three in each."""
    start = one.image.size_of_image - 64 + np.array([0, 16])
    places = np.array(sites) - np.repeat(start, 3)
    return Pieces(
        start=start,
        end=start + size,
        first=np.array([0, 3]),
        last=np.array([3, 6]),
        sites=np.array(sites),
        marks=np.array(marks, dtype=np.uint8),
        tails=(places << 8 | np.array(marks)).astype("<i8").view(np.uint8),
        tail=8,
    )


@pytest.mark.parametrize(
    ("second", "marks", "alike"),
    [
        ((0, 4, 6), (1, 2, 3), True),
        ((0, 4, 5), (1, 2, 3), False),
        ((0, 4, 6), (1, 2, 4), False),
        ((0, 0, 4), (1, 1, 2), False),
    ],
)
@pytest.mark.parametrize("size", [8, 12])
def test_fields_count(second: tuple[int, ...], marks: tuple[int, ...], alike: bool, size: int) -> None:
    one = Dll(code=(function("f", RET),), zeroed=4096).program()
    base = one.image.size_of_image - 64
    some = pieces(
        one, [base, base + 4, base + 6, *(base + 16 + at for at in second)], [1, 2, 3, *marks], size
    )
    found = digests(Masked(one), some).tolist()
    assert (found[0] == found[1]) == alike
    assert found == [hashed(bytes(size) + some.tails[at : at + 24].tobytes()) for at in (0, 24)]


def test_two_fields_at_one_place() -> None:
    """Nobody makes such, but no digest may be taken from another piece for it."""
    one = Dll(code=(function("f", RET),), zeroed=4096).program()
    base = one.image.size_of_image - 64
    some = pieces(one, [base, base, base + 4, base + 16, base + 20, base + 20], [1] * 6)
    found = digests(Masked(one), some).tolist()
    assert found == [hashed(bytes(8) + some.tails[at : at + 24].tobytes()) for at in (0, 24)]


def test_a_field_that_reaches_into_a_piece() -> None:
    one = Dll(
        code=(function("f", b"\x11" * 32), function("g", b"\x11" * 32)),
        constants=(datum("d", ("pointer", "f")),),
    ).program()
    start = one.fragments.start.tolist()
    site = np.append([start[1] - 4], one.fields.site)
    form = np.append([FieldForm.ADDR64], one.fields.form).astype(np.uint8)
    fields = replace(
        one.fields,
        site=site,
        form=form,
        target=np.append([0], one.fields.target),
        origin=np.append([0], one.fields.origin),
    )
    other = replace(one, fields=fields)
    before, after = fragment_forms(one, Masked(one)), fragment_forms(other, Masked(other))
    assert before[0] == before[1]
    assert after.tolist() == form_list(other)
    assert after[0] != after[1]
