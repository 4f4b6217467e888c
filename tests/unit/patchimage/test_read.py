"""The strict reader: accepts what the linker writes, refuses every other shape with its own code."""

import hashlib
import random
import struct
from collections.abc import Callable

import pytest

from hpbuild.codes import patchimage as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.patchimage.link import LinkedImage, link
from hpbuild.patchimage.read import read_patch_image
from hpbuild.pe.image import Image
from hpbuild.plan.model import Chunk, ChunkKind, Plan

PE = 0x80
STAMP, CHECKSUM = PE + 8, PE + 24 + 64
DIRECTORIES = PE + 24 + 112
SECTIONS = PE + 24 + 240

Change = Callable[[bytearray], object]


def _sealed(data: bytearray) -> bytes:
    """With the time stamp and the checksum that belong to the changed bytes."""
    data[STAMP : STAMP + 4] = data[CHECKSUM : CHECKSUM + 4] = bytes(4)
    data[STAMP : STAMP + 4] = hashlib.sha256(data).digest()[:4]
    padded = bytes(data) + bytes(len(data) % 2)
    total = sum(struct.unpack(f"<{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into("<I", data, CHECKSUM, total + len(data))
    return bytes(data)


def _row(name: str, data: bytes | bytearray) -> int:
    """Offset of the section header ``name``."""
    return bytes(data).index(name.encode().ljust(8, b"\0"), SECTIONS)


def _raw(name: str, data: bytes | bytearray) -> int:
    """File offset of the section ``name``."""
    (offset,) = struct.unpack_from("<I", data, _row(name, data) + 20)
    return int(offset)


def _put(offset: int, layout: str, *values: int) -> Change:
    return lambda data: struct.pack_into("<" + layout, data, offset, *values)


def _in(name: str, offset: int, layout: str, *values: int) -> Change:
    """Change the content of a section."""
    return lambda data: struct.pack_into("<" + layout, data, _raw(name, data) + offset, *values)


def _head(name: str, offset: int, layout: str, *values: int) -> Change:
    """Change the header of a section."""
    return lambda data: struct.pack_into("<" + layout, data, _row(name, data) + offset, *values)


def test_accepts_what_the_linker_writes(sample: LinkedImage, baseline: Image) -> None:
    patch = read_patch_image(sample.data, "sample", baseline.size_of_image)
    assert patch.range == sample.range
    assert patch.base_rva == sample.range.start
    assert len(patch.memory) == len(sample.range)
    assert patch.memory == patch.image.read(sample.range.start, len(sample.range))
    assert patch.address_sites == sample.fixups.addr64
    assert patch.section(".idata") is None
    assert _sealed(bytearray(sample.data)) == sample.data


def test_native_table(sample: LinkedImage, sample_plan: Plan, baseline: Image) -> None:
    table = read_patch_image(sample.data, "sample").hotpatch
    (base,) = table.bases
    assert (table.version, table.sequence, base.sequence) == (3, 7, 7)
    assert base.original_time_date_stamp == baseline.time_date_stamp
    assert base.original_checksum == baseline.checksum
    assert base.flag_names == ("CAN_ROLL_BACK", "MACHINE_AMD64")
    assert base.hashes is not None
    assert base.hashes.sha256.raw == hashlib.sha256(baseline.data.whole()).digest()
    assert base.hashes.sha1 == hashlib.sha1(baseline.data.whole()).digest()
    records = {
        (chunk.name, chunk.inverse): [
            (record.written, record.other, record.extra[0]) for record in chunk.records
        ]
        for chunk in base.chunks
    }
    code, second, pointers, entries, *_ = sample.chunk_rvas
    near = next(section for section in baseline.sections if section.executable).rva + 0x40
    old = [baseline.u32(site.entry) for site in sample_plan.redirections]
    first, other = (site.entry for site in sample_plan.redirections)
    assert records == {
        ("FUNCTION", False): [(first, code, old[0]), (other, second, old[1])],
        ("REL32", True): [
            (code + 1, near, 0),
            (code + 14, baseline.sections[-1].rva, 1),
            (entries + 4, near, (entries - (entries + 8)) % 2**32),
        ],
        ("ABSOLUTE", True): [(pointers, near, 0)],
        ("CALL_TARGET", True): [(code, 0, 0), (second, 0, 0)],
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_put(PE + 22, "H", 0x2002), codes.PATCH_HEADERS),  # characteristics
        (_put(PE + 24 + 2, "B", 14), codes.PATCH_HEADERS),  # linker version
        (_put(PE + 24 + 4, "I", 0x400), codes.PATCH_HEADERS),  # size of code
        (_put(PE + 24 + 70, "H", 0x60), codes.PATCH_HEADERS),  # no NX
        (_put(PE + 24 + 72, "Q", 0x1000), codes.PATCH_HEADERS),  # stack
        (_put(PE + 24 + 104, "I", 1), codes.PATCH_HEADERS),  # loader flags
        (lambda data: _put(PE + 24 + 16, "I", _first_rva(data))(data), codes.PATCH_HEADERS),  # entry point
        (_put(PE + 12, "I", 1), codes.PATCH_HEADERS),  # symbol table
        (_head(".xdata", 8, "I", 0), codes.PATCH_HEADERS),  # virtual size left to the raw size
        (_head(".text", 36, "I", 0xE0000020), codes.PATCH_SECTIONS),  # writable code
        (_head(".rdata", 36, "I", 0xC0000040), codes.PATCH_SECTIONS),
        (_head(".rdata", 0, "8s", b".rsrc"), codes.PATCH_SECTIONS),
        (_head(".rdata", 0, "8s", b".xdata"), codes.PATCH_SECTIONS),
        (_head(".rdata", 0, "8s", b".text"), codes.PATCH_SECTIONS),
        (_put(PE + 24 + 56, "I", 0x100000), codes.PATCH_SECTIONS),  # SizeOfImage
        (lambda data: _put(_row(".text", data) + 12, "I", 0x1000)(data), codes.PATCH_SECTIONS),
        (lambda data: _put(_row(".text", data) + 8, "I", 0x10)(data), codes.PATCH_HIDDEN_BYTES),
        (_in(".text", 0x1F0, "B", 0x90), codes.PATCH_HIDDEN_BYTES),
        (_in(".xdata", 8, "B", 1), codes.PATCH_HIDDEN_BYTES),
        (_put(0x20, "B", 1), codes.PATCH_HIDDEN_BYTES),  # MS-DOS header
        (_put(0x60, "B", 1), codes.PATCH_HIDDEN_BYTES),  # MS-DOS stub
        (_put(SECTIONS + 8 * 40, "B", 1), codes.PATCH_HIDDEN_BYTES),  # after the section table
        (_head(".text", 24, "I", 1), codes.PATCH_HIDDEN_BYTES),  # COFF relocations
        (lambda data: data.extend(bytes(512)), codes.PATCH_HIDDEN_BYTES),
        (lambda data: data.append(0), codes.PATCH_HIDDEN_BYTES),
    ],
)
def test_refuses_other_shapes(change: Change, code: Code, sample: LinkedImage) -> None:
    data = bytearray(sample.data)
    change(data)
    with pytest.raises(HpbuildError) as caught:
        read_patch_image(_sealed(data), "sample")
    assert caught.value.code is code


