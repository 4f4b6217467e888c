"""Spelling a type: a text that depends on what the type is, not on its index in one PDB."""

import hashlib
import re
import struct

from hpbuild.codes.pe_identity import PDB_STREAM_MALFORMED
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.pe.pdb import type_records as leaf
from hpbuild.pe.pdb.type_records import Member, TypeStream, Udt, Work

MAX_TEXT = 1024
"""Longer spellings are cut and end in a digest of the whole, so that they stay comparable."""
MAX_DEPTH = 64

_CHARACTERS = 64
"""Of lists of arguments that count like one byte of a list of members; names of types are long."""

_SIMPLE = {
    0x00: "none", 0x03: "void", 0x08: "HRESULT", 0x10: "signed char", 0x11: "short", 0x12: "long",
    0x13: "long long", 0x14: "int128", 0x20: "unsigned char", 0x21: "unsigned short", 0x22: "unsigned long",
    0x23: "unsigned long long", 0x24: "unsigned int128", 0x30: "bool", 0x31: "bool16", 0x32: "bool32",
    0x33: "bool64", 0x40: "float", 0x41: "double", 0x42: "long double", 0x43: "float128", 0x46: "half",
    0x50: "complex float", 0x51: "complex double", 0x68: "int8", 0x69: "unsigned int8", 0x70: "char",
    0x71: "wchar_t", 0x72: "short", 0x73: "unsigned short", 0x74: "int", 0x75: "unsigned",
    0x76: "long long", 0x77: "unsigned long long", 0x78: "int128", 0x79: "unsigned int128",
    0x7A: "char16_t", 0x7B: "char32_t", 0x7C: "char8_t",
}  # fmt: skip
_MARKS = {0: "*", 1: "&", 4: "&&"}
_KEYWORDS = {leaf.LF_UNION: "union", leaf.LF_ENUM: "enum"}
_COMPILER_NAMED = re.compile(r"<unnamed|<anonymous|__unnamed|<lambda|lambda at |\$_\d|'lambda|^$|^<.*>$")
_NUMBERED = re.compile(r"<lambda_\w+>|'lambda\d*'|\$_\d+")
"""Closures are numbered, or named by a hash of where they stand: another number is not another type."""
_DELETING_DESTRUCTOR = "__vecDelDtor"
"""Microsoft's compiler makes it where it is needed and calls it introducing; its slot is the destructor's."""


def is_compiler_named(name: str) -> bool:
    """True for a type whose name the compiler made up: anonymous ones, closures and what lies in them."""
    return bool(_COMPILER_NAMED.search(name))


