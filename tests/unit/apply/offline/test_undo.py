"""The undo record: what it gives back, and what it refuses."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.apply.offline import undo
from hpbuild.apply.offline.undo import Part
from hpbuild.codes import apply_offline as codes
from hpbuild.errors import HpbuildError
from hpbuild.values import Digest, Interval

PATCH = Digest.of(b"patch image")
PATCHED = b"headers of the patched file, then a body with a jump in it, then new sections"
ORIGINAL = b"old headers then a body with an entry in it"
LIMIT = 1 << 20


def parts() -> list[Part]:
    body = PATCHED.index(b"then a body")
    end = PATCHED.index(b" in it") + 6
    jump = PATCHED.index(b"jump")
    return [
        Part(None, b"old headers "),
        Part(Interval(body, jump - 2)),
        Part(None, b"an entry"),
        Part(Interval(jump + 4, end)),
    ]


def record() -> bytes:
    return undo.encode(ORIGINAL, PATCH, parts())


def test_what_it_gives_back() -> None:
    data = record()
    read = undo.decode(data + bytes(100), "x.dll", LIMIT)
    assert (read.size, read.sha256, read.patch_sha256) == (len(ORIGINAL), Digest.of(ORIGINAL), PATCH)
    assert undo.restore(read, PATCHED, "x.dll") == ORIGINAL
    assert undo.size_of(parts()) == len(data)


def refused(data: bytes, patched: bytes = PATCHED, limit: int = LIMIT) -> HpbuildError:
    with pytest.raises(HpbuildError) as caught:
        undo.restore(undo.decode(data, "x.dll", limit), patched, "x.dll")
    return caught.value


@pytest.mark.parametrize("size", [0, 7, 87])
def test_no_whole_header(size: int) -> None:
    assert refused(record()[:size]).code is codes.UNDO_MALFORMED


def test_another_magic() -> None:
    assert refused(b"HPUNDO2" + record()[7:]).code is codes.UNDO_MALFORMED


def test_parts_that_are_cut_off() -> None:
    assert refused(record()[:-1]).code is codes.UNDO_MALFORMED
    inner = len(record()) - 88
    for length in (inner - 3, 9, 16):
        data = record()
        assert refused(data[:80] + struct.pack("<Q", length) + data[88:]).code is codes.UNDO_MALFORMED


def test_parts_of_another_size() -> None:
    data = record()
    error = refused(data[:8] + struct.pack("<Q", len(ORIGINAL) + 1) + data[16:])
    assert error.code is codes.UNDO_MALFORMED
    assert "its parts have 43 bytes, the original 44" in str(error)


def test_a_part_outside_the_patched_file() -> None:
    assert refused(record(), PATCHED[:50]).code is codes.UNDO_MALFORMED
    far = undo.encode(ORIGINAL, PATCH, [Part(Interval(2**64 - 2, 2**64 - 2 + len(ORIGINAL)))])
    assert refused(far).code is codes.UNDO_MALFORMED


def test_an_original_above_the_limit() -> None:
    assert undo.decode(record(), "x.dll", len(ORIGINAL)).size == len(ORIGINAL)
    assert refused(record(), limit=len(ORIGINAL) - 1).code is codes.UNDO_TOO_LARGE
    huge = record()
    assert refused(huge[:8] + struct.pack("<Q", 2**63) + huge[16:]).code is codes.UNDO_TOO_LARGE


def test_too_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "MAX_PARTS", 3)
    assert refused(record()).code is codes.UNDO_TOO_LARGE


@pytest.mark.parametrize("offset", [16, 120, -20])
def test_any_other_original(offset: int) -> None:
    """A changed digest, or a changed byte of what the record holds itself."""
    data = bytearray(undo.encode(ORIGINAL, PATCH, [Part(None, ORIGINAL)]))
    data[offset] ^= 1
    assert refused(bytes(data)).code is codes.UNDO_RESULT_DIFFERS


def test_a_changed_byte_of_the_patched_file() -> None:
    assert refused(record(), PATCHED.replace(b"body", b"Body")).code is codes.UNDO_RESULT_DIFFERS


@given(st.binary(max_size=200), st.integers(0, 160))
def test_hostile_records_are_refused(noise: bytes, at: int) -> None:
    data = record()
    changed = data[:at] + noise + data[at + len(noise) :]
    if changed[: len(data)] == data:
        return
    try:
        read = undo.decode(changed, "x.dll", LIMIT)
        assert undo.restore(read, PATCHED, "x.dll") == ORIGINAL
    except HpbuildError as error:
        assert error.code in (codes.UNDO_MALFORMED, codes.UNDO_TOO_LARGE, codes.UNDO_RESULT_DIFFERS)  # noqa: PT017


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_changed_runs(old: bytes, new: bytes) -> None:
    size = min(len(old), len(new))
    runs = undo.changed_runs(old[:size], new[:size])
    changed = {at for run in runs for at in range(run.start, run.end)}
    assert changed == {at for at in range(size) if old[at] != new[at]}
    assert all(one.end < other.start for one, other in pairwise(runs))