def _first_rva(data: bytearray) -> int:
    return int(struct.unpack_from("<I", data, SECTIONS + 12)[0])


@pytest.mark.parametrize("number", [0, 1, 2, 4, 6, 7, 8, 9, 11, 12, 13, 15])
def test_refuses_every_other_directory(number: int, sample: LinkedImage) -> None:
    data = bytearray(sample.data)
    at = _first_rva(data) if number != 4 else 0x400
    struct.pack_into("<II", data, DIRECTORIES + 8 * number, at, 8)
    with pytest.raises(HpbuildError) as caught:
        read_patch_image(_sealed(data), "sample")
    assert caught.value.code is codes.PATCH_DIRECTORIES


@pytest.mark.parametrize("number", [3, 5, 10])
def test_refuses_its_own_directories_elsewhere(number: int, sample: LinkedImage) -> None:
    for change in (_put(DIRECTORIES + 8 * number, "II", 0, 0), _put(DIRECTORIES + 8 * number + 4, "I", 4)):
        data = bytearray(sample.data)
        change(data)
        with pytest.raises(HpbuildError) as caught:
            read_patch_image(_sealed(data), "sample")
        assert caught.value.code is codes.PATCH_DIRECTORIES


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_in(".pdata", 12, "I", 0), codes.PATCH_UNWIND),  # begins before its predecessor ends
        (_in(".pdata", 4, "I", 0), codes.PATCH_UNWIND),
        (_in(".pdata", 16, "I", 0x7FFFFFFF), codes.PATCH_UNWIND),
        (_in(".pdata", 8, "I", 0x2001), codes.PATCH_UNWIND),  # not aligned
        (_in(".pdata", 8, "I", 0x7FFFFFFC), codes.PATCH_UNWIND),
        (_in(".reloc", 4, "I", 0), codes.PATCH_RELOCATIONS),
        (_in(".reloc", 4, "I", 0x4000), codes.PATCH_RELOCATIONS),
        (_in(".reloc", 0, "I", 0x1001), codes.PATCH_RELOCATIONS),
        (_in(".reloc", 0, "I", 0x1000), codes.PATCH_RELOCATIONS),  # in the baseline
        (_in(".reloc", 8, "H", 0x3000), codes.PATCH_RELOCATIONS),  # HIGHLOW
        (_in(".reloc", 8, "H", 0), codes.PATCH_RELOCATIONS),
        (_in(".hotp", 0, "I", 0x138), codes.PATCH_LOAD_CONFIG),
        (_in(".hotp", 4, "I", 1), codes.PATCH_LOAD_CONFIG),
        (_in(".hotp", 0x58, "Q", 1), codes.PATCH_LOAD_CONFIG),  # security cookie
        (_in(".hotp", 0xF0, "I", 0), codes.PATCH_LOAD_CONFIG),
        (_in(".hotp", 0x144, "I", 0x40), codes.PATCH_LOAD_CONFIG),
        (_in(".hotp", 0x154, "I", 1), codes.PATCH_NATIVE_TABLE),
        (_in(".hotp", 0x160, "I", 8), codes.PATCH_NATIVE_TABLE),
        (_in(".hotp", 0x140 + 116, "I", 0), codes.PATCH_NATIVE_TABLE),  # the table ends before its records
    ],
)
def test_refuses_malformed_tables(change: Change, code: Code, sample: LinkedImage) -> None:
    data = bytearray(sample.data)
    change(data)
    with pytest.raises(HpbuildError) as caught:
        read_patch_image(_sealed(data), "sample")
    assert caught.value.code is code


