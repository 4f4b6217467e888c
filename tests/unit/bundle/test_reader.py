import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.bundle.reader import DEFAULT_LIMITS, Limits, read_bundle, read_bundle_file
from hpbuild.bundle.writer import write_bundle
from hpbuild.bundle.zip_profile import CENTRAL, END, LOCAL, Entry, crc32, directory, local_header
from hpbuild.codes import bundle as codes
from hpbuild.errors import Code, HpbuildError

MEMBERS = {"statement.json": b"[]", "manifest.json": b"{}", "images/a": b"abc"}
BUNDLE = write_bundle(MEMBERS)
FIRST_CENTRAL = BUNDLE.index(b"PK\x01\x02")
NAMES = st.sampled_from(["images/a", "images/b/c.dll", "attachments/a-b_c.0", "signatures.dsse.json"])


def refusal(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Code:
    with pytest.raises(HpbuildError) as caught:
        read_bundle(data, limits)
    return caught.value.code


def pack(members: list[tuple[str, bytes]]) -> bytes:
    """The profile's spelling of any list of members, legal or not."""
    data = b""
    entries = []
    for name, content in members:
        entries.append(Entry(name, crc32(content), len(content), len(data)))
        data += local_header(entries[-1]) + content
    return data + directory(tuple(entries), len(data))


@given(st.binary(max_size=50), st.binary(max_size=50), st.dictionaries(NAMES, st.binary(max_size=50)))
def test_what_is_written_is_read_back(statement: bytes, manifest: bytes, others: dict[str, bytes]) -> None:
    members = {"statement.json": statement, "manifest.json": manifest, **others}
    data = write_bundle(members)
    bundle = read_bundle(data)
    assert dict(bundle.members) == members
    assert write_bundle(bundle.members) == data == bundle.raw
    assert (bundle.statement, bundle.manifest, bundle.envelope) == (
        statement,
        manifest,
        others.get("signatures.dsse.json"),
    )


def test_every_flipped_bit_fails() -> None:
    for position in range(len(BUNDLE) * 8):
        damaged = bytearray(BUNDLE)
        damaged[position // 8] ^= 1 << position % 8
        refusal(bytes(damaged))


def test_every_proper_prefix_fails() -> None:
    for size in range(len(BUNDLE)):
        assert refusal(BUNDLE[:size]) in (codes.TRUNCATED, codes.NOT_A_BUNDLE), size


def test_every_removed_byte_fails() -> None:
    for position in range(len(BUNDLE)):
        refusal(BUNDLE[:position] + BUNDLE[position + 1 :])


@given(st.binary(max_size=200), st.integers(0, len(BUNDLE)), st.integers(0, len(BUNDLE)))
def test_only_hpbuild_errors_come_out(noise: bytes, start: int, end: int) -> None:
    data = BUNDLE[:start] + noise + BUNDLE[end:]
    try:
        bundle = read_bundle(data)
    except HpbuildError:
        return
    assert write_bundle(bundle.members) == data


@pytest.mark.parametrize("data", [b"", b"MZ", b"PK\x05\x06" + bytes(18), b"\x00" + BUNDLE])
def test_something_else_fails(data: bytes) -> None:
    assert refusal(data) is codes.NOT_A_BUNDLE


def edited(offset: int, layout: str, value: int) -> bytes:
    data = bytearray(BUNDLE)
    struct.pack_into(layout, data, offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("offset", "layout", "value", "cause"),
    [
        (4, "<H", 45, "version 45"),
        (6, "<H", 1, "encrypted"),
        (6, "<H", 8, "data descriptor"),
        (6, "<H", 0x800, "flags 0x0800"),
        (8, "<H", 8, "compression method 8"),
        (10, "<H", 1, "time"),
        (12, "<H", 0x22, "time"),
        (18, "<I", 3, "stored size 3 of 2 bytes"),
        (22, "<I", 0xFFFFFFFF, "zip64"),
        (28, "<H", 4, "extra"),
    ],
)
def test_header_outside_the_profile_fails(offset: int, layout: str, value: int, cause: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        read_bundle(edited(offset, layout, value))
    assert caught.value.code is codes.BAD_HEADER
    assert cause in caught.value.finding.cause


def test_gap_between_members_fails() -> None:
    second = BUNDLE.index(b"PK\x03\x04", 4)
    assert refusal(BUNDLE[:second] + b"\x00" * 40 + BUNDLE[second:]) is codes.BAD_HEADER


def test_changed_content_fails() -> None:
    assert refusal(BUNDLE.replace(b"abc", b"abd")) is codes.BAD_CRC


@pytest.mark.parametrize("offset", [4, 6, 8, 12, 14, 16, 20, 24, 30, 32, 34, 36, 38, 42])
def test_directory_that_differs_from_the_headers_fails(offset: int) -> None:
    data = bytearray(BUNDLE)
    data[FIRST_CENTRAL + offset] ^= 0x40
    assert refusal(bytes(data)) is codes.BAD_DIRECTORY


@pytest.mark.parametrize("offset", [4, 6, 8, 10, 12, 16, 20])
def test_wrong_end_record_fails(offset: int) -> None:
    data = bytearray(BUNDLE)
    data[len(data) - END.size + offset] ^= 1
    assert refusal(bytes(data)) is codes.BAD_DIRECTORY


def test_member_that_only_the_directory_lists_fails() -> None:
    entries = (Entry("statement.json", crc32(b""), 0, 0), Entry("manifest.json", crc32(b""), 0, 0))
    header = local_header(entries[0])
    assert refusal(header + directory(entries, len(header))) is codes.BAD_DIRECTORY


@pytest.mark.parametrize("extra", [b"\x00", BUNDLE])
def test_bytes_at_the_end_fail(extra: bytes) -> None:
    assert refusal(BUNDLE + extra) is codes.TRAILING


@pytest.mark.parametrize(
    "name", ["images/A", "images/../x", "/etc/passwd", "images\\a", "images/nul", "images/a\n", ""]
)
def test_bad_name_fails(name: str) -> None:
    assert refusal(pack([*MEMBERS.items(), (name, b"")])) is codes.BAD_NAME


def test_long_name_fails() -> None:
    assert refusal(pack([*MEMBERS.items(), ("images/" + "a" * 200, b"")])) is codes.BAD_NAME


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([*MEMBERS.items(), ("images/a", b"abd")], codes.DUPLICATE_MEMBER),
        ([("manifest.json", b""), ("statement.json", b"")], codes.BAD_ORDER),
        ([("statement.json", b"")], codes.MISSING_MEMBER),
        ([*MEMBERS.items(), ("readme", b"")], codes.UNKNOWN_MEMBER),
    ],
)
def test_members_out_of_place_fail(members: list[tuple[str, bytes]], code: Code) -> None:
    assert refusal(pack(members)) is code


@pytest.mark.parametrize(
    "limits",
    [
        replace(DEFAULT_LIMITS, file=len(BUNDLE) - 1),
        replace(DEFAULT_LIMITS, members=2),
        replace(DEFAULT_LIMITS, member=2),
        replace(DEFAULT_LIMITS, statement=1),
        replace(DEFAULT_LIMITS, manifest=1),
    ],
)
def test_over_a_limit_fails(limits: Limits) -> None:
    assert refusal(BUNDLE, limits) is codes.LIMIT


def test_envelope_has_its_own_limit() -> None:
    data = write_bundle({**MEMBERS, "signatures.dsse.json": b"12"})
    assert refusal(data, replace(DEFAULT_LIMITS, envelope=1)) is codes.LIMIT


def test_at_the_limits_is_read() -> None:
    limits = Limits(file=len(BUNDLE), members=3, member=3, statement=2, manifest=2, envelope=0)
    assert dict(read_bundle(BUNDLE, limits).members) == MEMBERS


def test_claimed_size_allocates_nothing() -> None:
    data = bytearray(BUNDLE)
    struct.pack_into("<2I", data, 18, 2**31, 2**31)
    assert refusal(bytes(data)) is codes.LIMIT
    assert refusal(bytes(data), replace(DEFAULT_LIMITS, statement=2**32)) is codes.TRUNCATED


def test_records_have_their_published_sizes() -> None:
    assert (LOCAL.size, CENTRAL.size, END.size) == (30, 46, 22)


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.hpb"
    path.write_bytes(BUNDLE)
    assert dict(read_bundle_file(path).members) == MEMBERS


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, codes.NO_SUCH_FILE),
        (lambda path: path.mkdir(), codes.NOT_A_FILE),
        (lambda path: path.write_bytes(BUNDLE + b"1"), codes.TOO_LARGE),
    ],
)
def test_unreadable_file_fails(tmp_path: Path, make: Callable[[Path], object], code: Code) -> None:
    path = tmp_path / "x.hpb"
    make(path)
    with pytest.raises(HpbuildError) as caught:
        read_bundle_file(path, replace(DEFAULT_LIMITS, file=len(BUNDLE)))
    assert caught.value.code is code
    assert caught.value.finding.place == str(path)
