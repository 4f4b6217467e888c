"""Symbol records of a PDB: procedures, data, thunks and public names.

Source of the formats: Microsoft's published `cvinfo.h` (microsoft-pdb) and the LLVM project's "CodeView
Symbol Records". Addresses are still segment:offset here; ``hpbuild.pe.pdb.reader`` turns them into RVAs.
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpbuild.codes.pe_identity import PDB_STREAM_MALFORMED, PDB_UNSUPPORTED
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import printable

S_THUNK32 = 0x1102
S_LDATA32 = 0x110C
S_GDATA32 = 0x110D
S_PUB32 = 0x110E
S_LPROC32 = 0x110F
S_GPROC32 = 0x1110
S_TRAMPOLINE = 0x112C
S_LPROC32_ID = 0x1146
S_GPROC32_ID = 0x1147
S_LPROC32_DPC = 0x1155
S_LPROC32_DPC_ID = 0x1156

PROCEDURES = (S_LPROC32, S_GPROC32, S_LPROC32_ID, S_GPROC32_ID, S_LPROC32_DPC, S_LPROC32_DPC_ID)
LOCAL_SCOPE = (S_LDATA32, S_LPROC32, S_LPROC32_ID, S_LPROC32_DPC, S_LPROC32_DPC_ID)
MODULE_RECORDS = (*PROCEDURES, S_LDATA32, S_GDATA32, S_THUNK32, S_TRAMPOLINE)
PUBLIC_IS_CODE = 0x3
_CV_SIGNATURE_C13 = 4
# All after the record's length and kind (4 bytes).
_PROCEDURE = struct.Struct("<12xI12xIHx")
_DATA = struct.Struct("<4xIH")
_THUNK = struct.Struct("<12xIHHx")
_TRAMPOLINE = struct.Struct("<2xHIIHH")
_PUBLIC = struct.Struct("<IIH")


@dataclass(frozen=True, slots=True)
class Record:
    """One record with an address. ``size`` in bytes, 0 when the record has none; ``flags`` of a public
    name; ``target`` segment and offset that an incremental-link trampoline jumps to, else (0, 0)."""

    kind: int
    segment: int
    offset: int
    size: int
    name: str
    flags: int = 0
    target: tuple[int, int] = (0, 0)


def module_records(data: bytes, place: str) -> list[Record]:
    """Records of a module's symbol substream (with its leading signature) that name an address.

    Raises HpbuildError PDB_UNSUPPORTED for symbols older than C13, PDB_STREAM_MALFORMED for damage.
    """
    if len(data) < 4 or int.from_bytes(data[:4], "little") != _CV_SIGNATURE_C13:
        raise HpbuildError(PDB_UNSUPPORTED, place, "symbols are not in the C13 format")
    return _decode(data, 4, MODULE_RECORDS, place)


def global_records(data: bytes, place: str) -> list[Record]:
    """Public names and data of the symbol record stream; raises HpbuildError PDB_STREAM_MALFORMED."""
    return _decode(data, 0, (S_PUB32, S_GDATA32, S_LDATA32), place)


def _offsets(data: bytes, start: int, place: str) -> npt.NDArray[np.int64]:
    """Offsets of all records, in 16-bit units. A record starts with its length, which leaves itself out."""
    if len(data) % 4:
        raise HpbuildError(PDB_STREAM_MALFORMED, place, f"{len(data)} bytes of records, not a multiple of 4")
    words = np.frombuffer(data, dtype="<u2")
    # A plain loop over the chain of lengths; everything after it is done for all records at once.
    view = words.data
    offsets = []
    at, end = start // 2, len(words)
    while at < end:
        length = view[at]
        if length < 2 or length & 3 != 2:
            raise HpbuildError(PDB_STREAM_MALFORMED, place, f"record of {length} bytes at {2 * at}")
        offsets.append(at)
        at += (length >> 1) + 1
    if at != end:
        raise HpbuildError(PDB_STREAM_MALFORMED, place, "the last record leaves the stream")
    return np.array(offsets, dtype=np.int64)


def _decode(data: bytes, start: int, wanted: tuple[int, ...], place: str) -> list[Record]:
    offsets = _offsets(data, start, place)
    words = np.frombuffer(data, dtype="<u2")
    kinds = words[offsets + 1]
    chosen = np.isin(kinds, np.array(wanted, dtype=np.uint16))
    records = []
    for kind, at in zip(kinds[chosen].tolist(), offsets[chosen].tolist(), strict=True):
        end = 2 * at + 2 + int(words[at])
        try:
            records.append(_record(kind, data[2 * at + 4 : end]))
        except (struct.error, ValueError):
            raise HpbuildError(
                PDB_STREAM_MALFORMED, place, f"record of kind {kind:#06x} at {2 * at} is too short"
            ) from None
    return records


def _record(kind: int, body: bytes) -> Record:
    """One record from its bytes after length and kind; struct.error or ValueError when they do not do."""
    if kind in PROCEDURES:
        size, offset, segment = _PROCEDURE.unpack_from(body)
        return Record(kind, segment, offset, size, _name(body, _PROCEDURE.size))
    if kind in (S_LDATA32, S_GDATA32):
        offset, segment = _DATA.unpack_from(body)
        return Record(kind, segment, offset, 0, _name(body, _DATA.size))
    if kind == S_THUNK32:
        offset, segment, size = _THUNK.unpack_from(body)
        return Record(kind, segment, offset, size, _name(body, _THUNK.size))
    if kind == S_TRAMPOLINE:
        size, offset, target, segment, target_segment = _TRAMPOLINE.unpack_from(body)
        return Record(kind, segment, offset, size, "", 0, (target_segment, target))
    flags, offset, segment = _PUBLIC.unpack_from(body)
    return Record(kind, segment, offset, 0, _name(body, _PUBLIC.size), flags)


def _name(body: bytes, at: int) -> str:
    return printable(body[at : body.index(b"\0", at)])
