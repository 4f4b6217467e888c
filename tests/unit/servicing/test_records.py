from datetime import UTC, datetime

import pytest

from hpbuild.bundle.statement import Reverts
from hpbuild.codes import servicing as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.servicing.records import MAX_SIZE, Record, decode, encode
from hpbuild.values import Digest
from hpbuild.verify.line import Accepted

KEY = bytes(range(32))
REFUSALS = {codes.STATE_FORMAT, codes.STATE_TRUNCATED, codes.STATE_ALTERED}


def record(name: str, sequence: int, reverts: Reverts | None = None) -> Record:
    package = Accepted(
        id=name, sequence=sequence, statement=Digest.of(name.encode()).hex, supersedes=("KB-0",),
        reverts=reverts, time=datetime(2026, 1, 31, 12, tzinfo=UTC),
    )  # fmt: skip
    return Record("Codec", package)


BACK = Reverts(id="KB-3", sequence=3, statement=Digest.of(b"KB-3"), reason="it crashes")
RECORDS = (record("KB-1", 1), record("KB-3", 3), record("KB-4", 4, BACK))


def refusal(data: bytes, key: bytes = KEY) -> Code:
    with pytest.raises(HpbuildError) as caught:
        decode(data, key, "state")
    return caught.value.code


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_what_is_written_is_read_back(count: int) -> None:
    assert decode(encode(RECORDS[:count], KEY), KEY, "state") == RECORDS[:count]


def test_every_single_bit_counts() -> None:
    data = encode(RECORDS, KEY)
    assert decode(data, KEY, "state")
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert refusal(bytes(changed)) in REFUSALS, bit


def test_every_length_counts() -> None:
    data = encode(RECORDS, KEY)
    for size in range(len(data)):
        assert refusal(data[:size]) in {codes.STATE_FORMAT, codes.STATE_TRUNCATED}, size
    assert refusal(data + b"\n") in REFUSALS
    assert refusal(data + data) in REFUSALS


def test_another_key_has_not_sealed_it() -> None:
    assert refusal(encode(RECORDS, bytes(32))) is codes.STATE_ALTERED


def test_records_are_neither_dropped_nor_swapped() -> None:
    head, *body, seal, _ = encode(RECORDS, KEY).split(b"\n")
    for lines in ([body[0], body[2]], [body[1], body[0], body[2]], [*body, body[2]], []):
        assert refusal(b"\n".join([head, *lines, seal, b""])) is codes.STATE_ALTERED
    assert refusal(b"\n".join([head, *body, b""])) is codes.STATE_TRUNCATED


def test_records_that_do_not_follow_fail_whoever_sealed_them() -> None:
    first, second = encode(RECORDS[:1], KEY).split(b"\n"), encode(RECORDS[1:2], KEY).split(b"\n")
    # The second file's only record follows from the format line, not from the first file's record.
    assert first[0] == second[0]
    stranger = encode((RECORDS[1],), KEY)
    assert decode(stranger, KEY, "state") == RECORDS[1:2]
    assert refusal(b"\n".join([first[0], first[1], *second[1:]])) is codes.STATE_ALTERED


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", b"PK\x03\x04", b'{"format":"urn:hpbuild:state:2"}\n'])
def test_another_file_is_no_state_file(data: bytes) -> None:
    assert refusal(data) is codes.STATE_FORMAT


def test_it_is_bounded() -> None:
    assert refusal(bytes(MAX_SIZE + 1)) is codes.STATE_LIMIT
    with pytest.raises(HpbuildError) as caught:
        encode(RECORDS[:1] * 20_001, KEY)
    assert caught.value.code is codes.STATE_LIMIT
