"""Symbol records of a PDB: procedures, data, thunks and public names.

Source of the formats: Microsoft's published `cvinfo.h` (microsoft-pdb) and the LLVM project's "CodeView
Symbol Records". Addresses are still segment:offset here; ``hpbuild.pe.pdb.reader`` turns them into RVAs.
"""

from collections.abc import Iterable
from itertools import repeat
from typing import NamedTuple

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


class _Layout(NamedTuple):
    """Where the fields lie, in bytes behind the record's length and kind; -1 for a field that is not there.
    ``least`` bytes hold all fields but the name."""

    least: int
    offset: int
    segment: int
    size: int = -1
    narrow: bool = False
    name: int = -1
    flags: int = -1
    end: int = -1


_PROCEDURE = _Layout(35, offset=28, segment=32, size=12, name=35, end=4)
_DATA = _Layout(10, offset=4, segment=8, name=10)
_LAYOUTS = {
    **dict.fromkeys(PROCEDURES, _PROCEDURE),
    S_LDATA32: _DATA,
    S_GDATA32: _DATA,
    S_THUNK32: _Layout(21, offset=12, segment=16, size=18, narrow=True, name=21),
    S_TRAMPOLINE: _Layout(16, offset=4, segment=12, size=2, narrow=True),
    S_PUB32: _Layout(10, offset=4, segment=8, name=10, flags=0),
}
_TRAMPOLINE_TARGET = (8, 14)
I64 = npt.NDArray[np.int64]
U16 = npt.NDArray[np.uint16]


class Record(NamedTuple):
    """One record with an address. ``size`` in bytes, 0 when the record has none; ``flags`` of a public
    name; ``target`` segment and offset that an incremental-link trampoline jumps to, else (0, 0);
    ``procedure`` the name of the function whose scope holds a variable, else ""."""

    kind: int
    segment: int
    offset: int
    size: int
    name: str
    flags: int = 0
    target: tuple[int, int] = (0, 0)
    procedure: str = ""


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


def record_offsets(data: bytes, start: int, place: str) -> npt.NDArray[np.int64]:
    """Offsets of all records, in 16-bit units. A record starts with its length, which leaves itself out.

    Raises HpbuildError PDB_STREAM_MALFORMED.
    """
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
    """The records of the kinds ``wanted`` in their order; the fields of all are read at once."""
    offsets = record_offsets(data, start, place)
    words = np.frombuffer(data, dtype="<u2")
    kinds = words[offsets + 1]
    chosen = np.isin(kinds, np.array(wanted, dtype=np.uint16))
    rows, kinds = offsets[chosen], kinds[chosen]
    if not len(rows):
        return []
    table = np.array([_LAYOUTS[kind] for kind in sorted(wanted)], dtype=np.int64)
    columns = table[np.searchsorted(np.array(sorted(wanted)), kinds)].T
    least, offset, segment, size, narrow, name, flags, end = columns
    lengths = words[rows].astype(np.int64) - 2
    short = np.flatnonzero(lengths < least)
    if len(short):
        raise _too_short(int(kinds[short[0]]), int(rows[short[0]]), place)
    body = rows + 2
    sizes = _numbers(words, body, size) & np.where(narrow, 0xFFFF, 0xFFFFFFFF)
    targets: Iterable[tuple[int, int]] = repeat((0, 0))
    if np.any(kinds == S_TRAMPOLINE):
        targets = _targets(words, kinds, body)
    texts = _names(data, rows, lengths, name, place)
    return list(
        map(
            Record,
            kinds.tolist(),
            (_numbers(words, body, segment) & 0xFFFF).tolist(),
            _numbers(words, body, offset).tolist(),
            sizes.tolist(),
            texts,
            _numbers(words, body, flags).tolist(),
            targets,
            _scopes(kinds, rows, _numbers(words, body, end), texts),
        )
    )


def _numbers(words: U16, body: I64, at: I64) -> I64:
    """32-bit numbers ``at`` bytes into the records, 0 where ``at`` is -1."""
    first = body + np.maximum(at, 0) // 2
    # The second half of a 16-bit field at the very end of the stream is masked away by the caller.
    second = np.minimum(first + 1, len(words) - 1)
    values = words[first].astype(np.int64) | words[second].astype(np.int64) << 16
    return np.where(at < 0, 0, values)


def _targets(words: U16, kinds: U16, body: I64) -> list[tuple[int, int]]:
    """Segment and offset that each trampoline jumps to, (0, 0) for other records."""
    offset, segment = (np.where(kinds == S_TRAMPOLINE, at, -1) for at in _TRAMPOLINE_TARGET)
    segments = _numbers(words, body, segment) & 0xFFFF
    return list(zip(segments.tolist(), _numbers(words, body, offset).tolist(), strict=True))


def _scopes(kinds: U16, rows: I64, ends: I64, names: list[str]) -> Iterable[str]:
    """The procedure around each variable, "" for other records and outside of procedures. A procedure tells
    where in the stream its scope ends; procedures do not nest."""
    begins = np.flatnonzero(np.isin(kinds, PROCEDURES))
    if not len(begins):
        return repeat("")
    owner = np.searchsorted(rows[begins], rows, side="right") - 1
    around = begins[np.maximum(owner, 0)]
    inside = (owner >= 0) & np.isin(kinds, (S_LDATA32, S_GDATA32)) & (2 * rows < ends[around])
    return [names[row] if held else "" for row, held in zip(around.tolist(), inside.tolist(), strict=True)]


def _names(data: bytes, rows: I64, lengths: I64, at: I64, place: str) -> list[str]:
    """The names that begin ``at`` bytes into the records, "" where ``at`` is -1."""
    begins = np.where(at < 0, -1, 2 * rows + 4 + at).tolist()
    ends = (2 * rows + 4 + lengths).tolist()
    names: list[str] = []
    for begin, end in zip(begins, ends, strict=True):
        stop = data.find(b"\0", begin, end) if begin >= 0 else begin
        if stop < 0 <= begin:
            at_word = int(rows[len(names)])
            raise _too_short(
                int.from_bytes(data[2 * at_word + 2 : 2 * at_word + 4], "little"), at_word, place
            )
        names.append(printable(data[begin:stop]) if begin >= 0 else "")
    return names


def _too_short(kind: int, at: int, place: str) -> HpbuildError:
    return HpbuildError(PDB_STREAM_MALFORMED, place, f"record of kind {kind:#06x} at {2 * at} is too short")