def test_refuses_a_table_without_a_load_configuration(
    baseline: Image, make_chunk: Callable[..., Chunk], make_plan: Callable[..., Plan]
) -> None:
    """The native table's section renamed to one that may be missing."""
    data = bytearray(link(make_plan(make_chunk(ChunkKind.RODATA, b"x")), baseline, 1).data)
    struct.pack_into("<8s", data, _row(".hotp", data), b".pdata")
    with pytest.raises(HpbuildError) as caught:
        read_patch_image(_sealed(data), "sample")
    assert caught.value.code is codes.PATCH_LOAD_CONFIG


def test_refuses_another_version_of_the_table(
    baseline: Image, make_chunk: Callable[..., Chunk], make_plan: Callable[..., Plan]
) -> None:
    """Without records both versions read alike."""
    data = bytearray(link(make_plan(make_chunk(ChunkKind.RODATA, b"x")), baseline, 1).data)
    assert read_patch_image(bytes(data), "sample").hotpatch.bases[0].chunks == ()
    _in(".hotp", 0x140, "I", 2)(data)
    with pytest.raises(HpbuildError) as caught:
        read_patch_image(_sealed(data), "sample")
    assert caught.value.code is codes.PATCH_NATIVE_TABLE


def test_refuses_changed_bytes(sample: LinkedImage) -> None:
    data = bytearray(sample.data)
    data[_raw(".rdata", data)] ^= 1
    with pytest.raises(HpbuildError) as caught:
        read_patch_image(bytes(data), "sample")
    assert caught.value.code is codes.PATCH_CHECKSUM
    # The checksum made right, the time stamp still the old content's.
    stamp = data[STAMP : STAMP + 4]
    data = bytearray(_sealed(data))
    assert data[STAMP : STAMP + 4] != stamp
    words = struct.unpack("<HH", stamp)
    now = struct.unpack_from("<HH", data, STAMP)
    data[STAMP : STAMP + 4] = stamp
    (checksum,) = struct.unpack_from("<I", data, CHECKSUM)
    folded = (checksum - len(data) + sum(words) - sum(now) - 1) % 0xFFFF + 1
    struct.pack_into("<I", data, CHECKSUM, folded + len(data))
    with pytest.raises(HpbuildError) as caught:
        read_patch_image(bytes(data), "sample")
    assert caught.value.code is codes.PATCH_CHECKSUM
    assert "TimeDateStamp" in str(caught.value)


