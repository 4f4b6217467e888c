"""Runs of the masked image are those of the whole of it, made at once."""

import numpy as np
import pytest

from hpbuild.code.model import U8, FieldForm, Program
from hpbuild.match.masked import Masked
from hpbuild.match.sides import prepare
from tests.assembled import RET, Dll, datum, function
from tests.comparing import PAIRS, example, program


def masked_memory(program: Program) -> U8:
    """All of the image at once."""
    memory, references, fields = program.image.memory.copy(), program.references, program.fields
    for site, width in zip(references.site.tolist(), references.width.tolist(), strict=True):
        memory[site : site + width] = 0
    for site, form in zip(fields.site.tolist(), fields.form.tolist(), strict=True):
        memory[site : site + (8 if form == FieldForm.ADDR64 else 4)] = 0
    return memory


@pytest.mark.parametrize("pair", PAIRS)
def test_every_run_is_that_of_the_whole(pair: str) -> None:
    one = program(example(pair, "fixed"), "none")
    whole, masked = masked_memory(one), Masked(one)
    assert masked[:].tobytes() == whole.tobytes()
    for start in range(0, len(whole), 509):
        for size in (0, 1, 3, 8, 97, 1024):
            assert masked[start : start + size].tobytes() == whole[start : start + size].tobytes()


def test_runs_that_begin_and_end_inside_of_fields() -> None:
    side = Dll(
        code=(function("f", ("lea", "table"), RET),), constants=(datum("table", ("pointer", "f"), b"\7" * 8),)
    ).side()
    whole = masked_memory(side.program)
    sites = [*side.program.references.site.tolist(), *side.program.fields.site.tolist()]
    assert len(sites) > 1
    for site in sites:
        for start in range(site - 9, site + 9):
            for size in range(12):
                assert side.masked[start : start + size].tobytes() == whole[start : start + size].tobytes()


def test_beyond_the_end_there_is_nothing() -> None:
    side = Dll(code=(function("f", RET),)).side()
    size = side.program.image.size_of_image
    assert len(side.masked[size - 4 : size + 4]) == 4
    assert len(side.masked[size : size + 4]) == 0


def test_further_fields() -> None:
    side = prepare(program(example("codec", "fixed"), "none"))
    start = int(side.program.fragments.start[0])
    plain, more = side.masked[start : start + 32], Masked(side.program, (start + 20, start - 2))
    wanted = plain.copy()
    wanted[:2] = wanted[20:24] = 0
    assert more[start : start + 32].tolist() == wanted.tolist()
    assert more[start + 22 : start + 26].tolist() == wanted[22:26].tolist()
    assert np.array_equal(side.masked[start : start + 32], plain)
