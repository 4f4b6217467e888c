"""Type records of a PDB: the type stream (stream 2, "TPI") cut into records, and the members of a field list.

Source of the formats: Microsoft's published `cvinfo.h` (microsoft-pdb) and the LLVM project's "CodeView Type
Records" and "The PDB TPI Stream". Simple types have indices below 0x1000; a record refers to others by index.
"""

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hpbuild.codes.pe_identity import PDB_LIMIT, PDB_STREAM_MALFORMED, PDB_UNSUPPORTED
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import printable
from hpbuild.pe.pdb.msf import Msf
from hpbuild.pe.pdb.records import record_offsets

TYPE_STREAM = 2
FIRST_INDEX = 0x1000
MAX_RECORDS = 1 << 24
MAX_MEMBERS = 1 << 20
"""Members of one type; the longest real lists are enumerations of some tens of thousands."""

LF_VTSHAPE = 0x000A
LF_MODIFIER = 0x1001
LF_POINTER = 0x1002
LF_PROCEDURE = 0x1008
LF_MFUNCTION = 0x1009
LF_ARGLIST = 0x1201
LF_FIELDLIST = 0x1203
LF_BITFIELD = 0x1205
LF_METHODLIST = 0x1206
LF_BCLASS = 0x1400
LF_VBCLASS, LF_IVBCLASS = 0x1401, 0x1402
LF_INDEX = 0x1404
LF_VFUNCTAB = 0x1409
LF_FRIENDCLS = 0x140A
LF_VFUNCOFF = 0x140C
LF_ENUMERATE = 0x1502
LF_ARRAY = 0x1503
LF_CLASS, LF_STRUCTURE, LF_UNION, LF_ENUM = 0x1504, 0x1505, 0x1506, 0x1507
LF_ALIAS = 0x150A
LF_FRIENDFCN = 0x150C
LF_MEMBER, LF_STMEMBER = 0x150D, 0x150E
LF_METHOD = 0x150F
LF_NESTTYPE = 0x1510
LF_ONEMETHOD = 0x1511
LF_NESTTYPEEX = 0x1512
LF_INTERFACE = 0x1519
LF_BINTERFACE = 0x151A
RECORDS = (LF_CLASS, LF_STRUCTURE, LF_INTERFACE)
FORWARD, HAS_UNIQUE_NAME = 0x80, 0x200

