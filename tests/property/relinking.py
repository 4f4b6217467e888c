"""The same image with its functions in another order, as another run of the linker could have laid them out.

Everything that names a moved address is written anew: branches, RIP-relative operands and image-relative
displacements in code, jump tables, pointers, exception data, the exception directory, exports, guard tables,
base relocations, the entry point. What names an address is the engine's own knowledge (``hpbuild.code``);
that the result means the same is checked by decoding it with capstone (``same_operands``).
"""

import struct
from bisect import bisect_right
from dataclasses import dataclass, replace
from random import Random

import capstone
import numpy as np

from hpbuild.code.decode import RefKind
from hpbuild.code.model import FieldForm, Program
from hpbuild.code.program import load_program
from hpbuild.pe.exports import exports
from hpbuild.pe.load_config import load_config
from hpbuild.pe.reader import parse_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.symbols import SymbolKind, Symbols
from hpbuild.values import Rva

_EXPORT, _EXCEPTION, _RELOCATION = 0, 3, 5
_EXPORT_ADDRESSES = 28
_ENTRY_POINT = 16
TRIES = 10


class CannotRelinkError(Exception):
    """The image has something that cannot be moved."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A run of code that stays in one piece, RVAs. In one that is ``glued`` the engine finds the functions by
    their alignment too, for nothing names them."""

    start: int
    end: int
    glued: bool = False

    @property
    def alignment(self) -> int:
        """As the compiler aligned it, 16 bytes at most."""
        return min(self.start & -self.start, 16)


@dataclass(frozen=True, slots=True)
class Moves:
    """Where each unit goes; ``starts`` ascending, in step with ``units`` and ``places``."""

    units: tuple[Unit, ...]
    places: tuple[int, ...]
    starts: tuple[int, ...]

    def __call__(self, rva: int) -> int:
        """The new address of ``rva``."""
        index = bisect_right(self.starts, rva) - 1
        if index < 0 or rva >= self.units[index].end:
            return rva
        return self.places[index] + rva - self.units[index].start

    def behind(self, rva: int) -> int:
        """The new address of the end of a run: it goes with the byte before it."""
        return self(rva - 1) + 1

    @property
    def moved(self) -> int:
        """How many units lie elsewhere now."""
        return sum(unit.start != place for unit, place in zip(self.units, self.places, strict=True))


def relinked(program: Program, random: Random) -> tuple[Program, Moves]:
    """The program in another order of functions, analysed anew; its symbols move along.

    Raises CannotRelinkError.
    """
    moves = _shuffled(program, units(program), random)
    copy = _Copy(program, moves)
    copy.sizes()
    copy.code()
    copy.references()
    copy.fields()
    copy.tables()
    copy.relocations()
    symbols = tuple(
        sorted(
            (
                replace(item, rva=Rva(moves(item.rva))) if item.kind is SymbolKind.FUNCTION else item
                for item in program.symbols.items
            ),
            key=lambda item: item.rva,
        )
    )
    image = parse_image(bytes(copy.data), program.image.name)
    return load_program(image, Symbols(source=program.symbols.source, items=symbols)), moves


def units(program: Program) -> tuple[Unit, ...]:
    """Runs of code that must stay together: code that runs on into the next, the parts of a function that lie
    side by side, rows of the exception directory, short branches, and what only its neighbours tell of."""
    fragments, references = program.fragments, program.references
    start, end = fragments.start.tolist(), fragments.end.tolist()
    spans = list(zip(start, end, strict=True))
    root = fragments.root.tolist()
    for row in range(len(start) - 1):
        if fragments.falls_through[row] or fragments.opaque[row + 1] or root[row] == root[row + 1]:
            spans.append((start[row], end[row + 1]))
    for site, target, width in zip(
        references.site.tolist(), references.target.tolist(), references.width.tolist(), strict=True
    ):
        if width == 1:
            spans.append((min(site, target), max(site, target) + 1))
    spans += [(begin, stop) for begin, stop, _ in _rows(program)]
    glued, others = _neighbours(program)
    spans += glued + others
    merged: list[list[int]] = []
    for low, high in sorted(spans):
        if merged and low < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    return tuple(
        Unit(low, high, glued=any(low <= begin < high for begin, _ in glued)) for low, high in merged
    )


