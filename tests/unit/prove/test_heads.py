"""What is kept of capstone's answers, against capstone asked anew."""

import random
from collections.abc import Iterator

import numpy as np
import pytest

from hpbuild.prove.heads import BRANCH, INDEX, NOTHING, RELATIVE, SIZE, UNKNOWN, Heads
from hpbuild.prove.references import Numbers

PREFIXES = ("", "66", "f2", "f3", "67", "48", "4c", "6648", "f348", "2e", "6667", "6666662e")
MAPS = ("", "", "0f", "0f", "0f38", "0f3a", "0f0f")
VECTORS = ("c5f8", "c5fd", "c4e179", "c4e37d", "62f1fd48", "62f36d08", "8fe878")
LONGEST = 15
Fact = tuple[int, ...]


def _samples(seed: int, count: int, tails: int) -> bytes:
    """Heads of all kinds, each ``tails`` times in 32 bytes with another end."""
    chance = random.Random(seed)
    made = bytearray()
    for _ in range(count):
        if chance.random() < 0.6:
            head = bytes.fromhex(chance.choice(PREFIXES) + chance.choice(MAPS))
        else:
            head = bytes.fromhex(chance.choice(VECTORS))
        modrm = chance.choice((chance.randrange(256), 0x05, 0x84, 0x44, 0x80, 0xC1))
        head += bytes((chance.randrange(256), modrm, chance.choice((0x24, 0x25, chance.randrange(256)))))
        for _ in range(tails):
            end = chance.choice((chance.randbytes(32), bytes(32), b"\xff" * 32))
            made += (head + end)[:32]
    return bytes(made)


def _facts(heads: Heads, packed: int) -> Fact:
    if packed == NOTHING:
        return (NOTHING,)
    facts = heads.facts(np.array([packed], dtype=np.int32))
    return (packed & (2 * UNKNOWN - 1), *(int(facts[column][0]) for column in range(INDEX + 1)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_answer_is_that_for_the_bytes_that_are_there(seed: int) -> None:
    """Whatever was asked before with the same head and another displacement or immediate."""
    memory = np.frombuffer(_samples(seed, 400, 4), dtype=np.uint8)
    kept, asked = Heads(memory), Heads(memory)
    places = range(0, len(memory), 32)
    answers = [(kept.one(at, len(memory)), asked.ask(at, len(memory))) for at in places]
    for at, (mine, theirs) in zip(places, answers, strict=True):
        assert _facts(kept, mine) == _facts(asked, theirs), memory[at : at + LONGEST].tobytes().hex()
    assert sum(theirs != NOTHING for _, theirs in answers) > 300
    columns = kept.look(np.array(places, dtype=np.int64))
    for (_, theirs), mine in zip(answers, columns.tolist(), strict=True):
        if not mine & UNKNOWN:
            assert _facts(kept, mine) == _facts(asked, theirs)


def test_no_answer_is_longer_than_the_code() -> None:
    memory = np.frombuffer(bytes.fromhex("e800000000" + "90" * 8 + "e80000"), dtype=np.uint8)
    heads = Heads(memory)
    assert heads.one(0, len(memory)) & SIZE == 5
    assert heads.one(13, len(memory)) == NOTHING
    assert heads.one(0, 4) == NOTHING
    assert heads.one(0, 5) & BRANCH


def test_last_byte_of_the_memory() -> None:
    memory = np.frombuffer(bytes.fromhex("9090" + "c3"), dtype=np.uint8)
    heads = Heads(memory)
    assert [heads.one(at, 3) & SIZE for at in (2, 1, 0)] == [1, 1, 1]
    assert (heads.look(np.array([0, 1, 2], dtype=np.int64)) & SIZE).tolist() == [1, 1, 1]


def test_opcode_behind_the_displacement() -> None:
    """3DNow! has its opcode last: one that exists says nothing of one that does not."""
    memory = np.frombuffer(bytes.fromhex("0f0f40109e" + "0f0f401001"), dtype=np.uint8)
    for order in ((0, 5), (5, 0)):
        heads = Heads(memory)
        found = {at: heads.one(at, at + 5) for at in order}
        assert (found[0] & SIZE, found[5]) == (5, NOTHING)


def test_full_tree_asks_every_time() -> None:
    memory = np.frombuffer(bytes.fromhex("488d0510000000" + "488d0520000000"), dtype=np.uint8)
    small, large = Heads(memory, room=0), Heads(memory)
    for heads, kept in ((small, False), (large, True)):
        assert all(heads.one(at, 14) & (RELATIVE | SIZE) == RELATIVE | 7 for at in (0, 7))
        assert bool(heads.look(np.array([7], dtype=np.int64))[0] & UNKNOWN) != kept


def _overlapping() -> Iterator[Numbers]:
    for order in (range(64), range(63, -1, -1)):
        yield np.array(order, dtype=np.int64)


def test_order_of_the_questions_does_not_matter() -> None:
    memory = np.frombuffer(bytes.fromhex("6666662e0f1f840000000000f30f1efa480fb6c0" * 4), dtype=np.uint8)
    seen = []
    for order in _overlapping():
        heads = Heads(memory)
        answers = {at: _facts(heads, heads.one(at, len(memory))) for at in order.tolist()}
        seen.append(answers)
    assert seen[0] == seen[1]