_VERSION_80 = 20040203
_HEADER = struct.Struct("<5I")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_MEMBER = struct.Struct("<2xI")
_NUMBERS = {
    0x8000: "b", 0x8001: "h", 0x8002: "H", 0x8003: "i", 0x8004: "I", 0x8009: "q", 0x800A: "Q",
}  # fmt: skip
_INTRODUCES = (4, 6)
"""Method properties "introducing virtual" and "pure introducing virtual"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeStream:
    """``data`` the records one behind the other, ``offsets`` where each begins in it, the first has index
    0x1000; ``kinds`` their leaves; ``name`` for refusals. Equal ``data`` are equal types."""

    name: str
    data: bytes
    offsets: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.uint16]

    def body(self, index: int) -> tuple[int, bytes]:
        """Leaf and bytes behind it of the record ``index``; (0, b"") for an index that is no record."""
        number = index - FIRST_INDEX
        if not 0 <= number < len(self.offsets):
            return 0, b""
        at = int(self.offsets[number])
        return int(self.kinds[number]), self.data[at + 4 : at + 2 + _U16.unpack_from(self.data, at)[0]]


@dataclass(slots=True)
class Work:
    """How much may still be read of a stream's lists: lists can be shared, and damaged streams share a long
    one ever so often."""

    name: str
    left: int

    @classmethod
    def of(cls, types: TypeStream) -> "Work":
        """Enough for every real stream, in which a list of many members belongs to one type."""
        return cls(types.name, 4 * len(types.data) + (1 << 20))

    def spend(self, size: int) -> None:
        """Count ``size`` bytes; HpbuildError PDB_LIMIT when it was too much."""
        self.left -= size
        if self.left < 0:
            raise HpbuildError(PDB_LIMIT, self.name, "lists of members are shared too often")


class Udt(NamedTuple):
    """A class, structure, union or enumeration: ``fields`` index of its field list, ``base`` the underlying
    type of an enumeration, ``shape`` index of the shape of its virtual table, 0 for none."""

    kind: int
    forward: bool
    fields: int
    base: int
    shape: int
    size: int
    name: str
    unique_name: bytes


class Member(NamedTuple):
    """One member of a field list: offset in bytes (value of an enumerator, slot of a method), type index."""

    kind: int
    name: str
    offset: int
    type: int


def read_types(msf: Msf) -> TypeStream | None:
    """The type records of a PDB, None for one without types (stripped).

    Raises HpbuildError PDB_STREAM_MALFORMED, PDB_UNSUPPORTED or PDB_LIMIT.
    """
    place = f"{msf.name}: types"
    stream = msf.stream(TYPE_STREAM)
    if not stream:
        return None
    if len(stream) < _HEADER.size:
        raise HpbuildError(PDB_STREAM_MALFORMED, place, f"{len(stream)} bytes")
    version, header, begin, end, size = _HEADER.unpack_from(stream)
    if version != _VERSION_80 or begin != FIRST_INDEX:
        raise HpbuildError(PDB_UNSUPPORTED, place, f"version {version}, first index {begin:#x}")
    if header < _HEADER.size or header + size > len(stream) or end < begin:
        raise HpbuildError(PDB_STREAM_MALFORMED, place, f"{size} bytes of records behind {header}")
    if end - begin > MAX_RECORDS:
        raise HpbuildError(PDB_LIMIT, place, f"{end - begin} records, the limit is {MAX_RECORDS}")
    data = stream[header : header + size]
    words = record_offsets(data, 0, place)
    if len(words) != end - begin:
        raise HpbuildError(
            PDB_STREAM_MALFORMED, place, f"{len(words)} records, the header says {end - begin}"
        )
    if not len(words):
        return None
    return TypeStream(
        name=place, data=data, offsets=2 * words, kinds=np.frombuffer(data, dtype="<u2")[words + 1]
    )


def udt(kind: int, body: bytes) -> Udt:
    """A user-defined type from its record; struct.error or ValueError when it is too short."""
    _, properties = struct.unpack_from("<HH", body)
    base = shape = 0
    if kind == LF_ENUM:
        base, fields = struct.unpack_from("<II", body, 4)
        size, at = 0, 12
    else:
        fields = _U32.unpack_from(body, 4)[0]
        if kind in RECORDS:
            shape = _U32.unpack_from(body, 12)[0]
        size, at = number(body, 16 if kind in RECORDS else 8)
    end = body.index(b"\0", at)
    unique = b""
    if properties & HAS_UNIQUE_NAME:
        unique = body[end + 1 : body.index(b"\0", end + 1)]
    forward = bool(properties & FORWARD)
    return Udt(kind, forward, fields, base, shape, size, printable(body[at:end]), unique)


def number(body: bytes, at: int) -> tuple[int, int]:
    """A numeric leaf: its value and the offset behind it; struct.error or ValueError for another leaf."""
    (leaf,) = _U16.unpack_from(body, at)
    if leaf < 0x8000:
        return leaf, at + 2
    layout = _NUMBERS.get(leaf)
    if layout is None:
        raise ValueError(f"numeric leaf {leaf:#06x}")
    return struct.unpack_from("<" + layout, body, at + 2)[0], at + 2 + struct.calcsize(layout)


def members(types: TypeStream, index: int, work: Work) -> list[Member]:
    """The members of the field list ``index`` and its continuations that matter for layout: data members,
    bases, virtual table pointers, enumerators and methods that introduce a virtual.

    Raises HpbuildError PDB_STREAM_MALFORMED, or PDB_LIMIT beyond MAX_MEMBERS or ``work``.
    """
    found: list[Member] = []
    seen: set[int] = set()
    while index:
        kind, body = types.body(index)
        if kind != LF_FIELDLIST or index in seen:
            raise HpbuildError(PDB_STREAM_MALFORMED, types.name, f"{index:#x} is not a list of fields")
        seen.add(index)
        try:
            index = _scan(types, body, found, work)
        except (struct.error, ValueError) as error:
            raise HpbuildError(PDB_STREAM_MALFORMED, types.name, f"field list {index:#x}: {error}") from None
        if len(found) > MAX_MEMBERS:
            raise HpbuildError(PDB_LIMIT, types.name, f"a type with more than {MAX_MEMBERS} members")
    return found


def _scan(types: TypeStream, body: bytes, found: list[Member], work: Work) -> int:
    """Add the members in ``body`` to ``found``; the index of the list that goes on, or 0."""
    work.spend(len(body))
    at, end = 0, len(body)
    while at < end:
        if body[at] >= 0xF0:
            # LF_PADn: skip n bytes, this one among them.
            at += max(1, body[at] & 15)
            continue
        (kind,) = _U16.unpack_from(body, at)
        at += 2
        if kind == LF_INDEX:
            return int(_U32.unpack_from(body, at + 2)[0])
        if kind == LF_METHOD:
            at = _methods(types, body, at, found, work)
            continue
        at = _member(kind, body, at, found)
    return 0


def _member(kind: int, body: bytes, at: int, found: list[Member]) -> int:
    """One member whose leaf ``kind`` lies before ``at``; the offset behind it."""
    if kind == LF_ENUMERATE:
        value, at = number(body, at + 2)
        end = body.index(b"\0", at)
        found.append(Member(kind, printable(body[at:end]), value, 0))
        return end + 1
    (target,) = _MEMBER.unpack_from(body, at)
    if kind == LF_MEMBER:
        offset, at = number(body, at + 6)
        end = body.index(b"\0", at)
        found.append(Member(kind, printable(body[at:end]), offset, target))
        return end + 1
    if kind == LF_ONEMETHOD:
        return _one_method(body, at, target, found)
    if kind in (LF_STMEMBER, LF_NESTTYPE, LF_NESTTYPEEX, LF_FRIENDFCN):
        return body.index(b"\0", at + 6) + 1
    if kind in (LF_BCLASS, LF_BINTERFACE):
        offset, at = number(body, at + 6)
        found.append(Member(kind, "", offset, target))
        return at
    if kind in (LF_VBCLASS, LF_IVBCLASS):
        offset, at = number(body, at + 10)
        slot, at = number(body, at)
        # The pointer to the table of virtual bases lies at ``offset``; ``slot`` is the base's place there.
        found.append(Member(kind, f"{slot}", offset, target))
        return at
    if kind == LF_VFUNCTAB:
        found.append(Member(kind, "", 0, target))
        return at + 6
    if kind == LF_VFUNCOFF:
        found.append(Member(LF_VFUNCTAB, "", int(_U32.unpack_from(body, at + 6)[0]), target))
        return at + 10
    if kind == LF_FRIENDCLS:
        return at + 6
    raise ValueError(f"member of kind {kind:#06x}")


def _methods(types: TypeStream, body: bytes, at: int, found: list[Member], work: Work) -> int:
    """The overloads of one name; the offset behind the member."""
    (target,) = _MEMBER.unpack_from(body, at)
    end = body.index(b"\0", at + 6)
    for slot, method in _introduced(types, target, work):
        found.append(Member(LF_ONEMETHOD, printable(body[at + 6 : end]), slot, method))
    return end + 1


def _one_method(body: bytes, at: int, target: int, found: list[Member]) -> int:
    (attributes,) = _U16.unpack_from(body, at)
    at += 6
    introduces = attributes >> 2 & 7 in _INTRODUCES
    slot = 0
    if introduces:
        (slot,) = _U32.unpack_from(body, at)
        at += 4
    end = body.index(b"\0", at)
    if introduces:
        found.append(Member(LF_ONEMETHOD, printable(body[at:end]), slot, target))
    return end + 1


def _introduced(types: TypeStream, index: int, work: Work) -> list[tuple[int, int]]:
    """(slot offset, type index) of the overloads in a method list that introduce a virtual."""
    kind, body = types.body(index)
    if kind != LF_METHODLIST:
        raise ValueError(f"{index:#x} is not a list of methods")
    work.spend(len(body))
    found = []
    at = 0
    while at < len(body):
        attributes, target = struct.unpack_from("<H2xI", body, at)
        at += 8
        if attributes >> 2 & 7 in _INTRODUCES:
            found.append((int(_U32.unpack_from(body, at)[0]), target))
            at += 4
    return found
