"""Walking many stretches in step, against one instruction after the other."""

import random
from pathlib import Path

import numpy as np
import pytest

from hpbuild.pe.reader import read_image
from hpbuild.prove.cursor import Cursor
from hpbuild.prove.heads import BRANCH, RELATIVE, Heads
from hpbuild.prove.lanes import Walk, walk
from hpbuild.prove.references import Bytes

RIP_RELATIVE = "48b8909090c705909090"
"""Read from its first byte it is MOV RAX with an immediate; from byte 5 on, repeated, it is a MOV to a
RIP-relative operand. The two ways of reading never meet."""


def _one_by_one(memory: Bytes, begin: int, end: int) -> tuple[list[int], int, list[int]]:
    """(RVAs of RIP-relative operands' instructions, instructions, first RVA that is none)."""
    cursor, places, count, at = Cursor(), [], 0, begin
    step = cursor.start(memory, begin, end)
    while step():
        count += 1
        if cursor.encoding().modrm and cursor.rip_relative():
            places.append(at)
        at = int(cursor.state[2])
    return places, count, [at] if at < end else []


def _walk(memory: Bytes, stretches: list[tuple[int, int]], wanted: int = RELATIVE) -> Walk:
    begin, end = (np.array(column, dtype=np.int64) for column in zip(*stretches, strict=True))
    return walk(Heads(memory), begin, end, wanted)


def _memory(code: bytes) -> Bytes:
    return np.frombuffer(code, dtype=np.uint8)


@pytest.mark.parametrize("begin", [0, 5])
def test_nothing_behind_a_cut_is_believed_unless_it_is_reached(begin: int) -> None:
    memory = _memory(bytes.fromhex(RIP_RELATIVE) * 4000)
    end = len(memory) - 5
    found = _walk(memory, [(begin, end - (0 if begin else 5))])
    places, count, bad = _one_by_one(memory, begin, end - (0 if begin else 5))
    assert (found.at.tolist(), found.instructions, [at for at, _ in found.bad]) == (places, count, bad)
    assert bool(places) == bool(begin)


def test_stops_at_the_first_byte_that_is_no_instruction() -> None:
    code = bytes.fromhex("488d0510000000") * 3000
    broken = code + b"\x06" + code
    found = _walk(_memory(broken), [(0, len(broken))])
    assert found.bad == ((len(code), 0),)
    assert (len(found.at), found.instructions) == (3000, 3000)
    assert int(found.at.max()) < len(code)


def test_an_instruction_that_leaves_its_stretch_is_none() -> None:
    memory = _memory(bytes.fromhex("488d0510000000" * 40))
    found = _walk(memory, [(at, at + 6 + (at > 0)) for at in range(0, 280, 7)])
    assert found.bad == ((0, 0),)
    assert found.instructions == 39


def test_refused_instruction_ends_its_stretch_or_not() -> None:
    memory = _memory(bytes.fromhex("90" + "67488d0500100000" + "488d0500100000"))
    begin, end = np.array([0]), np.array([len(memory)])
    found = walk(Heads(memory), begin, end, RELATIVE)
    assert (found.bad, found.at.tolist(), found.instructions) == (((1, 0),), [], 2)
    found = walk(Heads(memory), begin, end, RELATIVE, refuse=False)
    assert (found.bad, found.at.tolist(), found.instructions) == ((), [9], 3)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_bytes(seed: int) -> None:
    """Stretches of all lengths, many of them broken off at once."""
    chance = random.Random(seed)
    code = bytearray(chance.randbytes(1 << 16))
    good = bytes.fromhex("488d0510000000" + "4889c8" + "e800000000" + "c3")
    for _ in range(60):
        at = chance.randrange(len(code) - 16000)
        run = good * chance.randrange(1, 900)
        code[at : at + len(run)] = run
    del code[1 << 16 :]
    memory = _memory(bytes(code))
    borders = sorted(chance.sample(range(len(memory)), 300))
    stretches = list(zip(borders, [*borders[1:], len(memory)], strict=True))
    found = _walk(memory, stretches)
    wanted = [_one_by_one(memory, begin, end) for begin, end in stretches]
    refused = {row for _, row in found.bad}
    for row, (places, _, bad) in enumerate(wanted):
        mine = found.at[found.row == row].tolist()
        assert mine == places[: len(mine)]
        if row not in refused:
            assert (mine, bad) == (places, [])
    assert len(found.at) > 200


def test_real_code_as_one_stretch(binaries: Path) -> None:
    image = read_image(binaries / "fixed" / "codec.dll")
    text = next(section.range for section in image.sections if section.executable)
    memory = np.ascontiguousarray(image.memory)
    found = _walk(memory, [(text.start, text.end)])
    places, count, bad = _one_by_one(memory, text.start, text.end)
    assert (found.at.tolist(), found.instructions, [at for at, _ in found.bad]) == (places, count, bad)


def test_no_stretches() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    found = walk(Heads(_memory(b"\x90")), nothing, nothing, RELATIVE | BRANCH)
    assert (len(found.at), found.bad, found.instructions) == (0, (), 0)
