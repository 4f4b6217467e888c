import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpbuild.codes import pe_identity as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe import hotpatch_chunks, hotpatch_format, hotpatch_table
from hpbuild.pe.hotpatch_chunks import HotPatchChunk, HotPatchRecord
from hpbuild.pe.hotpatch_table import HotPatchHashes, read_hotpatch_table
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.values import Digest, Interval, Rva

LOAD_CONFIG = 10
TABLE_AT = 0x140
CODE = 0x1000
SHA256, SHA1 = bytes(range(32)), bytes(range(100, 120))
FUNCTION_CHUNK = struct.pack("<4I", 0x0001C001, 0x2340, CODE + 0x20, 0x48C88948)
INVERSE = b"".join(
    struct.pack("<4I", 0x80000001 | kind, CODE + 0x40 + 8 * i, 0x5000 + i, 0)
    for i, kind in enumerate((0x2C000, 0x3C000, 0x44000, 0x5C000, 0x64000, 0x78000, 0x1C000))
)
END = bytes(4)


def blob(
    chunks: bytes = FUNCTION_CHUNK + INVERSE + END,
    *,
    version: int = 3,
    header: dict[int, int] | None = None,
    base: dict[int, int] | None = None,
    hashes: bytes = SHA256 + SHA1,
) -> bytes:
    """A table with one base image. ``header`` and ``base`` give other values for their 32-bit fields."""
    size = {1: 20, 2: 24, 3: 28, 4: 36}.get(version, 28)
    base_at = size + 4
    hashes_at = base_at + 32
    chunks_at = hashes_at + len(hashes)
    info = [version, chunks_at + len(chunks), 7, size, 1, 0, 1, 3, 2][: size // 4]
    row = [7, 0x12, 0x11223344, 0x55667788, hashes_at if hashes else 0, len(hashes), chunks_at, 0]
    for values, changes in ((info, header or {}), (row, base or {})):
        for index, value in changes.items():
            values[index] = value
    pieces = (
        struct.pack(f"<{len(info)}I", *info),
        struct.pack("<I", base_at),
        struct.pack("<8I", *row),
        hashes,
    )
    return b"".join(pieces) + chunks


def put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.fixture(scope="module")
def module(binaries: Path) -> Callable[..., Image]:
    """A real module with one section more, which holds a load configuration and a hotpatch table."""
    plain = (binaries / "baseline" / "codec.dll").read_bytes()
    image = read_image(binaries / "baseline" / "codec.dll")

    def make(
        table: bytes, *, rva: int | None = None, directory_size: int = 0x140, own_size: int = 0x140
    ) -> Image:
        start = image.size_of_image
        config = bytearray(TABLE_AT)
        config[:4] = struct.pack("<I", own_size)
        config[0xF0:0xF4] = struct.pack("<I", start + TABLE_AT if rva is None else rva)
        content = bytes(config) + table
        content += bytes(-len(content) % image.file_alignment)
        optional = int.from_bytes(plain[0x3C:0x40], "little") + 24
        rows = optional + int.from_bytes(plain[optional - 4 : optional - 2], "little")
        count = len(image.sections)
        name = b".hotp".ljust(8, b"\0")
        row = name + struct.pack("<4I12xI", len(content), start, len(content), len(plain), 0x40000040)
        data = put(plain, rows + 40 * count, row)
        data = put(data, optional - 18, struct.pack("<H", count + 1))
        data = put(data, optional + 56, struct.pack("<I", start + -(-len(content) // 0x1000) * 0x1000))
        data = put(data, optional + 112 + 8 * LOAD_CONFIG, struct.pack("<II", start, directory_size))
        return parse_image(data + content, "patch.dll")

    return make


def test_none_without_a_table(binaries: Path, module: Callable[..., Image]) -> None:
    assert read_hotpatch_table(read_image(binaries / "baseline" / "codec.dll")) is None
    assert read_hotpatch_table(module(blob(), rva=0)) is None
    # The field lies beyond what the load configuration says it has.
    assert read_hotpatch_table(module(blob(), own_size=0xF0, directory_size=0xF0)) is None


def test_everything_is_read(module: Callable[..., Image]) -> None:
    image = module(blob())
    table = read_hotpatch_table(image)
    assert table is not None
    assert image.read(table.range.start, len(table.range)) == blob()
    assert (table.version, table.sequence, table.extra_dwords) == (3, 7, 1)
    assert (table.minimum_sequence, table.flags, table.buffer_offset) == (0, 0, 0)
    (base,) = table.bases
    assert base.sequence == 7
    assert base.flag_names == ("CAN_ROLL_BACK", "MACHINE_AMD64")
    assert (base.original_time_date_stamp, base.original_checksum) == (0x11223344, 0x55667788)
    assert base.hashes == HotPatchHashes(Digest(SHA256), SHA1)
    first, *others = base.chunks
    assert first == HotPatchChunk(
        kind=hotpatch_format.KIND_FUNCTION,
        name="FUNCTION",
        inverse=False,
        records=(HotPatchRecord(Rva(0x2340), Rva(CODE + 0x20), (0x48C88948,)),),
    )
    names = ["ABSOLUTE", "REL32", "CALL_TARGET", "INDIRECT", "NO_CALL_TARGET", "DYNAMIC_VALUE", "FUNCTION"]
    assert [(chunk.name, chunk.inverse) for chunk in others] == [(name, True) for name in names]


@pytest.mark.parametrize("version", [1, 2])
def test_records_of_old_versions_have_two_values(module: Callable[..., Image], version: int) -> None:
    chunks = struct.pack("<5I", 0x0001C002, 0x2340, CODE, 0x2360, CODE + 0x10) + END
    table = read_hotpatch_table(module(blob(chunks, version=version)))
    assert table is not None
    assert [r.extra for r in table.bases[0].chunks[0].records] == [(), ()]
    assert table.extra_dwords == 0


def test_version_4(module: Callable[..., Image]) -> None:
    table = read_hotpatch_table(module(blob(version=4)))
    assert table is not None
    assert (table.minimum_sequence, table.flags) == (3, 2)


def test_no_hashes_and_no_records(module: Callable[..., Image]) -> None:
    table = read_hotpatch_table(module(blob(b"", hashes=b"", base={6: 0})))
    assert table is not None
    assert table.bases[0].hashes is None
    assert table.bases[0].chunks == ()


def test_bases_may_share_a_patch_table(module: Callable[..., Image]) -> None:
    chunks_at = 28 + 8 + 64
    row = struct.pack("<8I", 7, 0x10, 1, 2, 0, 0, chunks_at, 0)
    info = struct.pack("<7I", 3, chunks_at + len(FUNCTION_CHUNK + END), 7, 28, 2, 0, 1)
    table = read_hotpatch_table(module(info + struct.pack("<II", 36, 68) + row + row + FUNCTION_CHUNK + END))
    assert table is not None
    assert table.bases[0].chunks == table.bases[1].chunks
    assert len(table.bases[0].chunks) == 1


def refused(image: Image) -> tuple[Code, str]:
    with pytest.raises(HpbuildError) as caught:
        read_hotpatch_table(image)
    return caught.value.code, caught.value.finding.cause


def test_location_fail(module: Callable[..., Image]) -> None:
    code, cause = refused(module(blob(), directory_size=0x138))
    assert code is codes.HOT_PATCH_LOCATION
    assert "directory" in cause
    for rva in (0x7FFFFFFF, 0xFFFFFFFF):
        code, cause = refused(module(blob(), rva=rva))
        assert code is codes.HOT_PATCH_LOCATION
        assert "leaves the image" in cause


@pytest.mark.parametrize(
    ("table", "cause"),
    [
        (blob(header={0: 0}), "version 0"),
        (blob(header={0: 5}), "version 5"),
        (blob(header={1: 27}), "header alone"),
        (blob(header={1: 0x7FFFFFFF}), "leave the image"),
        (blob(header={2: 0}), "sequence number 0"),
        (blob(version=4, header={7: 8}), "minimum sequence"),
        (blob(version=4, header={8: 4}), "unknown flags"),
        (blob(header={6: 0x10000}), "extra values"),
    ],
)
def test_header_fail(module: Callable[..., Image], table: bytes, cause: str) -> None:
    code, said = refused(module(table))
    assert code is codes.HOT_PATCH_HEADER
    assert cause in said


@pytest.mark.parametrize(
    ("table", "cause"),
    [
        (blob(header={4: 0}), "no base image"),
        (blob(header={4: 200}), "leave the table"),
        (blob(header={3: 0x10000}), "leave the table"),
        (blob(header={3: 24}), "leave the table"),
        (blob(header={3: 24, 6: 32}, base={6: 0}), "overlap"),
        (blob(base={1: 0x110}), "unknown flags"),
        (blob(base={1: 0x2}), "AMD64"),
        (blob(base={1: 0x14}), "AMD64"),
        (blob(base={4: 0}), "overlap"),
        (blob(base={4: 0x8000}), "leave the table"),
        (blob(base={5: 20}), "code integrity information of 20"),
        (blob(base={4: 40}), "overlap"),
    ],
)
def test_base_fail(module: Callable[..., Image], table: bytes, cause: str) -> None:
    code, said = refused(module(table))
    assert code is codes.HOT_PATCH_BASE
    assert cause in said


def test_base_listed_twice_fail(module: Callable[..., Image]) -> None:
    table = blob()
    table = put(table, 12, struct.pack("<II", len(table), 2)) + struct.pack("<II", 32, 32)
    code, said = refused(module(put(table, 4, struct.pack("<I", len(table)))))
    assert code is codes.HOT_PATCH_BASE
    assert "twice" in said


@pytest.mark.parametrize(
    ("chunks", "cause"),
    [
        (FUNCTION_CHUNK, "zero chunk"),
        (b"", "zero chunk"),
        (struct.pack("<4I", 0x4001C001, 0x2340, CODE, 0) + END, "OBLIGATORY"),
        (struct.pack("<4I", 0x2001C001, 0x2340, CODE, 0) + END, "reserved bits 0x20000000"),
        (struct.pack("<4I", 0x0011C001, 0x2340, CODE, 0) + END, "reserved bits 0x100000"),
        (struct.pack("<4I", 0x0001D001, 0x2340, CODE, 0) + END, "reserved bits 0x1000"),
        (struct.pack("<4I", 0x0001E001, 0x2340, CODE, 0) + END, "reserved bits 0x2000"),
        (struct.pack("<4I", 0x00014001, 0x2340, CODE, 0) + END, "unknown kind"),
        (struct.pack("<4I", 0x00000001, 0x2340, CODE, 0) + END, "unknown kind"),
        (struct.pack("<4I", 0x0002C001, 0x2340, CODE, 0) + END, "base image"),
        (struct.pack("<I", 0x0001C000) + END, "no records"),
        (struct.pack("<4I", 0x0001CFFF, 0x2340, CODE, 0) + END, "4095 records"),
    ],
)
def test_chunk_fail(module: Callable[..., Image], chunks: bytes, cause: str) -> None:
    code, said = refused(module(blob(chunks)))
    assert code is codes.HOT_PATCH_CHUNK
    assert cause in said


@pytest.mark.parametrize(
    ("chunk", "cause"),
    [
        ((0x0001C001, 0xF, CODE), "below 0x10"),
        ((0x0001C001, 0x2340, 0x7FFFFFFF), "code section"),
        ((0x0001C001, 0x2340, 0x10), "code section"),
        ((0x8002C001, 0x7FFFFFFF, 0x5000), "not inside a section"),
        ((0x8002C001, 0x10, 0x5000), "not inside a section"),
        ((0x8001C001, CODE + 5, 0x5000), "not inside a section"),
    ],
)
def test_record_fail(module: Callable[..., Image], chunk: tuple[int, int, int], cause: str) -> None:
    code, said = refused(module(blob(struct.pack("<4I", *chunk, 0) + END)))
    assert code is codes.HOT_PATCH_RECORD
    assert cause in said


def test_record_over_the_end_of_its_section_fail(module: Callable[..., Image]) -> None:
    image = module(blob())
    end = image.sections[0].range.end
    for kind, size in ((0x8002C001, 8), (0x8003C001, 4), (0x8005C001, 8)):
        inside = module(blob(struct.pack("<4I", kind, end - size, 0x5000, 0) + END))
        assert read_hotpatch_table(inside) is not None
        code, _ = refused(module(blob(struct.pack("<4I", kind, end - size + 1, 0x5000, 0) + END)))
        assert code is codes.HOT_PATCH_RECORD


def test_limits_fail(module: Callable[..., Image], monkeypatch: pytest.MonkeyPatch) -> None:
    code, cause = refused(module(blob(header={4: 257})))
    assert code is codes.HOT_PATCH_LIMIT
    assert "base images" in cause
    monkeypatch.setattr(hotpatch_table, "MAX_RECORDS", 7)
    code, cause = refused(module(blob()))
    assert code is codes.HOT_PATCH_LIMIT
    assert "records" in cause
    assert hotpatch_chunks.MAX_RECORDS == 1 << 19


@settings(max_examples=200, deadline=None)
@given(choice=st.data())
def test_any_table_is_refused_or_read(module: Callable[..., Image], choice: st.DataObject) -> None:
    image = module(blob())
    start = image.sections[-1].rva
    memory = image.memory.copy()
    for _ in range(choice.draw(st.integers(1, 6))):
        at = choice.draw(st.integers(start + TABLE_AT, start + TABLE_AT + len(blob()) - 1))
        memory[at] = choice.draw(st.integers(0, 255))
    directories = list(image.directories)
    directories[LOAD_CONFIG] = Interval(start, start + 0x140)
    try:
        table = read_hotpatch_table(replace(image, memory=memory, directories=tuple(directories)))
    except HpbuildError:
        return
    assert table is not None
    assert table.range.end <= image.size_of_image
