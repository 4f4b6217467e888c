"""What lies where in an image, read without ``hpbuild.match``: instructions by capstone's text, references by
their operands, base relocations and symbols by the tables themselves.

Only the extents of functions, and which bytes are fields, are the engine's own (``hpbuild.code``).
"""

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property, lru_cache

import capstone
import numpy as np

from hpbuild.code.decode import RefKind
from hpbuild.code.model import FieldForm, Program
from hpbuild.match.functions import groups
from hpbuild.pe.image import Section
from hpbuild.pe.symbols import SymbolKind, Symbols
from tests.property.specimens import Specimen

_RIP = re.compile(r"(?:(\w+) ptr )?\[rip ([+-]) (0x[0-9a-f]+|\d+)\]")
_BASED = re.compile(r"\[(?:rbp \+ r\w+(?:\*\d)?|r(?!sp|bp|ip)[^\]]*) \+ (0x[0-9a-f]+)\]")
_SIZES = {
    "byte": 1, "word": 2, "dword": 4, "fword": 6, "qword": 8, "xword": 10, "xmmword": 16, "ymmword": 32,
    "zmmword": 64,
}  # fmt: skip
_LOADED = re.compile(r"e\w\w, (?:0x[0-9a-f]+|\d+)|r\d+d, (?:0x[0-9a-f]+|\d+)")
_COMPILER = re.compile(rb"\0GCC: \([^\0]*\0+")
_LETTERS = b"\t\n\r" + bytes(range(0x20, 0x7F))
OF_ANY_ALPHABET = b"\t\n\r" + bytes(range(0x20, 0x100))
_PRINTABLE = re.compile(rb"[\t\n\r -~]{4,}\0")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction of the function that begins at ``owner``."""

    owner: int
    rva: int
    size: int
    mnemonic: str
    operands: str


@dataclass(frozen=True, slots=True)
class Named:
    """Code of the function at ``owner`` names ``target`` and touches ``size`` bytes there, 0 when it takes
    the address only."""

    owner: int
    target: int
    size: int


class Terrain:
    """One program, with what laws need to know about it. Functions are told by the RVA of their entry."""

    def __init__(self, program: Program, symbols: Symbols) -> None:
        self.program, self.symbols = program, symbols
        self.image = program.image
        start, end = program.fragments.start.tolist(), program.fragments.end.tolist()
        self.ranges = {
            start[root]: tuple((start[member], end[member]) for member in members)
            for root, members in groups(program).items()
        }
        self._starts = sorted((low, high, entry) for entry, runs in self.ranges.items() for low, high in runs)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Every instruction, in order of functions."""
        engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        return tuple(
            Step(entry, *row)
            for entry, runs in self.ranges.items()
            for low, high in runs
            for row in engine.disasm_lite(self.image.read(low, high - low), low)
        )

    @cached_property
    def named(self) -> tuple[Named, ...]:
        """Every RIP-relative operand, ascending by target; and, in functions that take the image base, every
        displacement that is an RVA of data."""
        found, based = [], set[int]()
        for step in self.steps:
            match = _RIP.search(step.operands)
            if match:
                distance = int(match[3], 0) * (1 if match[2] == "+" else -1)
                size = 0 if step.mnemonic == "lea" else _SIZES.get(match[1] or "", 1)
                found.append(Named(step.owner, step.rva + step.size + distance, size))
                if not found[-1].target:
                    based.add(step.owner)
        for step in self.steps:
            match = _BASED.search(step.operands) if step.owner in based else None
            if match and self._in_data(int(match[1], 0)):
                found.append(Named(step.owner, int(match[1], 0), 0))
        return tuple(sorted(found, key=lambda item: item.target))

    def _in_data(self, rva: int) -> bool:
        section = self.image.section_at(rva)
        return section is not None and not section.executable

    def naming(self, low: int, high: int) -> list[Named]:
        """Operands that name an address in ``[low, high)``."""
        first = bisect_left(self.named, low, key=lambda item: item.target)
        return list(self.named[first : bisect_left(self.named, high, key=lambda item: item.target)])

    def owner(self, rva: int) -> int:
        """Entry of the function whose code holds ``rva``, -1 when none does."""
        index = bisect_right(self._starts, (rva, 1 << 40, 0)) - 1
        return self._starts[index][2] if index >= 0 and rva < self._starts[index][1] else -1

    @cached_property
    def fixed_bytes(self) -> frozenset[int]:
        """RVAs of all bytes that belong to a reference of code or to a field of data."""
        references, fields = self.program.references, self.program.fields
        widths = np.where(fields.form == FieldForm.ADDR64, 8, 4)
        rows = zip(
            np.concatenate([references.site, fields.site]).tolist(),
            np.concatenate([references.width, widths]).tolist(),
            strict=True,
        )
        return frozenset(site + n for site, width in rows for n in range(width))

    @cached_property
    def claimed(self) -> tuple[tuple[int, int], ...]:
        """Runs of loader structures, unwind records and names of compilers, ascending."""
        runs = [(start, end) for _, start, end in self.program.metadata]
        runs += [(start, start + size) for start, size in self.program.exceptions.records]
        for section in self.sections(writable=False):
            content = self.image.read(section.rva, min(section.raw_size, section.virtual_size))
            runs += [
                (section.rva + item.start(), section.rva + item.end()) for item in _COMPILER.finditer(content)
            ]
        return tuple(sorted(runs))

    def is_claimed(self, rva: int) -> bool:
        """Whether ``rva`` belongs to a loader structure or an unwind record."""
        return any(start <= rva < end for start, end in self.claimed)

    @cached_property
    def anchors(self) -> tuple[int, ...]:
        """Addresses that code or data names, ascending and distinct."""
        found = {item.target for item in self.named} | set(self.program.fields.target.tolist())
        found.update(self.program.fields.origin.tolist())
        found.update(symbol.rva for symbol in self.symbols.items if symbol.kind is SymbolKind.DATA)
        return tuple(sorted(found))

    def anchor(self, rva: int) -> int:
        """The last named address at or before ``rva``, -1 when there is none or when a loader structure lies
        between."""
        index = bisect_right(self.anchors, rva) - 1
        anchor = self.anchors[index] if index >= 0 else -1
        return -1 if any(anchor < end <= rva for _, end in self.claimed) else anchor

    def indexing(self, rva: int) -> frozenset[int]:
        """Functions that name anything from the last address at or before ``rva`` that code takes or data
        names, up to the next one: all that is only read there may be elements of one array."""
        index = bisect_right(self._taken, rva) - 1
        start = self._taken[index] if index >= 0 else rva
        end = self._taken[index + 1] if index + 1 < len(self._taken) else self.image.size_of_image
        return self._leading([(start, end)])

    @cached_property
    def _taken(self) -> list[int]:
        taken = {item.target for item in self.named if not item.size}
        return sorted(taken | set(self.program.fields.target.tolist()))

    def symbol_run(self, rva: int) -> tuple[int, int]:
        """The extent of the sized data symbol that holds ``rva``; (0, 0) when none does."""
        for start, end in self._symbols:
            if start <= rva < end:
                return start, end
        return 0, 0

    @cached_property
    def _symbols(self) -> tuple[tuple[int, int], ...]:
        return tuple(
            (int(symbol.rva), int(symbol.rva) + symbol.size)
            for symbol in self.symbols.items
            if symbol.kind is SymbolKind.DATA and symbol.size
        )

    @cached_property
    def shared(self) -> tuple[tuple[int, int], ...]:
        """Extents of constants of which code names more than one place."""
        return tuple(
            (low, high)
            for low, high in self._symbols
            for section in [self.image.section_at(low)]
            if section is not None
            and not section.writable
            and not section.executable
            and high <= section.rva + section.raw_size
            and len({item.target for item in self.naming(low, high)}) > 1
        )

    def pointed(self, low: int, high: int) -> bool:
        """Whether a field of data names an address in ``[low, high)``."""
        targets = self._targets
        return bisect_left(targets, low) < bisect_left(targets, high)

    @cached_property
    def _targets(self) -> list[int]:
        return sorted(self.program.fields.target.tolist())

    def is_structure(self, rva: int) -> bool:
        """Whether the datum at ``rva`` has fields that only its own structure tells of: a changed byte
        may make it unreadable."""
        fields, index = self.program.fields, bisect_right(self.anchors, rva)
        low = self.anchors[index - 1] if index else 0
        high = self.anchors[index] if index < len(self.anchors) else self.image.size_of_image
        inside = (fields.site >= low) & (fields.site < high)
        return bool(np.any(fields.form[inside] != FieldForm.ADDR64))

    def sections(self, *, writable: bool) -> list[Section]:
        """Data sections that the file fills."""
        return [
            section
            for section in self.image.sections
            if section.writable == writable and not section.executable and section.raw_size
        ]

    @cached_property
    def texts(self) -> tuple[tuple[int, int], ...]:
        """Runs (start, end without NUL) of printable text in constants whose start code takes."""
        heads = {item.target for item in self.named if item.size == 0}
        found = []
        for section in self.sections(writable=False):
            size = min(section.raw_size, section.virtual_size)
            for match in _PRINTABLE.finditer(self.image.read(section.rva, size)):
                low, high = section.rva + match.start(), section.rva + match.end() - 1
                # Text may follow bytes that are printable by chance: it begins where code says.
                for head in sorted(heads & set(range(low, high)))[:1]:
                    found.append((head, high))
        return tuple(found)

    def entrants(self, entry: int) -> frozenset[int]:
        """The function at ``entry``, and those that name its middle or data that leads there (jump tables,
        exception data): they have to change with it."""
        runs = [(low + (low == entry), high + 1) for low, high in self.ranges[entry]]
        return self._leading(runs) | {entry}

    def _leading(self, pending: list[tuple[int, int]]) -> frozenset[int]:
        """Functions that name an address in these runs, or data that leads there."""
        found, tables = set[int](), set[int]()
        while pending:
            low, high = pending.pop()
            found.update(self._referring(low, high))
            fresh = {self.anchor(site) for site in self._holding(low, high)} - tables
            tables |= fresh
            pending += [(table, table + 1) for table in fresh]
        return frozenset(found - {-1})

    def _referring(self, low: int, high: int) -> set[int]:
        references = self.program.references
        rows = (references.target >= low) & (references.target < high)
        return {self.owner(site) for site in references.site[rows].tolist()}

    def _holding(self, low: int, high: int) -> list[int]:
        fields = self.program.fields
        sites: list[int] = fields.site[(fields.target >= low) & (fields.target < high)].tolist()
        return sites

    @cached_property
    def constants(self) -> tuple[Step, ...]:
        """``mov r32, imm32`` (opcodes B8 to BF)."""
        return tuple(
            step
            for step in self.steps
            if step.mnemonic == "mov"
            and _LOADED.fullmatch(step.operands)
            and self.image.read(step.rva + step.size - 5, 1)[0] & 0xF8 == 0xB8
        )

    def next_call(self, step: Step) -> str:
        """Name of the next function that is called behind a step of the same function, '' when unknown."""
        index = bisect_left(self.steps, step.rva, key=lambda item: item.rva)
        for following in self.steps[index:]:
            if following.owner != step.owner:
                break
            if following.mnemonic in ("call", "jmp"):
                return self._callee(following)
        return ""

    def _callee(self, step: Step) -> str:
        match = _RIP.search(step.operands)
        if match is None:
            place = int(step.operands, 16) if step.operands.startswith("0x") else -1
            if self.image.read(max(place, 0), 2) != b"\xff\x25":
                names = [item.name for item in self.symbols.items if item.rva == place]
                return names[0] if names else ""
            slot = place + 6 + int.from_bytes(self.image.read(place + 2, 4), "little", signed=True)
        else:
            slot = step.rva + step.size + int(match[3], 0) * (1 if match[2] == "+" else -1)
        return self.program.slots.get(slot, "").rpartition("!")[2]

    def code(self, entry: int) -> bytes:
        """The bytes of a function less its fields."""
        return b"".join(
            bytes(0 if rva in self.fixed_bytes else self.image.read(rva, 1)[0] for rva in range(low, high))
            for low, high in self.ranges[entry]
        )

    def known(self, entry: int) -> bool:
        """Whether the exception directory or an export tells of a function, whatever names it."""
        fragment = self.program.fragment_at(entry)
        exported = {row for row, _ in self.program.exported}
        return bool(self.program.fragments.unwind[fragment]) or fragment in exported

    def alike(self, one: int, other: int) -> bool:
        """Whether two data begin with the same bytes, up to the next address that is named."""
        ends = [self.anchors[bisect_right(self.anchors, rva) :][:1] or [rva + 1] for rva in (one, other)]
        size = min(64, ends[0][0] - one, ends[1][0] - other)
        return self.image.read(one, size) == self.image.read(other, size)

    def beginning(self, rva: int, letters: bytes = _LETTERS) -> int:
        """Where the text of these letters that holds ``rva`` begins."""
        section = self.image.section_at(rva)
        assert section is not None
        before = self.image.read(section.rva, rva - section.rva)
        return section.rva + len(before.rstrip(letters))

    def reaching(self, rva: int) -> frozenset[int]:
        """Functions that read the byte at ``rva``: they touch it by what they name, or name any place of the
        symbol that holds it; when none does, they name the last address before it, unless the symbol there
        ends before ``rva``: then the byte is filler."""
        anchor, (low, high) = self.anchor(rva), self.symbol_run(rva)
        wide = self.naming(rva - max(_SIZES.values()) + 1, rva + 1)
        found = {item.owner for item in wide if item.target + item.size > rva}
        if high or not self.symbol_run(anchor)[1]:
            found |= {item.owner for item in self.naming(min(low or anchor, anchor), max(high, anchor + 1))}
        return frozenset(found)

    def filler(self) -> list[tuple[int, int]]:
        """Runs of int3 in code."""
        return [
            (low, high)
            for low, high in self.program.padding.tolist()
            if not self.image.read(low, high - low).strip(b"\xcc")
        ]

    def targets(self, kinds: frozenset[RefKind]) -> list[int]:
        """Rows of references of these kinds in a field of four bytes."""
        references = self.program.references
        return np.flatnonzero(np.isin(references.kind, sorted(kinds)) & (references.width == 4)).tolist()


@lru_cache(maxsize=2)
def terrain(specimen: Specimen) -> Terrain:
    """The terrain of a specimen, kept for the next draw. Its symbols tell extents even when they are kept
    from the engine."""
    with_symbols = Specimen(specimen.name, specimen.path, "auto").program()
    return Terrain(specimen.program(), with_symbols.symbols)
