"""Type records written by hand, and the container around them, for the tests of PDB types."""

import struct

import numpy as np

from hpbuild.pe.pdb.msf import Msf
from hpbuild.pe.pdb.type_records import TypeStream, read_types

INT, CHAR, VOID, LONGLONG = 0x74, 0x70, 0x03, 0x76
FIRST = 0x1000


def container(streams: list[bytes]) -> Msf:
    """A container that holds ``streams``, each in blocks of its own."""
    block = 512
    padded = [stream + bytes(-len(stream) % block) for stream in streams]
    lengths = [len(stream) // block for stream in padded]
    first = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])[:-1].astype(np.int64)
    return Msf(
        name="x.pdb",
        data=b"".join(padded),
        block_size=block,
        sizes=np.array([len(stream) for stream in streams], dtype=np.int64),
        first=first,
        blocks=np.arange(sum(lengths), dtype=np.uint32),
    )


def type_stream(records: list[bytes], **header: int) -> bytes:
    """The bytes of stream 2 with ``records``, the first has index 0x1000."""
    body = b"".join(records)
    fields = {
        "version": 20040203, "header": 20, "begin": FIRST, "end": FIRST + len(records), "size": len(body),
    } | header  # fmt: skip
    return struct.pack("<5I", *fields.values()) + body


def types(*records: bytes) -> TypeStream:
    """The same, read."""
    found = read_types(container([b"", b"", type_stream(list(records))]))
    assert found is not None
    return found


def record(kind: int, body: bytes) -> bytes:
    """One record with its length and leaf."""
    body += bytes(0xF0 | n for n in range(-len(body) % 4, 0, -1))
    return struct.pack("<HH", len(body) + 2, kind) + body


def structure(
    name: str, fields: int, size: int, *, kind: int = 0x1505, flags: int = 0, unique: str = ""
) -> bytes:
    """LF_STRUCTURE, or LF_CLASS or LF_UNION by ``kind``."""
    text = name.encode() + b"\0" + (unique.encode() + b"\0" if unique else b"")
    middle = b"" if kind == 0x1506 else bytes(8)
    head = struct.pack("<HHI", 0, flags | (0x200 if unique else 0), fields)
    return record(kind, head + middle + struct.pack("<H", size) + text)


def enumeration(name: str, fields: int, base: int = INT) -> bytes:
    """LF_ENUM."""
    return record(0x1507, struct.pack("<HHII", 0, 0, base, fields) + name.encode() + b"\0")


def field_list(*members: bytes) -> bytes:
    """LF_FIELDLIST with its members, each padded to 4 bytes."""
    return record(
        0x1203, b"".join(item + bytes(0xF0 | n for n in range(-len(item) % 4, 0, -1)) for item in members)
    )


def member(name: str, target: int, offset: int) -> bytes:
    """LF_MEMBER."""
    return struct.pack("<HHIH", 0x150D, 3, target, offset) + name.encode() + b"\0"


def enumerator(name: str, value: int) -> bytes:
    """LF_ENUMERATE."""
    return struct.pack("<HHHi", 0x1502, 3, 0x8003, value) + name.encode() + b"\0"


def method(name: str, target: int, slot: int | None = None) -> bytes:
    """LF_ONEMETHOD that introduces a virtual with ``slot``, or is not virtual."""
    attributes = 3 if slot is None else 3 | 4 << 2
    place = b"" if slot is None else struct.pack("<I", slot)
    return struct.pack("<HHI", 0x1511, attributes, target) + place + name.encode() + b"\0"


def pointer(target: int, mode: int = 0) -> bytes:
    """LF_POINTER, 8 bytes wide."""
    return record(0x1002, struct.pack("<II", target, 0x0C | mode << 5 | 8 << 13))