def _neighbours(program: Program) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Spans of functions that nothing names with their neighbours; and those of tables that are no fragments
    with the code before, and of functions with a byte of filler: it tells where the next one begins."""
    fragments = program.fragments
    start, end = fragments.start.tolist(), fragments.end.tolist()
    told, filler = _told(program), set(program.padding[:, 0].tolist())
    glued, others = [], []
    for row, stop in enumerate(end):
        last = row + 1 == len(start)
        following = stop if last else start[row + 1]
        if program.image.section_at(start[row]) is not program.image.section_at(following):
            continue
        if not last and (start[row] not in told or following not in told):
            glued.append((start[row], end[row + 1]))
        elif stop in filler:
            others.append((start[row], stop + 1))
        else:
            others.append((start[row], following))
    return glued, others


def _told(program: Program) -> set[int]:
    """Addresses that begin a function whatever lies before: code, relocated pointers, unwind records, names
    or the exception directory say so."""
    fields, records = program.fields, program.exceptions.records
    sure = fields.form == FieldForm.ADDR64
    for start, size in records:
        sure[np.searchsorted(fields.site, start) : np.searchsorted(fields.site, start + size)] = True
    references, fragments = program.references, program.fragments
    # A jump of a function without unwind data may be one of its own, over what lies between.
    leaf = (references.kind == RefKind.BRANCH) & (fragments.unwind[references.fragment] == 0)
    told = {*references.target[~leaf].tolist(), *fields.target[sure].tolist(), program.image.entry_point}
    told |= {int(program.fragments.start[row]) for row in program.names}
    return told | {begin for begin, _, _ in _rows(program)}


def _rows(program: Program) -> list[tuple[int, int, int]]:
    run = program.image.directories[_EXCEPTION]
    return [row for row in struct.iter_unpack("<III", program.image.read(run.start, len(run))) if any(row)]


def _shuffled(program: Program, whole: tuple[Unit, ...], random: Random) -> Moves:
    """New places: within each stretch of code between loader structures, in any order that fits. What the
    compiler aligned to 16 bytes comes first, so that there are no more gaps than before."""
    places: dict[int, int] = {}
    for stretch, stop in _stretches(program, whole):
        for _ in range(TRIES):
            order = sorted(random.sample(stretch, len(stretch)), key=lambda unit: -unit.alignment)
            at, found = stretch[0].start, dict[int, int]()
            for unit in order:
                step = 16 if unit.glued else unit.alignment
                at += (unit.start - at) % step
                found[unit.start] = at
                at += unit.end - unit.start
            if at <= stop:
                places.update(found)
                break
        else:
            places.update(_exchanged(stretch, random))
    ordered = tuple(sorted(whole, key=lambda unit: unit.start))
    return Moves(
        units=ordered,
        places=tuple(places[unit.start] for unit in ordered),
        starts=tuple(unit.start for unit in ordered),
    )


def _exchanged(stretch: list[Unit], random: Random) -> dict[int, int]:
    """Units of the same size and alignment in each other's places: that fits always."""
    sizes: dict[tuple[int, int], list[int]] = {}
    for unit in stretch:
        sizes.setdefault((unit.end - unit.start, unit.start % 16), []).append(unit.start)
    return {
        start: place
        for starts in sizes.values()
        for start, place in zip(starts, random.sample(starts, len(starts)), strict=True)
    }


