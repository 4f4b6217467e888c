"""The journal as its layout says, made by hand; what the agent really writes is read in tests/live."""

import struct
from itertools import pairwise

import pytest

from hpbuild.apply.live.journal import (
    BUCKETS,
    JOURNAL_SIZE,
    MAX_MODULES,
    MAX_PACKAGES,
    Stops,
    bucket_ns,
    parse_journal,
)
from hpbuild.codes.live import BAD_JOURNAL
from hpbuild.errors import HpbuildError


def journal(**numbers: int) -> bytearray:
    """A journal with one package of two modules; keyword arguments replace numbers of its header."""
    raw = bytearray(JOURNAL_SIZE)
    fields = {"version": 1, "header": 4096, "round": 4, "phase": 0, "packages": 1, "modules": 2} | numbers
    struct.pack_into("<8s6IQI", raw, 0, b"HPJOURNL", *fields.values(), 5, 1)
    struct.pack_into("<6Q", raw, 48, 3, 900, 1000, 1, 7, 7)
    raw[96:99] = b"P-2"
    raw[224:230] = b"hooked"
    raw[256:261] = b"a.dll"
    raw[384:386] = b"fn"
    raw[640:647] = b"because"
    struct.pack_into("<I", raw, 1152 + 4 * 20, 2)
    struct.pack_into("<I", raw, 1152 + 4 * 40, 1)
    struct.pack_into("<128s256s32s3I", raw, 4096, b"P-1", "Prod\u00fckt".encode(), bytes(range(32)), 9, 0, 2)
    for index, name in enumerate((b"a.dll", b"b.dll")):
        at = 12288 + 192 * index
        struct.pack_into("<2I128s4Q", raw, at, 0, 3 + index, name, 0x180000000, 0x180020000, 0x2000, 0x10000)
    return raw


def refused(raw: bytes) -> str:
    with pytest.raises(HpbuildError) as caught:
        parse_journal(raw)
    assert caught.value.code is BAD_JOURNAL
    return caught.value.finding.cause


def test_what_it_says() -> None:
    found = parse_journal(bytes(journal()))
    assert (found.settled, found.phase, found.commands, found.protocol, found.pending) == (
        True,
        "idle",
        5,
        1,
        "P-2",
    )
    (package,) = found.packages
    assert (package.id, package.product, package.sequence) == ("P-1", "Prod\u00fckt", 9)
    assert package.bundle_sha256 == bytes(range(32)).hex()
    assert [(item.name, item.redirections) for item in package.modules] == [("a.dll", 3), ("b.dll", 4)]
    first = package.modules[0]
    assert (first.base, first.block, first.block_size, first.delta) == (
        0x180000000,
        0x180020000,
        0x2000,
        0x10000,
    )
    assert (found.waits.count, found.waits.longest_ns, found.waits.sum_ns) == (3, 900, 1000)
    assert (found.looks.count, found.looks.longest_ns) == (1, 7)
    error = found.last_error
    assert (error.slug, error.module, error.function, error.detail) == ("hooked", "a.dll", "fn", "because")


def test_the_median() -> None:
    found = parse_journal(bytes(journal()))
    assert found.waits.median_ns == bucket_ns(20)
    assert found.looks.median_ns == 0
    two = Stops(count=2, longest_ns=9, sum_ns=9, lengths=(0, 1, 1, *(BUCKETS - 3) * (0,)))
    assert two.median_ns == 1


def test_the_buckets() -> None:
    """Every time has one counter, whose end is at most an eighth above it."""
    ends = [bucket_ns(index) for index in range(BUCKETS)]
    assert ends == sorted(set(ends))
    assert ends[:10] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert ends[16] == 17
    for before, end in pairwise(ends[8:]):
        assert end - before <= (before + 1) / 8
    assert ends[-1] > 60 * 60 * 10**9


def test_not_settled() -> None:
    assert parse_journal(bytes(journal(round=5))).settled is False
    writing = parse_journal(bytes(journal(phase=2)))
    assert (writing.settled, writing.phase) == (False, "writing")


def test_what_is_no_journal() -> None:
    assert "bytes" in refused(bytes(journal())[:-1])
    assert "begins with" in refused(bytes(JOURNAL_SIZE))
    assert "version 2" in refused(bytes(journal(version=2)))
    assert "phase 4" in refused(bytes(journal(phase=4)))
    assert "packages" in refused(bytes(journal(packages=MAX_PACKAGES + 1)))
    assert "modules" in refused(bytes(journal(modules=MAX_MODULES + 1)))
    assert "package 0 has modules 0 to 2 of 1" in refused(bytes(journal(modules=1)))
    stolen = journal()
    struct.pack_into("<I", stolen, 12288 + 192, 3)
    assert "module 1 belongs to package 3" in refused(bytes(stolen))


def test_text_that_is_none_is_shown_all_the_same() -> None:
    raw = journal()
    raw[4096:4098] = b"\xff\xfe"
    assert "\ufffd" in parse_journal(bytes(raw)).packages[0].id
