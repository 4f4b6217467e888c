"""Layouts of the user-defined types of a PDB: what an object of each looks like in memory."""

import struct
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from hpbuild.codes.pe_identity import PDB_STREAM_MALFORMED
from hpbuild.errors import HpbuildError
from hpbuild.pe.pdb import type_records as leaf
from hpbuild.pe.pdb.type_records import TypeStream, Udt, Work
from hpbuild.pe.pdb.type_spelling import Speller, is_compiler_named

_KINDS = (*leaf.RECORDS, leaf.LF_UNION, leaf.LF_ENUM)


class TypeKind(StrEnum):
    """Classes and structures are one kind: compilers mix the two words."""

    RECORD = "structure"
    UNION = "union"
    ENUM = "enumeration"


class Field(NamedTuple):
    """``offset`` in bytes (the value of an enumerator, the slot's offset of a virtual method); ``type``
    spelled without type indices and without const or volatile; a bit-field's spelling has width and bit.
    Bases and virtual table pointers are fields with a name in braces."""

    name: str
    offset: int
    type: str


class TypeLayout(NamedTuple):
    """``size`` in bytes. ``fields`` sorted by offset; ``vtable`` the virtual methods that the type itself
    introduces, sorted by slot. Equal layouts: objects of one may be used as objects of the other."""

    name: str
    kind: TypeKind
    size: int
    fields: tuple[Field, ...]
    vtable: tuple[Field, ...]


def type_layouts(types: TypeStream) -> tuple[TypeLayout, ...]:
    """Layouts of all types that are defined in the stream and that the program's author named, sorted by
    name; distinct, but one name may have several layouts (C structures of one name in different files).

    Raises HpbuildError PDB_STREAM_MALFORMED or PDB_LIMIT.
    """
    defined = _definitions(types)
    speller = Speller(types, _by_unique_name(defined), Work.of(types))
    found = set()
    for _, record in defined:
        if not is_compiler_named(record.name):
            try:
                found.add(_layout(record, speller))
            except struct.error as error:
                raise HpbuildError(PDB_STREAM_MALFORMED, types.name, f"{record.name}: {error}") from None
    return tuple(sorted(found))


def _definitions(types: TypeStream) -> list[tuple[int, Udt]]:
    """(index, record) of every user-defined type that is not a forward reference."""
    rows = np.flatnonzero(np.isin(types.kinds, np.array(_KINDS, dtype=np.uint16)))
    defined = []
    for index in (rows + leaf.FIRST_INDEX).tolist():
        kind, body = types.body(index)
        # The flags come first: most records of a large program are forward references.
        if len(body) >= 4 and int.from_bytes(body[2:4], "little") & leaf.FORWARD:
            continue
        try:
            defined.append((index, leaf.udt(kind, body)))
        except (struct.error, ValueError) as error:
            raise HpbuildError(PDB_STREAM_MALFORMED, types.name, f"type {index:#x}: {error}") from None
    return defined


def _by_unique_name(defined: list[tuple[int, Udt]]) -> dict[bytes, int]:
    return {record.unique_name: index for index, record in defined if record.unique_name}


def _layout(record: Udt, speller: Speller) -> TypeLayout:
    fields, slots = speller.fields(record)
    kind = TypeKind.RECORD
    size = record.size
    if record.kind == leaf.LF_UNION:
        kind = TypeKind.UNION
    elif record.kind == leaf.LF_ENUM:
        kind, size = TypeKind.ENUM, speller.width(record.base)
    return TypeLayout(
        name=record.name,
        kind=kind,
        size=size,
        fields=tuple(Field(*row) for row in fields),
        vtable=tuple(Field(*row) for row in slots),
    )
