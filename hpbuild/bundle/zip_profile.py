"""The one spelling of a ZIP file that a bundle uses (PKWARE APPNOTE 6.3.10, sections 4.3.7 to 4.3.16).

Stored members, no flags, no extra fields, no comments, the epoch of the format as time, mode 0644 of a
Unix file. Writer and reader share these functions: whatever they would not produce is refused.
"""

import struct
import zlib

from hpbuild.dataclass import dataclass

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
LOCAL_MAGIC = b"PK\x03\x04"
CENTRAL_MAGIC = b"PK\x01\x02"
END_MAGIC = b"PK\x05\x06"

VERSION = 20
MADE_BY = 3 << 8 | VERSION
DOS_TIME = 0
DOS_DATE = 0x0021
"""1980-01-01, the first day that the format knows."""
ATTRIBUTES = 0o100644 << 16
MAX_SIZE = 2**32 - 2
"""Larger files need the zip64 records, which the profile has not."""
MAX_MEMBERS = 2**16 - 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: ``name``, CRC-32, ``size`` in bytes, file ``offset`` of its local header."""

    name: str
    crc: int
    size: int
    offset: int


def crc32(data: bytes | memoryview) -> int:
    """CRC-32 as ZIP uses it."""
    return zlib.crc32(data)


def local_header(entry: Entry) -> bytes:
    """Local file header with the name."""
    name = entry.name.encode("ascii")
    fields = (VERSION, 0, 0, DOS_TIME, DOS_DATE, entry.crc, entry.size, entry.size, len(name), 0)
    return LOCAL.pack(LOCAL_MAGIC, *fields) + name


def central_entry(entry: Entry) -> bytes:
    """Row of the central directory with the name."""
    name = entry.name.encode("ascii")
    head = (MADE_BY, VERSION, 0, 0, DOS_TIME, DOS_DATE, entry.crc, entry.size, entry.size, len(name))
    return CENTRAL.pack(CENTRAL_MAGIC, *head, 0, 0, 0, 0, ATTRIBUTES, entry.offset) + name


def directory(entries: tuple[Entry, ...], offset: int) -> bytes:
    """Central directory that begins at file ``offset``, with the end record."""
    rows = b"".join(central_entry(entry) for entry in entries)
    return rows + END.pack(END_MAGIC, 0, 0, len(entries), len(entries), len(rows), offset, 0)
