"""Which compiler made each object file: S_COMPILE2 and S_COMPILE3 records.

Source of the formats: Microsoft's published `cvinfo.h` (microsoft-pdb), COMPILESYM and COMPILESYM3.
"""

import struct
from typing import NamedTuple

from hpbuild.pe.access import printable
from hpbuild.pe.pdb.file import Pdb
from hpbuild.pe.pdb.streams import NO_STREAM

S_COMPILE2 = 0x1116
S_COMPILE3 = 0x113C
_REACH = 4096
"""Compilers write the record behind the object's name, as one of the first."""
_MAX_NAME = 256
_COMPILE2 = struct.Struct("<IH3H3H")
_COMPILE3 = struct.Struct("<IH4H4H")
LANGUAGES = {
    0: "C", 1: "C++", 2: "Fortran", 3: "MASM", 4: "Pascal", 5: "Basic", 6: "Cobol", 7: "LINK", 8: "CVTRES",
    9: "CVTPGD", 10: "C#", 16: "HLSL", 17: "Objective-C", 18: "Objective-C++", 19: "Swift", 21: "Rust",
}  # fmt: skip


class Compiler(NamedTuple):
    """``object`` the object file's name without its folder; ``language`` the source's, LINK for the linker's
    own parts; ``version`` of the code generator, dotted; ``name`` as the compiler calls itself; ``machine``
    the CodeView number of the processor (0xD0: x64)."""

    object: str
    language: str
    name: str
    version: str
    machine: int


def read_compilers(pdb: Pdb) -> tuple[Compiler, ...]:
    """One row for each object file that says who made it, in the linker's order.

    A record that is cut off or damaged is no record: nothing but a warning is decided by it. Raises nothing.
    """
    found = []
    for module in pdb.dbi.modules:
        if module.stream == NO_STREAM:
            continue
        data = pdb.msf.stream(module.stream, min(module.symbol_bytes, _REACH))
        row = _first(data, module.name)
        if row is not None:
            found.append(row)
    return tuple(found)


def _first(data: bytes, module: str) -> Compiler | None:
    at = 4
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("<HH", data, at)
        if length < 2:
            return None
        if kind in (S_COMPILE2, S_COMPILE3):
            return _compiler(kind, data[at + 4 : at + 2 + length], module)
        at += length + 2
    return None


def _compiler(kind: int, body: bytes, module: str) -> Compiler | None:
    layout = _COMPILE3 if kind == S_COMPILE3 else _COMPILE2
    name, mark, _ = body[layout.size : layout.size + _MAX_NAME].partition(b"\0")
    if len(body) < layout.size or not mark:
        return None
    flags, machine, *versions = layout.unpack_from(body)
    language = flags & 0xFF
    return Compiler(
        object=module,
        language=LANGUAGES.get(language, f"language {language}"),
        name=printable(name),
        version=".".join(str(part) for part in versions[len(versions) // 2 :]),
        machine=machine,
    )