@dataclass(frozen=True, slots=True)
class Speller:
    """Spells the types of one stream; ``complete`` gives the index of an anonymous type by its unique name,
    ``texts`` remembers what is done."""

    types: TypeStream
    complete: dict[bytes, int]
    work: Work
    texts: dict[int, str] = field(default_factory=dict)

    def text(self, index: int, depth: int = 0) -> str:
        """The spelling of type ``index``. Qualifiers (const, volatile) are left out: they do not change how
        an object lies in memory. Raises HpbuildError PDB_STREAM_MALFORMED or PDB_LIMIT."""
        if index < leaf.FIRST_INDEX:
            return _simple(index)
        known = self.texts.get(index)
        if known is not None:
            return known
        if depth > MAX_DEPTH:
            raise HpbuildError(PDB_STREAM_MALFORMED, self.types.name, f"type {index:#x} is nested too deeply")
        # What a cycle meets; only damaged streams have cycles that pass no name.
        self.texts[index] = "..."
        kind, body = self.types.body(index)
        try:
            text = self._record(kind, body, depth + 1)
        except (struct.error, ValueError) as error:
            raise _damaged(self.types, index, error) from None
        if len(text) > MAX_TEXT:
            text = f"{text[: MAX_TEXT // 4]}... #{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self.texts[index] = text
        return text

    def _record(self, kind: int, body: bytes, depth: int) -> str:
        if kind == leaf.LF_MODIFIER:
            return self.text(struct.unpack_from("<I", body)[0], depth)
        if kind == leaf.LF_POINTER:
            return self._pointer(body, depth)
        if kind == leaf.LF_ARRAY:
            element, _ = struct.unpack_from("<II", body)
            size, _ = leaf.number(body, 8)
            return self._array(element, size, depth)
        if kind == leaf.LF_BITFIELD:
            base, length, position = struct.unpack_from("<IBB", body)
            return f"{self.text(base, depth)} : {length} at bit {position}"
        if kind == leaf.LF_PROCEDURE:
            result, arguments = struct.unpack_from("<I4xI", body)
            return f"{self.text(result, depth)} ({self._arguments(arguments, depth)})"
        if kind == leaf.LF_MFUNCTION:
            result, owner, arguments = struct.unpack_from("<II8xI", body)
            return (
                f"{self.text(result, depth)} {self.text(owner, depth)}::({self._arguments(arguments, depth)})"
            )
        if kind == leaf.LF_VTSHAPE:
            return f"{struct.unpack_from('<H', body)[0]} slots"
        if kind == leaf.LF_ALIAS:
            return self.text(struct.unpack_from("<I", body)[0], depth)
        if kind in leaf.RECORDS or kind in (leaf.LF_UNION, leaf.LF_ENUM):
            return self._udt(leaf.udt(kind, body), depth)
        return f"type of kind {kind:#06x}"

    def _pointer(self, body: bytes, depth: int) -> str:
        target, attributes = struct.unpack_from("<II", body)
        mode = attributes >> 5 & 7
        if mode in (2, 3):
            (owner,) = struct.unpack_from("<I", body, 8)
            return (
                f"{self.text(target, depth)} {self.text(owner, depth)}::* of {attributes >> 13 & 0x3F} bytes"
            )
        return self.text(target, depth) + _MARKS.get(mode, "*")

    def _array(self, element: int, size: int, depth: int) -> str:
        text = self.text(element, depth)
        width = self.width(element)
        return f"{text}[{size // width}]" if width and size % width == 0 else f"{text}[{size} bytes]"

    def width(self, index: int) -> int:
        """Bytes of a pointer or of a character or number, 0 for other types."""
        kind, body = self.types.body(index)
        for _ in range(MAX_DEPTH):
            if kind != leaf.LF_MODIFIER:
                break
            (index,) = struct.unpack_from("<I", body)
            kind, body = self.types.body(index)
        if kind == leaf.LF_POINTER:
            return int(struct.unpack_from("<I", body, 4)[0]) >> 13 & 0x3F
        return _WIDTHS.get(index, 0)

    def _arguments(self, index: int, depth: int) -> str:
        kind, body = self.types.body(index)
        if kind != leaf.LF_ARGLIST:
            return ""
        (count,) = struct.unpack_from("<I", body)
        if 4 * count + 4 > len(body):
            raise ValueError(f"{count} arguments in {len(body)} bytes")
        text = ", ".join(self.text(item, depth) for item in struct.unpack_from(f"<{count}I", body, 4))
        self.work.spend(len(text) // _CHARACTERS)
        return text

    def _udt(self, record: Udt, depth: int) -> str:
        if not is_compiler_named(record.name.rsplit("::", 1)[-1]):
            return _NUMBERED.sub("<lambda>", record.name)
        if record.forward:
            index = self.complete.get(record.unique_name, 0)
            return self.text(index, depth) if index else "<unnamed>"
        keyword = _KEYWORDS.get(record.kind, "struct")
        if record.kind == leaf.LF_ENUM:
            return f"{keyword} {self.text(record.base, depth)}"
        parts = (f"{name} {text} @{offset}" for name, offset, text in self.fields(record, depth)[0])
        return f"{keyword} {{{'; '.join(parts)}}} of {record.size} bytes"

    def fields(
        self, record: Udt, depth: int = 0
    ) -> tuple[list[tuple[str, int, str]], list[tuple[str, int, str]]]:
        """Sorted fields and newly introduced virtual methods of a class, structure, union or enumeration:
        (name, offset in bytes, spelling)."""
        found: list[tuple[str, int, str]] = []
        slots: list[tuple[str, int, str]] = []
        for member in leaf.members(self.types, record.fields, self.work):
            if member.kind == leaf.LF_ONEMETHOD:
                if member.name != _DELETING_DESTRUCTOR:
                    slots.append((member.name, member.offset, self._signature(member, depth)))
            else:
                found.append(self._field(member, depth))
        return sorted(found, key=_by_offset), sorted(slots, key=_by_offset)

    def _field(self, member: Member, depth: int) -> tuple[str, int, str]:
        if member.kind == leaf.LF_ENUMERATE:
            return member.name, member.offset, ""
        text = self.text(member.type, depth)
        if member.kind == leaf.LF_MEMBER:
            return member.name, member.offset, text
        if member.kind == leaf.LF_VFUNCTAB:
            return "{vfptr}", member.offset, text
        if member.kind in (leaf.LF_VBCLASS, leaf.LF_IVBCLASS):
            return f"{{virtual base {text}}}", member.offset, f"entry {member.name} of its table"
        return f"{{base {text}}}", member.offset, text

    def _signature(self, member: Member, depth: int) -> str:
        """Result and arguments of a method, without its class."""
        kind, body = self.types.body(member.type)
        if kind != leaf.LF_MFUNCTION:
            return self.text(member.type, depth)
        try:
            result, arguments = struct.unpack_from("<I12xI", body)
            return f"{self.text(result, depth)} ({self._arguments(arguments, depth)})"
        except (struct.error, ValueError) as error:
            raise _damaged(self.types, member.type, error) from None


_WIDTHS = {
    0x10: 1, 0x11: 2, 0x12: 4, 0x13: 8, 0x20: 1, 0x21: 2, 0x22: 4, 0x23: 8, 0x30: 1, 0x40: 4, 0x41: 8,
    0x68: 1, 0x69: 1, 0x70: 1, 0x71: 2, 0x72: 2, 0x73: 2, 0x74: 4, 0x75: 4, 0x76: 8, 0x77: 8, 0x7A: 2,
    0x7B: 4, 0x7C: 1,
}  # fmt: skip


def _damaged(types: TypeStream, index: int, error: Exception) -> HpbuildError:
    return HpbuildError(PDB_STREAM_MALFORMED, types.name, f"type {index:#x}: {error}")


def _by_offset(row: tuple[str, int, str]) -> tuple[int, str, str]:
    return row[1], row[2], row[0]


def _simple(index: int) -> str:
    text = _SIMPLE.get(index & 0xFF, f"type {index & 0xFF:#04x}")
    return text + "*" if index >> 8 & 0xF else text
