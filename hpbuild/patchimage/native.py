"""Write the native hotpatch table: ``IMAGE_HOT_PATCH_INFO`` and what hangs on it, and the load configuration.

Source: winnt.h of the public Windows SDK. Version 3 with one extra DWORD per record. The tables describe
the patch image at its nominal place; they are no fixups.

What the extra DWORD holds: FUNCTION, the baseline's first four entry bytes; REL32, the distance from the
field's end to the address it counts from (0 or the trailing bytes of the instruction; negative or large for
entries of tables that count from their own origin), so that field = record[1] - (record[0] + 4 + extra).
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from hpbuild.dataclass import dataclass
from hpbuild.patchimage.format import LOAD_CONFIG_SIZE, NATIVE_EXTRA_DWORDS, NATIVE_VERSION
from hpbuild.pe import hotpatch_format as native
from hpbuild.pe.file_bytes import FileBytes

Records = npt.NDArray[np.int64]
"""Rows (RVA in the written image, RVA in the other image, extra)."""

_INFO: Final = struct.Struct("<7I")
_BASE: Final = struct.Struct("<8I")


@dataclass(frozen=True, slots=True)
class RecordGroup:
    """Records of one kind (``native.KIND_*``); ``inverse``: written into the patch image."""

    kind: int
    inverse: bool
    records: Records


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """The file that the patch is for: Windows selects by the first two; the digests are of the file."""

    time_date_stamp: int
    checksum: int
    sha256: bytes
    sha1: bytes

    @classmethod
    def of(cls, data: bytes | FileBytes, time_date_stamp: int, checksum: int) -> "BaseImage":
        """From the file's bytes and the two header fields."""
        sha1 = hashlib.sha1(usedforsecurity=False)
        for piece in FileBytes.of(data).pieces():
            sha1.update(piece)
        return cls(
            time_date_stamp=time_date_stamp,
            checksum=checksum,
            sha256=FileBytes.of(data).digest().raw,
            sha1=sha1.digest(),
        )


def hotpatch_blob(sequence: int, base: BaseImage, groups: Iterable[RecordGroup]) -> bytes:
    """The whole ``IMAGE_HOT_PATCH_INFO`` blob; every offset in it counts from its start."""
    table = chunk_table(groups)
    list_offset = _INFO.size
    base_offset = list_offset + 4
    hashes_offset = base_offset + _BASE.size
    table_offset = hashes_offset + native.HASHES_SIZE
    info = _INFO.pack(
        NATIVE_VERSION, table_offset + len(table), sequence, list_offset, 1, 0, NATIVE_EXTRA_DWORDS
    )
    entry = _BASE.pack(
        sequence,
        native.BASE_CAN_ROLL_BACK | native.BASE_MACHINE_AMD64,
        base.time_date_stamp,
        base.checksum,
        hashes_offset,
        native.HASHES_SIZE,
        table_offset,
        0,
    )
    return info + struct.pack("<I", base_offset) + entry + base.sha256 + base.sha1 + table


def chunk_table(groups: Iterable[RecordGroup]) -> bytes:
    """Chunks of at most 4095 records each, ended by a zero DWORD. Empty groups leave nothing."""
    table = bytearray()
    for group in groups:
        header = group.kind | (native.CHUNK_INVERSE if group.inverse else 0)
        for part in _parts(group.records, native.CHUNK_COUNT_MASK):
            table += struct.pack("<I", header | len(part))
            table += part.astype("<u4").tobytes()  # modulo 2**32
    return bytes(table) + bytes(4)


def load_config(hot_patch_table: int) -> bytes:
    """``IMAGE_LOAD_CONFIG_DIRECTORY64`` that says nothing but where the hotpatch table is (an RVA)."""
    directory = bytearray(LOAD_CONFIG_SIZE)
    struct.pack_into("<I", directory, 0, LOAD_CONFIG_SIZE)
    struct.pack_into("<I", directory, native.LOAD_CONFIG_HOT_PATCH_OFFSET, hot_patch_table)
    return bytes(directory)


def _parts(records: Records, size: int) -> Iterable[Records]:
    return (records[begin : begin + size] for begin in range(0, len(records), size))
