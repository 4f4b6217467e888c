"""PE files made to exhaust or mislead whoever reads them, each with the code that must refuse it.

``python -m tests.hostile_reading`` reads each of them in a process of its own and prints what it cost.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from hpbuild.codes import pe as codes
from hpbuild.codes import pe_identity as identity_codes
from hpbuild.errors import Code
from hpbuild.pe import access
from hpbuild.pe.unwind import MAX_FUNCTIONS
from tests.minimal_pe import BASE, CODE, DATA, TEXT, MinimalPe

MIB = 1 << 20
_BIG = 1 << 30


@dataclass(frozen=True, slots=True)
class Hostile:
    """``code`` None: nothing is refused, it is only read within the limits. ``mapped`` bytes of address space
    for an image that has more of it than its file."""

    make: Callable[[], bytes]
    code: Code | None
    mapped: int = 0


def _sections(count: int, raw: bool = False, step: int = 0) -> bytes:
    """``count`` sections of one page, each ``step`` behind the last."""
    headers = -(-(0x188 + 40 * count) // 0x200) * 0x200
    size = 0x1000 * (count + 2) + headers
    data = bytearray(MinimalPe().build(section_count=count, size_of_headers=headers)[:0x188])
    first = -(-headers // 0x1000) * 0x1000
    for index in range(count):
        place = (0x200, headers) if raw else (0, 0)
        data += struct.pack("<8sIIII12xI", b".x", 0x1000, first + index * step, *place, DATA)
    data += bytes(headers - len(data)) + bytes(0x200)
    struct.pack_into("<I", data, 0x98 + 16, 0)
    struct.pack_into("<I", data, 0x98 + 56, -(-size // 0x1000) * 0x1000 + first)
    return bytes(data)


def _directory(index: int, content: bytes, size: int | None = None, **fields: int) -> bytes:
    pe = MinimalPe()
    pe.table(index, content, size)
    return pe.build(**fields)


def _fields(**fields: int | bytes) -> Callable[[], bytes]:
    return lambda: MinimalPe().build(**fields)


def _relocations(content: bytes, **fields: int) -> Callable[[], bytes]:
    return lambda: _directory(access.BASERELOC, content, **fields)


def _functions(count: int, record: bytes, step: int = 1) -> bytes:
    """``count`` functions of one byte, all with the unwind information ``record``."""
    pe = MinimalPe()
    code = pe.section(b".code", b"\xcc" * (count * step + 1), CODE)
    at = pe.section(b".xdata", record)
    record_at = at.to_bytes(4, "little")
    rows = b"".join(
        struct.pack("<II", code + i * step, code + i * step + 1) + record_at for i in range(count)
    )
    pe.table(access.EXCEPTION, rows)
    return pe.build()


def _chain(length: int, loop: bool) -> bytes:
    """Unwind records chained one to the next; the last to the first, or the primary."""
    pe = MinimalPe()
    at = 0x2000
    record = bytearray()
    for index in range(length):
        last = index == length - 1
        if last and not loop:
            record += bytes.fromhex("01000000") + bytes(12)
        else:
            following = at + 16 * (0 if last else index + 1)
            record += bytes.fromhex("21000000") + struct.pack("<III", TEXT, TEXT + 1, following)
    assert pe.section(b".xdata", bytes(record)) == at
    pe.table(access.EXCEPTION, struct.pack("<III", TEXT, TEXT + 1, at))
    return pe.build()


def _resource_table(named: int, numbered: int) -> bytes:
    return struct.pack("<IIHHHH", 0, 0, 0, 0, named, numbered)


def _resource_loop() -> bytes:
    return _directory(access.RESOURCE, _resource_table(0, 1) + struct.pack("<II", 1, 1 << 31))


def _resource_pair() -> bytes:
    """Two directories that contain each other."""
    first = _resource_table(0, 1) + struct.pack("<II", 1, 1 << 31 | 24)
    return _directory(access.RESOURCE, first + _resource_table(0, 1) + struct.pack("<II", 1, 1 << 31))


def _resource_tree(rows: int, leaf: Callable[[int], bytes], tail: bytes, names: int = 0) -> bytes:
    """Type 1, name 1 and as many languages as ``rows``; ``names`` is the offset of every name or 0."""
    table = _resource_table(0, 1) + struct.pack("<II", 1, 1 << 31 | 24)
    table += _resource_table(0, 1) + struct.pack("<II", 1, 1 << 31 | 48)
    named = min(rows, 0xFFFF)
    table += _resource_table(named, rows - named)
    leaves = 48 + 16 + 8 * rows
    end = leaves + 16 * rows
    key = 1 << 31 | end if names else 1
    table += b"".join(struct.pack("<II", key, leaves + 16 * index) for index in range(rows))
    table += b"".join(leaf(end) for _ in range(rows))
    return _directory(access.RESOURCE, table + tail)


def _resources_share_content() -> bytes:
    content = bytes(4 * MIB)
    return _resource_tree(0xFFFF, lambda end: struct.pack("<4I", 0x2000 + end, len(content), 0, 0), content)


def _resources_share_names() -> bytes:
    name = struct.pack("<H", 0xFFFF) + b"x\0" * 0xFFFF
    return _resource_tree(0xFFFF, lambda _: bytes(16), name, names=1)


def _resource_of_nothing() -> bytes:
    """A resource of 1 GiB where the image has no file bytes."""
    pe = MinimalPe()
    table = _resource_table(0, 1) + struct.pack("<II", 16, 1 << 31 | 24)
    table += _resource_table(0, 1) + struct.pack("<II", 1, 1 << 31 | 48)
    table += _resource_table(0, 1) + struct.pack("<II", 1, 72)
    pe.table(access.RESOURCE, table + struct.pack("<4I", 0x3000, _BIG - 0x10000, 0, 0))
    pe.section(b".bss", b"", 0xC0000080, _BIG - 0x3000)
    return pe.build()


def _exports(functions: int, names: int, tables: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    row = struct.pack("<IIHHIIIIIII", 0, 0, 0, 0, 0, 1, functions, names, *tables)
    return _directory(access.EXPORT, row)


def _exports_share_names(forwarders: bool) -> bytes:
    """65,535 exports whose names, or forwarders, are all the same long string."""
    count, at = 0xFFFF, 0x2000 + 40
    text = b"a" * 16000 + b"\0"
    string = at + 10 * count + 2
    counts = (count, 0 if forwarders else count)
    row = struct.pack("<IIHHIIIIIII", 0, 0, 0, 0, 0, 1, *counts, at, at + 4 * count, at + 8 * count)
    addresses = struct.pack("<I", string if forwarders else TEXT) * count
    pointers = struct.pack("<I", string) * count
    ordinals = b"".join(index.to_bytes(2, "little") for index in range(count))
    return _directory(access.EXPORT, row + addresses + pointers + ordinals + bytes(2) + text)


def _imports(descriptors: int, entries: int) -> bytes:
    """Descriptors without an end mark, all with one name table of ``entries`` ordinals and no end."""
    pe = MinimalPe()
    names = pe.section(b".names", b"k.dll\0\0\0" + struct.pack("<Q", 1 << 63 | 1) * entries + bytes(8))
    slots = pe.section(b".slots", bytes(8), DATA, max(0x1000, 8 * entries))
    pe.table(access.IMPORT, struct.pack("<5I", names + 8, 0, 0, names, slots) * descriptors)
    return pe.build()


def _endless_names() -> bytes:
    """A name table that goes on to the end of the image."""
    pe = MinimalPe()
    slots = pe.section(b".slots", b"k.dll\0", DATA, 0x2000)
    names = slots + 0x3000
    pe.table(access.IMPORT, struct.pack("<5I", names, 0, 0, slots, slots) + bytes(20))
    assert pe.section(b".names", struct.pack("<Q", 1 << 63 | 1) * 0x200) == names
    return pe.build()


def _delayed(descriptors: int) -> bytes:
    """Delay-load descriptors without an end mark."""
    pe = MinimalPe()
    names = pe.section(b".names", b"k.dll\0\0\0" + bytes(8))
    row = struct.pack("<8I", 1, names, 0, names + 8, names + 8, 0, 0, 0)
    pe.table(access.DELAY_IMPORT, row * descriptors)
    return pe.build()


def _config(size: int, changes: dict[int, tuple[str, int]], tail: bytes = b"") -> bytes:
    config = bytearray(0x140)
    struct.pack_into("<I", config, 0, size)
    for offset, (layout, value) in changes.items():
        struct.pack_into("<" + layout, config, offset, value)
    return _directory(access.LOAD_CONFIG, bytes(config) + tail, 0x140)


def _guard(count: int, rows: int) -> bytes:
    return _config(0x140, {0x80: ("Q", BASE + 0x2140), 0x88: ("Q", count)}, bytes(4 * rows))


def _tls(callbacks: bytes, start: int = 0, end: int = 0) -> bytes:
    at = BASE + 0x2000
    table = struct.pack("<4QII", start, end, at, at + 40 if callbacks else 0, 0, 0)
    return _directory(access.TLS, table + callbacks, 40)


def _native(table: bytes, room: int = 0) -> bytes:
    """An image whose load configuration announces the native hotpatch table ``table``."""
    return _config(0x140, {0xF0: ("I", 0x2140)}, table + bytes(room))


def _native_sparse() -> bytes:
    """A table of 1 GiB that is not in the file."""
    pe = MinimalPe()
    config = bytearray(0x140)
    struct.pack_into("<I", config, 0, 0x140)
    struct.pack_into("<I", config, 0xF0, 0x2140)
    table = struct.pack("<7I", 3, _BIG - 0x10000, 1, 28, 1, 0, 2)
    at = pe.section(b".rdata", bytes(config) + table, DATA, _BIG - 0x8000)
    pe.directories[access.LOAD_CONFIG] = (at, 0x140)
    return pe.build()


def _native_records(count: int) -> bytes:
    """So many FUNCTION records in one patch table."""
    chunk = struct.pack("<I", 0x1C000 | 0xFFF) + struct.pack("<4I", 0x1010, TEXT, 0, 0) * 0xFFF
    records = chunk * (count // 0xFFF) + bytes(4)
    size = 28 + 4 + 32 + len(records)
    head = struct.pack("<7I", 3, size, 7, 28, 1, 0, 2) + struct.pack("<I", 32)
    return _native(head + struct.pack("<8I", 7, 0x12, 1, 2, 0, 0, 64, 0) + records)


def _symbols(count: int, name: bytes) -> bytes:
    """A COFF symbol table whose rows all have the same name."""
    pe = MinimalPe()
    at = len(pe.build())
    row = struct.pack("<IIIhHBB", 0, 4, 0, 1, 0x20, 2, 0)
    pe.overlay = row * count + struct.pack("<I", 4 + len(name)) + name
    return pe.build(symbol_table=at, symbol_count=count)


def _stub() -> bytes:
    """A tool record of nearly 1 MiB."""
    data = bytearray(MIB + 0x400)
    data[:2] = b"MZ"
    struct.pack_into("<I", data, 0x3C, MIB - 0x1000)
    struct.pack_into("<4s3I", data, 0x40, b"DanS", 0, 0, 0)
    struct.pack_into("<4sI", data, MIB - 0x1010, b"Rich", 0)
    header = MinimalPe().build(size_of_headers=MIB, size_of_image=2 * MIB)[0x80:0x400]
    data[MIB - 0x1000 : MIB - 0x1000 + len(header)] = header
    row = struct.pack("<8sIIII12xI", b".text", 0x200, MIB, 0x200, MIB, CODE)
    at = MIB - 0x1000 + 0x108
    data[at : at + 40] = row
    struct.pack_into("<I", data, MIB - 0x1000 + 0x18 + 16, MIB)
    return bytes(data)


def _marks() -> bytes:
    """A million times the mark of a list of pseudo-relocations, and an import, without which none is read."""
    pe = MinimalPe()
    slots = pe.section(b".slots", struct.pack("<QQ", 1 << 63 | 1, 0) + b"k.dll\0")
    pe.table(access.IMPORT, struct.pack("<5I", slots, 0, 0, slots + 16, slots) + bytes(20))
    pe.section(b".marks", bytes.fromhex("000000000000000001000000") * 1_000_000)
    return pe.build()


def _without_end(count: int) -> Callable[[], bytes]:
    return lambda: _tls(struct.pack("<Q", BASE + TEXT) * count)


_BLOCK = struct.pack("<II", 0, 8)
_ENTRIES = 1 << 21
_FUNCTION = bytes.fromhex("01000000")
_SELF = bytes.fromhex("21000000") + struct.pack("<III", TEXT, TEXT + 1, 0)

HOSTILE: dict[str, Hostile] = {
    "256 overlapping sections": Hostile(lambda: _sections(256), codes.SECTION_COUNT),
    "65,535 overlapping sections": Hostile(lambda: _sections(0xFFFF), codes.SECTION_COUNT),
    "96 overlapping sections": Hostile(lambda: _sections(96), codes.SECTIONS_OVERLAP),
    "96 sections over the same file bytes": Hostile(lambda: _sections(96, True, 0x1000), codes.RAW_OVERLAP),
    "a million relocation blocks": Hostile(_relocations(_BLOCK * 1_000_000), codes.RELOCATION_BLOCKS),
    "a million relocation blocks in 1 GiB": Hostile(
        _relocations(_BLOCK * 1_000_000, size_of_image=_BIG), codes.RELOCATION_BLOCKS, _BIG
    ),
    "24 MiB of relocation blocks": Hostile(_relocations(_BLOCK * (3 * MIB)), codes.RELOCATION_BLOCKS),
    "two million relocations of one place": Hostile(
        _relocations(struct.pack("<II", 0x1000, 8 + 2 * _ENTRIES) + struct.pack("<H", 0xA000) * _ENTRIES),
        codes.RELOCATION_OVERLAP,
    ),
    "a million functions": Hostile(lambda: _functions(1_000_000, _FUNCTION), codes.PDATA_LIMIT),
    "the most functions, all chained in a loop": Hostile(
        lambda: _functions(MAX_FUNCTIONS, _self_chained(MAX_FUNCTIONS)), codes.UNWIND_CHAIN
    ),
    "the most functions, all alike": Hostile(
        lambda: _functions(MAX_FUNCTIONS, _FUNCTION, 0), codes.PDATA_UNSORTED
    ),
    "the most functions, all good": Hostile(lambda: _functions(MAX_FUNCTIONS, _FUNCTION), None),
    "an unwind record chained to itself": Hostile(lambda: _chain(1, True), codes.UNWIND_CHAIN),
    "two unwind records chained to each other": Hostile(lambda: _chain(2, True), codes.UNWIND_CHAIN),
    "a chain of 40 unwind records": Hostile(lambda: _chain(40, False), codes.UNWIND_CHAIN),
    "a resource directory in itself": Hostile(_resource_loop, codes.RESOURCE_LOOP),
    "resource directories in each other": Hostile(_resource_pair, codes.RESOURCE_LOOP),
    "65,535 resources over the same 4 MiB": Hostile(_resources_share_content, codes.RESOURCE_MALFORMED),
    "65,535 resources with one long name": Hostile(_resources_share_names, codes.RESOURCE_MALFORMED),
    "100,000 resources": Hostile(
        lambda: _resource_tree(100_000, lambda _: bytes(16), b""), codes.RESOURCE_MALFORMED
    ),
    "a resource of 1 GiB without bytes": Hostile(_resource_of_nothing, codes.RESOURCE_MALFORMED, _BIG),
    "2^31 exported names": Hostile(lambda: _exports(1, 1 << 31), codes.EXPORT_MALFORMED),
    "2^32 - 1 exported functions": Hostile(lambda: _exports(0xFFFFFFFF, 0), codes.EXPORT_MALFORMED),
    "export tables at the end of the address space": Hostile(
        lambda: _exports(16, 16, (0xFFFFFFF0,) * 3), codes.EXPORT_MALFORMED
    ),
    "65,535 exports with one long name": Hostile(lambda: _exports_share_names(False), codes.EXPORT_MALFORMED),
    "65,535 exports with one long forwarder": Hostile(
        lambda: _exports_share_names(True), codes.EXPORT_MALFORMED
    ),
    "a million import descriptors": Hostile(lambda: _imports(1_000_000, 0), codes.IMPORT_COUNT),
    "a million imports": Hostile(lambda: _imports(1, 1_000_000), codes.IMPORT_COUNT),
    "import descriptors without an end": Hostile(lambda: _imports(3, 0), codes.IMPORT_UNTERMINATED),
    "descriptors with the same slots": Hostile(lambda: _imports(3, 1), codes.IMPORT_SLOT_SHARED),
    "a name table without an end": Hostile(_endless_names, codes.IMPORT_UNTERMINATED),
    "a million delay-load descriptors": Hostile(lambda: _delayed(1_000_000), codes.IMPORT_COUNT),
    "delay-load descriptors without an end": Hostile(lambda: _delayed(3), codes.IMPORT_UNTERMINATED),
    "257 debug entries": Hostile(lambda: _directory(access.DEBUG, bytes(28 * 257)), codes.DEBUG_MALFORMED),
    "a debug directory of 2^32 - 4 bytes": Hostile(
        lambda: _directory(access.DEBUG, bytes(28), 0xFFFFFFFC), codes.DIRECTORY_OUTSIDE
    ),
    "a load configuration of no size": Hostile(lambda: _config(0, {}), codes.LOAD_CONFIG_SIZE),
    "a load configuration of 2^32 - 1 bytes": Hostile(
        lambda: _config(0xFFFFFFFF, {}), codes.LOAD_CONFIG_SIZE
    ),
    "2^64 - 1 guarded functions": Hostile(lambda: _guard((1 << 64) - 1, 4), codes.GUARD_TABLE),
    "two million guarded functions": Hostile(lambda: _guard(2_000_000, 2_000_000), codes.GUARD_TABLE),
    "dynamic relocations of 2^32 - 1 bytes": Hostile(
        lambda: _config(0x140, {0xE0: ("I", 0x140), 0xE4: ("H", 2)}, struct.pack("<II", 1, 0xFFFFFFFF)),
        codes.LOAD_CONFIG_ADDRESS,
    ),
    "a million TLS callbacks": Hostile(_without_end(1_000_000), codes.TLS_CALLBACKS),
    "TLS callbacks without an end": Hostile(_without_end(0x1FB), codes.TLS_CALLBACKS),
    "TLS data that ends before it begins": Hostile(
        lambda: _tls(b"", BASE + 0x2000, BASE + 0x1000), codes.TLS_MALFORMED
    ),
    "a native table with 2^32 - 1 base images": Hostile(
        lambda: _native(struct.pack("<7I", 3, 0x100, 1, 28, 0xFFFFFFFF, 0, 2), 0x100),
        identity_codes.HOT_PATCH_LIMIT,
    ),
    "a native table of 1 GiB without bytes": Hostile(_native_sparse, identity_codes.HOT_PATCH_HEADER, _BIG),
    "a million native records": Hostile(
        lambda: _native_records(1_000_000), identity_codes.HOT_PATCH_LIMIT
    ),
    "17 MiB of native records": Hostile(lambda: _native_records(17 << 16), identity_codes.HOT_PATCH_LIMIT),
    "native records with 2^32 - 1 values": Hostile(
        lambda: _native(struct.pack("<7I", 3, 0x100, 1, 28, 1, 0, 0xFFFFFFFF), 0x100),
        identity_codes.HOT_PATCH_HEADER,
    ),
    "a million symbols with one long name": Hostile(
        lambda: _symbols(1_000_000, b"a" * 16000 + b"\0"), identity_codes.COFF_SYMBOLS_MALFORMED
    ),
    "a million symbols without the end of a name": Hostile(
        lambda: _symbols(1_000_000, b"a" * (8 * MIB)), identity_codes.COFF_SYMBOLS_MALFORMED
    ),
    "2^32 - 1 symbols": Hostile(
        _fields(symbol_table=0x400, symbol_count=0xFFFFFFFF), identity_codes.COFF_SYMBOLS_MALFORMED
    ),
    "a million lists of pseudo-relocations": Hostile(_marks, None),
    "a tool record of 1 MiB": Hostile(_stub, None),
    "an image of 4 GiB": Hostile(_fields(size_of_image=0xFFFFF000), codes.IMAGE_TOO_LARGE),
    "an image of no size": Hostile(_fields(size_of_image=0), codes.BAD_ALIGNMENT),
    "headers of 4 GiB": Hostile(_fields(size_of_headers=0xFFFFFFFF), codes.BAD_HEADER_SIZE),
    "a PE header at 4 GiB": Hostile(_fields(e_lfanew=0xFFFFFFFC), codes.NOT_A_PE),
    "an optional header of 65,535 bytes": Hostile(_fields(optional_size=0xFFFF), codes.TRUNCATED),
    "2^32 - 1 data directories": Hostile(_fields(directory_count=0xFFFFFFFF), codes.DIRECTORY_COUNT),
    "an image base at the end of the address space": Hostile(
        _fields(image_base=(1 << 64) - 0x10000), codes.BAD_IMAGE_BASE
    ),
    "an entry point at 4 GiB": Hostile(_fields(entry_point=0xFFFFFFFF), codes.BAD_ENTRY_POINT),
    "sections aligned to 2 GiB": Hostile(_fields(section_alignment=1 << 31), codes.BAD_ALIGNMENT),
    "sections aligned to nothing": Hostile(_fields(section_alignment=0), codes.BAD_ALIGNMENT),
    "a section beyond the file": Hostile(lambda: MinimalPe().build()[:0x800], codes.TRUNCATED),
    "a section beyond the image": Hostile(_fields(size_of_image=0x1000), codes.SECTION_OUTSIDE),
    "certificates beyond the file": Hostile(lambda: _certificates(0xFFFFFFF8, 8), codes.CERTIFICATES_OUTSIDE),
    "a directory of half an entry": Hostile(lambda: _certificates(0, 8), codes.DIRECTORY_HALF_EMPTY),
}  # fmt: skip
"""By what they are."""


def _self_chained(count: int) -> bytes:
    """An unwind record that is chained to itself, in the section behind ``count`` bytes of code."""
    at = 0x2000 + -(-(count + 1) // 0x1000) * 0x1000
    return bytes.fromhex("21000000") + struct.pack("<III", TEXT, TEXT + 1, at)


def _certificates(start: int, size: int) -> bytes:
    pe = MinimalPe()
    pe.directories[access.CERTIFICATE] = (start, size)
    return pe.build()