def _stretches(program: Program, whole: tuple[Unit, ...]) -> list[tuple[list[Unit], int]]:
    """Units between which nothing else lies than filler, with the address that they must not pass."""
    barriers = sorted((start, end) for _, start, end in program.metadata)
    found: list[tuple[list[Unit], int]] = []
    for section in program.image.sections:
        if not section.executable:
            continue
        limit = section.rva + section.raw_size  # to where it can grow
        mine = [unit for unit in whole if section.rva <= unit.start < limit]
        stops = [start for start, _ in barriers if section.rva <= start < limit]
        for low, high in zip([section.rva, *stops], [*stops, limit], strict=True):
            group = [unit for unit in mine if low <= unit.start < high]
            if group:
                found.append((group, high))
    return found


class _Copy:
    """The file being rewritten."""

    def __init__(self, program: Program, moves: Moves) -> None:
        self.program, self.moves = program, moves
        self.image = program.image
        self.data = bytearray(program.image.data.whole())

    def put(self, rva: int, form: str, *values: int) -> None:
        size = struct.calcsize(form)
        section = next(
            (s for s in self.image.sections if s.rva <= rva and rva + size <= s.rva + s.raw_size), None
        )
        if section is None:
            raise CannotRelinkError(f"{rva:#x} is not in the file")
        struct.pack_into(form, self.data, section.raw_offset + rva - section.rva, *values)

    def sizes(self) -> None:
        """Sections of code as long as they are in the file, at least."""
        (header,) = struct.unpack_from("<I", self.data, 0x3C)
        (optional,) = struct.unpack_from("<H", self.data, header + 20)
        for number, section in enumerate(self.image.sections):
            if section.executable and section.virtual_size < section.raw_size:
                struct.pack_into("<I", self.data, header + 24 + optional + 40 * number + 8, section.raw_size)

    def code(self) -> None:
        """int3 everywhere between the first unit and the last, then the units at their places."""
        for group, stop in _stretches(self.program, self.moves.units):
            low, high = group[0].start, max(stop, group[-1].end)
            self.put(low, f"{high - low}s", b"\xcc" * (high - low))  # type: ignore[arg-type]
        for unit, place in zip(self.moves.units, self.moves.places, strict=True):
            size = unit.end - unit.start
            self.put(place, f"{size}s", self.image.read(unit.start, size))  # type: ignore[arg-type]
            if unit.end - 1 in self.program.padding[:, 0]:  # perhaps the first byte of a long nop
                self.put(place + size - 1, "B", 0xCC)

    def references(self) -> None:
        table = self.program.references
        columns = (table.site, table.target, table.kind, table.width, table.trailing)
        for site, target, kind, width, trailing in zip(*(column.tolist() for column in columns), strict=True):
            place, goal = self.moves(site), self.moves(target)
            if width == 1:
                continue  # both ends are in one unit
            if kind == RefKind.ABSOLUTE:
                self.put(place, "<Q", self.image.image_base + goal)
            elif kind == RefKind.IMAGE_BASE:
                section = self.image.section_at(target)
                own = section is not None and section.executable
                # A table in code is its function's own; the operand may name a place before it.
                self.put(place, "<I", target + place - site if own else goal)
            else:
                self.put(place, "<i", goal - (place + 4 + trailing))

    def fields(self) -> None:
        table = self.program.fields
        columns = (table.site, table.target, table.form, table.origin)
        for site, target, form, origin in zip(*(column.tolist() for column in columns), strict=True):
            place, goal = self.moves(site), self.moves(target)
            if form == FieldForm.ADDR64:
                if target >= 0:  # else it leads out of the image
                    self.put(place, "<Q", self.image.image_base + goal)
            elif form == FieldForm.TABLE32:
                self.put(place, "<i", goal - self.moves(origin))
            elif form == FieldForm.END32NB:
                self.put(place, "<I", self.moves.behind(target))
            else:
                self.put(place, "<I", goal)

    def tables(self) -> None:
        """The exception directory, exports, guard tables, the entry point."""
        rows = sorted(
            (self.moves(begin), self.moves.behind(end), record) for begin, end, record in _rows(self.program)
        )
        for number, row in enumerate(rows):
            self.put(self.image.directories[_EXCEPTION].start + 12 * number, "<III", *row)
        run = self.image.directories[_EXPORT]
        if len(run):
            addresses = self.image.u32(run.start + _EXPORT_ADDRESSES)
            base = self.image.u32(run.start + 16)
            for item in exports(self.image):
                if not item.forwarder:
                    self.put(addresses + 4 * (item.ordinal - base), "<I", self.moves(int(item.rva)))
        self._guard_tables()
        (header,) = struct.unpack_from("<I", self.data, 0x3C)
        struct.pack_into("<I", self.data, header + 24 + _ENTRY_POINT, self.moves(self.image.entry_point))

    def _guard_tables(self) -> None:
        config = load_config(self.image)
        if config is None:
            return
        for targets, extent in (
            (config.guard_functions, config.guard_functions_table),
            (config.guard_iat, config.guard_iat_table),
            (config.guard_longjump, config.guard_longjump_table),
            (config.guard_eh_cont, config.guard_eh_cont_table),
        ):
            if not len(targets):
                continue
            stride = len(extent) // len(targets)
            tails = [self.image.read(extent.start + stride * n + 4, stride - 4) for n in range(len(targets))]
            moved = sorted(zip((self.moves(rva) for rva in targets.tolist()), tails, strict=True))
            for number, (rva, tail) in enumerate(moved):
                place = extent.start + stride * number
                self.put(place, f"<I{len(tail)}s", rva, tail)  # type: ignore[arg-type]

    def relocations(self) -> None:
        """Base relocations of fields that moved with their code."""
        sites = relocation_sites(self.image).tolist()
        moved = sorted(self.moves(site) for site in sites)
        if moved == sites:
            return
        blocks = b""
        for page in sorted({site & ~0xFFF for site in moved}):
            entries = [0xA000 | site & 0xFFF for site in moved if site & ~0xFFF == page]
            entries += [0] * (len(entries) % 2)
            blocks += struct.pack("<II", page, 8 + 2 * len(entries)) + struct.pack(
                f"<{len(entries)}H", *entries
            )
        run = self.image.directories[_RELOCATION]
        if len(blocks) > len(run):
            raise CannotRelinkError("the base relocations grow")
        rest = len(run) - len(blocks)
        # The directory keeps its size: a block that relocates nothing (type 0) fills the end.
        blocks += struct.pack("<II", 0x1000, rest) + bytes(rest - 8) if rest >= 8 else b""
        self.put(run.start, f"{len(blocks)}s", blocks)  # type: ignore[arg-type]


