"""A builder of small DLLs from labelled code and data, so that a test says exactly what differs.

Code and data are given in parts: bytes, or a pair (how, label) for a field that names ``label`` (also
``label+N``): an instruction of ``_CODES``, a "pointer" with a base relocation, or an "rva" of 4 bytes. Code
lies from RVA 0x1000 on, every function at a multiple of 16 with int3 before the next.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from hpbuild.code.model import Program
from hpbuild.code.program import load_program
from hpbuild.match.comparison import Comparison, compare
from hpbuild.match.facts import describe
from hpbuild.match.model import Difference
from hpbuild.match.sides import Side, prepare
from hpbuild.pe.reader import parse_image
from hpbuild.pe.symbols import Symbol, SymbolKind, Symbols, SymbolScope
from hpbuild.values import Rva

BASE = 0x180000000
RET = b"\xc3"
NO_SYMBOLS = Symbols(source="none", items=())
_CODES = {
    "lea": b"\x48\x8d\x05",
    "lea rcx": b"\x48\x8d\x0d",
    "lea rdx": b"\x48\x8d\x15",
    "lea r8": b"\x4c\x8d\x05",
    "lea r9": b"\x4c\x8d\x0d",
    "load": b"\x8b\x05",
    "hold": b"\x48\x8b\x1d",
    "store": b"\x89\x05",
    "call": b"\xe8",
    "call through": b"\xff\x15",
    "jump": b"\xe9",
    "call slot": b"\xff\x15",
    "jump slot": b"\xff\x25",
}
_FLAGS = {".text": 0x60000020, ".rdata": 0x40000040, ".data": 0xC0000040, ".idata": 0xC0000040}
Part = bytes | tuple[str, str]


@dataclass(frozen=True)
class Item:
    """One function or datum; ``align`` in bytes."""

    label: str
    parts: tuple[Part, ...]
    align: int = 8
    exported: bool = False


def function(label: str, *parts: Part, exported: bool = True) -> Item:
    """Code, exported under its label unless told otherwise."""
    return Item(label, parts, 16, exported)


def datum(label: str, *parts: Part, align: int = 8, exported: bool = False) -> Item:
    """Data, without a name in the image unless told otherwise."""
    return Item(label, parts, align, exported)


@dataclass(frozen=True, kw_only=True)
class Dll:
    """What the sections hold, in this order. ``zeroed`` are bytes behind the data that only memory has;
    ``unwound`` are the functions with unwind data (of a function without a frame), ``split`` those with that
    of a part split off a function with a frame; ``records`` are whole unwind records by
    function; ``entry`` is the label of the entry point, ``aliases`` more exported names of labels; ``dll``
    False makes it a program;
    ``imports`` are functions of ``library.dll``, each with the slot ``import NAME``."""

    code: tuple[Item, ...]
    constants: tuple[Item, ...] = ()
    variables: tuple[Item, ...] = ()
    zeroed: int = 0
    base: int = BASE
    imports: tuple[str, ...] = ()
    unwound: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    records: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    entry: str = ""
    dll: bool = True
    aliases: Mapping[str, str] = field(default_factory=dict)

    def labels(self) -> dict[str, int]:
        """RVA of every label."""
        return _Linker(self).labels

    def file(self) -> bytes:
        """The DLL."""
        return _Linker(self).file()

    def program(self, *symbols: Symbol) -> Program:
        """The DLL analysed, with the given symbols if any."""
        known = Symbols(source="pdb", items=tuple(sorted(symbols, key=lambda item: item.rva)))
        return load_program(parse_image(self.file(), "tiny.dll"), known if symbols else NO_SYMBOLS)

    def side(self) -> Side:
        """The DLL prepared for a comparison."""
        return prepare(self.program())


def against(baseline: Dll, fixed: Dll) -> Comparison:
    """The comparison of two DLLs without symbols."""
    return compare(baseline.program(), fixed.program())


def diff(baseline: Dll, fixed: Dll) -> Difference:
    """The facts about two DLLs without symbols."""
    return describe(against(baseline, fixed))


def symbol(
    name: str, rva: int, kind: SymbolKind = SymbolKind.FUNCTION, file: str = "", size: int = 0
) -> Symbol:
    """A symbol as a PDB would tell it."""
    return Symbol(rva=Rva(rva), size=size, name=name, kind=kind, scope=SymbolScope.LOCAL, file=file)


@dataclass
class _Linker:
    dll: Dll
    labels: dict[str, int] = field(default_factory=dict)
    relocated: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.contents = [
            (".text", self.dll.code),
            (".rdata", self.dll.constants),
            (".data", self.dll.variables),
        ]
        rva = 0x1000
        self.starts: dict[str, int] = {}
        for name, items in self.contents:
            self.starts[name] = at = rva
            for item in items:
                at = (at + item.align - 1) & -item.align
                self.labels[item.label] = at
                at += sum(_size(part) for part in item.parts)
            self.labels[f"end of {name}"] = at
            rva = (max(at + (self.dll.zeroed if name == ".data" else 0), rva + 1) + 0xFFF) & ~0xFFF
        self.imports_at = rva
        for number, name in enumerate(self.dll.imports):
            self.labels[f"import {name}"] = rva + 8 * number
        self.rest = rva + (0x1000 if self.dll.imports else 0)

    def address(self, text: str) -> int:
        label, _, distance = text.partition("+")
        return self.labels[label] + int(distance or "0")

    def content(self, items: tuple[Item, ...], start: int, filler: bytes) -> bytes:
        made = bytearray()
        for item in items:
            made += filler * (self.labels[item.label] - start - len(made))
            for part in item.parts:
                made += self.part(part, start + len(made))
        return bytes(made)

    def part(self, part: Part, at: int) -> bytes:
        if isinstance(part, bytes):
            return part
        how, label = part
        if how == "pointer":
            self.relocated.append(at)
            return struct.pack("<Q", self.dll.base + self.address(label))
        if how == "rva":
            return struct.pack("<I", self.address(label))
        return _CODES[how] + struct.pack("<i", self.address(label) - at - _size(part))

    def file(self) -> bytes:
        sections = [
            (
                name,
                self.starts[name],
                self.content(items, self.starts[name], b"\xcc" if name == ".text" else b"\0"),
            )
            for name, items in self.contents
            if items or name == ".text"
        ]
        exports = self.exports(self.rest)
        directories = {0: (self.rest, len(exports))}
        if self.dll.imports:
            table, at, size = self.imports()
            sections.append((".idata", self.imports_at, table))
            directories[1] = (at, size)
        sections.append((".edata", self.rest, exports))
        rva = (self.rest + len(exports) + 0xFFF) & ~0xFFF
        if self.relocated:
            table = self.relocations()
            sections.append((".reloc", rva, table))
            directories[5] = (rva, len(table))
            rva += 0x1000
        if self.unwound:
            table = self.unwind(rva)
            sections.append((".pdata", rva, table))
            directories[3] = (rva, 12 * len(self.unwound))
            rva += 0x1000
        return self.headers(sections, directories, rva)

    @property
    def unwound(self) -> tuple[str, ...]:
        """Labels of all functions with unwind data."""
        return (*self.dll.unwound, *self.dll.split, *self.dll.records)

    def unwind(self, rva: int) -> bytes:
        """Rows of the exception directory, then one UNWIND_INFO for each: without codes, or without a prolog
        but with the code of a frame of 24 bytes, or as given."""
        items = sorted(
            (item for item in self.dll.code if item.label in self.unwound),
            key=lambda item: self.labels[item.label],
        )
        records = rva + 12 * len(items)
        rows = made = b""
        for item in items:
            start = self.labels[item.label]
            end = start + sum(_size(part) for part in item.parts)
            rows += struct.pack("<III", start, end, records + len(made))
            if item.label in self.dll.records:
                for part in self.dll.records[item.label]:
                    made += self.part(part, records + len(made))
            else:
                made += b"\1\0\1\0\0\x22\0\0" if item.label in self.dll.split else b"\1\0\0\0"
        return rows + made

    def exports(self, rva: int) -> bytes:
        items = sorted(
            [(item.label, item.label) for _, group in self.contents for item in group if item.exported]
            + list(self.dll.aliases.items())
        )
        count = len(items)
        texts, places = b"tiny.dll\0", []
        at = rva + 40 + 10 * count
        for name, _ in items:
            places.append(at + len(texts))
            texts += name.encode() + b"\0"
        return (
            struct.pack(
                "<IIHHIIIIIII",
                0,
                0,
                0,
                0,
                at,
                1,
                count,
                count,
                rva + 40,
                rva + 40 + 4 * count,
                rva + 40 + 8 * count,
            )
            + struct.pack(f"<{count}I", *(self.labels[label] for _, label in items))
            + struct.pack(f"<{count}I", *places)
            + struct.pack(f"<{count}H", *range(count))
            + texts
        )

    def imports(self) -> tuple[bytes, int, int]:
        """The section (slots, then the same again as lookup table, names, descriptors), and where in it the
        descriptors lie, with their size."""
        names, start = self.dll.imports, self.imports_at
        tables = 8 * (len(names) + 1)
        texts, places = b"library.dll\0", []
        for name in names:
            places.append(start + 2 * tables + len(texts))
            texts += b"\0\0" + name.encode() + b"\0"
        texts = texts.ljust((len(texts) + 7) & ~7, b"\0")
        table = struct.pack(f"<{len(names) + 1}Q", *places, 0)
        at = start + 2 * tables + len(texts)
        row = struct.pack("<IIIII", start + tables, 0, 0, start + 2 * tables, start)
        return table * 2 + texts + row + bytes(20), at, 40

    def relocations(self) -> bytes:
        table = b""
        for page in sorted({site & ~0xFFF for site in self.relocated}):
            entries = [0xA000 | site & 0xFFF for site in sorted(self.relocated) if site & ~0xFFF == page]
            entries += [0] * (len(entries) % 2)
            table += struct.pack("<II", page, 8 + 2 * len(entries)) + struct.pack(
                f"<{len(entries)}H", *entries
            )
        return table

    def headers(
        self, sections: list[tuple[str, int, bytes]], directories: dict[int, tuple[int, int]], end: int
    ) -> bytes:
        entries = b"".join(struct.pack("<II", *directories.get(index, (0, 0))) for index in range(16))
        coff = struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, 240, 0x2022 if self.dll.dll else 0x22)
        optional = struct.pack(
            "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
            0x20B, 14, 0, 0x200, 0, 0, self.labels.get(self.dll.entry, 0), 0x1000,
            self.dll.base, 0x1000, 0x200, 6, 0, 0, 0, 6, 0, 0,
            end, 0x400, 0, 3, 0x160, 0x100000, 0x1000, 0x100000, 0x1000, 0, 16,
        )  # fmt: skip
        header = (b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80)).ljust(0x80, b"\0")
        header += b"PE\0\0" + coff + optional + entries
        body = b""
        for name, rva, content in sections:
            raw = content.ljust((len(content) + 0x1FF) & ~0x1FF, b"\0")
            size = len(content) + (self.dll.zeroed if name == ".data" else 0)
            row = (name.encode(), size, rva, len(raw), 0x400 + len(body) if raw else 0, 0, 0, 0)
            header += struct.pack("<8sIIIIIIII", *row, _FLAGS.get(name, 0x40000040))
            body += raw
        return header.ljust(0x400, b"\0") + body


def _size(part: Part) -> int:
    if isinstance(part, bytes):
        return len(part)
    return {"pointer": 8, "rva": 4}.get(part[0]) or len(_CODES[part[0]]) + 4