def test_refuses_a_place_inside_the_baseline(sample: LinkedImage) -> None:
    assert read_patch_image(sample.data, "sample", sample.range.start)
    with pytest.raises(HpbuildError) as caught:
        read_patch_image(sample.data, "sample", sample.range.start + 1)
    assert caught.value.code is codes.PATCH_OVER_BASELINE


def test_refuses_unbounded_zero_fill(sample: LinkedImage) -> None:
    data = bytearray(sample.data)
    row = _row(".bss", data)
    (size,) = struct.unpack_from("<I", data, row + 8)
    grown = 1 << 27
    struct.pack_into("<I", data, row + 8, grown)
    shift = -(-grown // 0x1000) * 0x1000 - -(-size // 0x1000) * 0x1000
    for name in (".pdata", ".hotp", ".reloc"):
        (rva,) = struct.unpack_from("<I", data, _row(name, data) + 12)
        struct.pack_into("<I", data, _row(name, data) + 12, rva + shift)
    for number in (3, 5, 10):
        (rva,) = struct.unpack_from("<I", data, DIRECTORIES + 8 * number)
        struct.pack_into("<I", data, DIRECTORIES + 8 * number, rva + shift)
    (image_size,) = struct.unpack_from("<I", data, PE + 24 + 56)
    struct.pack_into("<I", data, PE + 24 + 56, image_size + shift)
    with pytest.raises(HpbuildError) as caught:
        read_patch_image(_sealed(data), "sample")
    assert caught.value.code is codes.ZERO_FILL_TOO_LARGE


def test_every_header_byte_counts(sample: LinkedImage) -> None:
    """Any changed header byte is refused, but for the image base and the subsystem, which are the
    baseline's, sizes of content that take in filler, and the two digests, which are made right again."""
    end = _raw(".text", sample.data)
    optional = PE + 24
    free = {*range(optional + 24, optional + 32), *range(optional + 68, optional + 70)}
    content = (_row(name, sample.data) + 8 for name in (".text", ".rdata", ".xdata", ".data"))
    free |= {*content, *range(STAMP, STAMP + 4), *range(CHECKSUM, CHECKSUM + 4)}
    accepted = []
    for offset in set(range(end)) - free:
        data = bytearray(sample.data)
        data[offset] ^= 0x11
        try:
            read_patch_image(_sealed(data), "sample")
        except HpbuildError:
            continue
        accepted.append(offset)
    assert accepted == []


def test_hostile_bytes_raise_nothing_else(sample: LinkedImage) -> None:
    generator = random.Random(11)
    start = _raw(".pdata", sample.data)
    refused = 0
    for _ in range(400):
        data = bytearray(sample.data)
        for _ in range(generator.randrange(1, 4)):
            offset = generator.choice((generator.randrange(0x400), generator.randrange(start, len(data))))
            data[offset] = generator.randrange(256)
        try:
            read_patch_image(_sealed(data), "sample")
        except HpbuildError:
            refused += 1
    assert refused > 300
    for size in (0, 1, 63, 64, 0x200, len(sample.data) - 1):
        with pytest.raises(HpbuildError):
            read_patch_image(sample.data[:size], "sample")