def same_operands(old: Program, new: Program, moves: Moves) -> list[str]:
    """Every instruction of every unit, decoded by capstone in both places: the text is the same but for
    addresses, and each address that it names is the moved one. Gives what is not."""
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.detail = True
    wrong = []
    opaque = old.fragments.opaque.tolist()
    for start, end, data in zip(
        old.fragments.start.tolist(), old.fragments.end.tolist(), opaque, strict=True
    ):
        if data:
            continue
        place = moves(start)
        before = engine.disasm(old.image.read(start, end - start), start)
        after = engine.disasm(new.image.read(place, end - start), place)
        for one, other in zip(before, after, strict=True):
            named, now = _named(one), _named(other)
            if one.mnemonic != other.mnemonic or (-1 if named < 0 else moves(named)) != now:
                wrong.append(f"{one.address:#x} {one.mnemonic} {one.op_str}: {other.mnemonic} {other.op_str}")
    return wrong


def _named(insn: capstone.CsInsn) -> int:
    """The address that an instruction names, -1 for none."""
    for operand in insn.operands:
        if operand.type == capstone.x86.X86_OP_MEM and operand.mem.base == capstone.x86.X86_REG_RIP:
            return int(insn.address + insn.size + operand.mem.disp)
        branch = insn.group(capstone.CS_GRP_JUMP) or insn.group(capstone.CS_GRP_CALL)
        if operand.type == capstone.x86.X86_OP_IMM and branch:
            return int(operand.imm)
    return -1
