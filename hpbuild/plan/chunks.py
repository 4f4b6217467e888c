"""From the selection to chunks: bytes with fields that say what they refer to."""

from collections.abc import Iterator

from hpbuild.code.decode import RefKind
from hpbuild.code.model import FieldForm
from hpbuild.codes import plan as codes
from hpbuild.errors import Finding
from hpbuild.match.atoms import Memory
from hpbuild.match.functions import ranges
from hpbuild.pe.unwind import runtime_functions
from hpbuild.plan.model import Chunk, ChunkKind, Field, FieldKind, Target, UnwindEntry
from hpbuild.plan.objects import extent
from hpbuild.plan.resolve import Resolver
from hpbuild.values import Interval

_ABSOLUTE, _IMAGE_BASE, _CALL = int(RefKind.ABSOLUTE), int(RefKind.IMAGE_BASE), int(RefKind.CALL)
_ADDR32NB, _TABLE32, _END32NB = int(FieldForm.ADDR32NB), int(FieldForm.TABLE32), int(FieldForm.END32NB)
_CODE_KINDS = {_ABSOLUTE: FieldKind.ADDR64, _IMAGE_BASE: FieldKind.ADDR32NB}
_RELATIVE = {1: FieldKind.REL8}
"""By the field's bytes; REL32 for all others."""
_FOLLOWING = (_END32NB, _TABLE32)
_FORMS = {
    int(FieldForm.ADDR64): FieldKind.ADDR64,
    _ADDR32NB: FieldKind.ADDR32NB,
    _TABLE32: FieldKind.TABLE32,
    _END32NB: FieldKind.ADDR32NB,
}
_KINDS = {Memory.RODATA: ChunkKind.RODATA, Memory.DATA: ChunkKind.DATA, Memory.BSS: ChunkKind.BSS}
MAX_ALIGNMENT = 64


class ChunkList:
    """Chunks in the making: first every chunk gets its number, then its fields are resolved."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._side = resolver.comparison.fixed
        self._code: list[tuple[int, tuple[int, ...], Interval]] = []
        self._data: list[tuple[int, tuple[int, ...], Interval]] = []
        self._unwind: list[tuple[int, Interval]] = []
        self.function_chunks: dict[int, tuple[int, ...]] = {}
        self.object_chunk: dict[int, int] = {}

    def number(self) -> None:
        """Give every carried run of code, unwind record and object its chunk number."""
        count = 0
        selection, fragments = self._resolver.selection, self._side.program.fragments
        for root in selection.functions:
            runs = list(self._runs(root))
            self.function_chunks[root] = tuple(range(count, count + len(runs)))
            for members, run in runs:
                self._code.append((count, members, run))
                for member in members:
                    offset = int(fragments.start[member]) - run.start
                    self._resolver.fragment_chunk[member] = (count, offset)
                count += 1
        sizes = dict(self._side.program.exceptions.records)
        for rva in self._records():
            size = sizes[rva]
            self._unwind.append((count, Interval(rva, rva + size)))
            atoms = self._side.atoms
            atom = atoms.one(rva)
            while atom < len(atoms) and int(atoms.start[atom]) < rva + size:
                self._resolver.atom_chunk[atom] = (count, int(atoms.start[atom]) - rva)
                atom += 1
            count += 1
        for first, (members, _) in selection.objects.items():
            run = extent(self._side, members)
            self._data.append((count, members, run))
            self.object_chunk[first] = count
            for member in members:
                self._resolver.atom_chunk[member] = (count, int(self._side.atoms.start[member]) - run.start)
            count += 1

    def _runs(self, root: int) -> Iterator[tuple[tuple[int, ...], Interval]]:
        """Runs of adjoining fragments of a function, the entry's run first."""
        fact = self._resolver.selection.facts[root]
        ordered = sorted(zip(ranges(self._side.program, fact.fragments), fact.fragments, strict=True))
        joined: list[tuple[list[int], int, int]] = []
        for run, fragment in ordered:
            if joined and joined[-1][2] == run.start:
                joined[-1] = ([*joined[-1][0], fragment], joined[-1][1], run.end)
            else:
                joined.append(([fragment], run.start, run.end))
        entry = int(self._side.program.fragments.start[root])
        joined.sort(key=lambda item: (item[1] != entry, item[1]))
        for members, start, end in joined:
            yield tuple(members), Interval(start, end)

    def sources(self, root: int) -> tuple[Interval, ...]:
        """Ranges in the fixed image of a function's chunks, in step with them."""
        return tuple(self._code[number][2] for number in self.function_chunks[root])

    def _records(self) -> list[int]:
        """Unwind records of the carried fragments and those they are chained to, by address."""
        fragments = self._side.program.fragments
        found = {int(fragments.unwind[member]) for _, members, _ in self._code for member in members}
        found.discard(0)
        for rva in sorted(found & self._side.program.exceptions.unknown):
            finding = Finding(
                codes.EXCEPTION_DATA, f"unwind record at {rva:#x}", "its language data is not understood"
            )
            self._resolver.findings.setdefault((finding.place, ""), finding)
        begins = frozenset(runtime_functions(self._side.program.image).begin.tolist())
        for member in (member for _, members, _ in self._code for member in members):
            start, rva = int(fragments.start[member]), int(fragments.unwind[member])
            if rva and start not in begins:
                cause = f"its row of the exception directory begins before its entry at {start:#x}"
                finding = Finding(codes.EXCEPTION_DATA, self._side.program.name_of(member), cause)
                self._resolver.findings.setdefault((finding.place, cause), finding)
        known = dict(self._side.program.exceptions.records)
        return sorted(rva for rva in found if rva in known)

    def chunks(self) -> tuple[Chunk, ...]:
        """All chunks, in the order of their numbers."""
        made: dict[int, Chunk] = {}
        for number, members, run in self._code:
            name = self._side.program.name_of(members[0])
            self._check_end(members[-1], name)
            fields = tuple(self._code_fields(members, run, name))
            made[number] = self._chunk(ChunkKind.CODE, name, run, 16, fields)
        for number, run in self._unwind:
            fields = tuple(self._data_fields(run, f"unwind record at {run.start:#x}"))
            made[number] = self._chunk(ChunkKind.UNWIND, f"unwind_{run.start:x}", run, 4, fields)
        for number, members, run in self._data:
            kind = _KINDS[Memory(int(self._side.atoms.memory[members[0]]))]
            name = self._side.atoms.names.get(members[0]) or f"data_{run.start:x}"
            alignment = min(MAX_ALIGNMENT, run.start & -run.start)
            made[number] = self._chunk(kind, name, run, alignment, tuple(self._data_fields(run, name)))
        return tuple(made[number] for number in sorted(made))

    def _check_end(self, last: int, name: str) -> None:
        if self._side.program.fragments.falls_through[last]:
            cause = f"control runs on at {int(self._side.program.fragments.end[last]):#x}"
            finding = Finding(codes.RUNS_ON, name, cause)
            self._resolver.findings.setdefault((name, cause), finding)

    def _chunk(
        self, kind: ChunkKind, name: str, run: Interval, alignment: int, fields: tuple[Field, ...]
    ) -> Chunk:
        content = b"" if kind is ChunkKind.BSS else self._side.program.image.read(run.start, len(run))
        return Chunk(
            kind=kind,
            name=name,
            source=run,
            size=len(run),
            content=content,
            alignment=alignment,
            fields=fields,
        )

    def _code_fields(self, members: tuple[int, ...], run: Interval, owner: str) -> Iterator[Field]:
        side, references, resolve = self._side, self._side.program.references, self._resolver.row
        columns = (references.site, references.target, references.kind, references.width, references.trailing)
        for member in members:
            low, high = int(side.first[member]), int(side.last[member])
            mine = self._resolver.fragment_chunk[member][0]
            fields = zip(*[column[low:high].tolist() for column in columns], strict=True)
            for row, (site, rva, kind, width, trailing) in enumerate(fields, low):
                if kind == _IMAGE_BASE and side.targets.code[row] >= 0:
                    cause = f"a table is read below its start at {site:#x}"
                    self._resolver.refuse(owner, cause)
                target = resolve(side.targets, row, rva, kind <= _CALL, owner)
                if width == 1 and target.chunk != mine:
                    cause = f"short jump at {site:#x} to {rva:#x}"
                    finding = Finding(codes.SHORT_JUMP, owner, cause)
                    self._resolver.findings.setdefault((owner, cause), finding)
                absolute = _CODE_KINDS.get(kind)
                if absolute is None:  # counted from the end of the instruction
                    relative = _RELATIVE.get(width, FieldKind.REL32)
                    yield Field(site - run.start, relative, target, trailing)
                else:
                    yield Field(site - run.start, absolute, target)

    def _data_fields(self, run: Interval, owner: str) -> Iterator[Field]:
        side, fields, resolve = self._side, self._side.program.fields, self._resolver.row
        low, high = fields.site.searchsorted((run.start, run.end)).tolist()
        columns = (fields.site, fields.target, fields.form)
        found = zip(*[column[low:high].tolist() for column in columns], strict=True)
        for row, (site, rva, form) in enumerate(found, low):
            origin = None
            if form == _TABLE32:
                origin = resolve(side.origins, row, int(fields.origin[row]), False, owner)
            # Fields of unwind records and jump tables follow the code; pointers keep identity.
            follows = form in _FOLLOWING or (
                form == _ADDR32NB and self._carries(int(side.pointers.code[row]))
            )
            target = resolve(side.pointers, row, rva, follows, owner, form == _END32NB)
            yield Field(site - run.start, _FORMS[form], target, 0, origin)

    def _carries(self, fragment: int) -> bool:
        return fragment >= 0 and fragment in self._resolver.fragment_chunk

    def unwind_entries(self) -> tuple[UnwindEntry, ...]:
        """The future rows of the exception directory."""
        entries = []
        fragments = self._side.program.fragments
        homes: list[int] = self._side.atoms.at(fragments.unwind).tolist()
        for number, members, run in self._code:
            for member in members:
                chunk = self._resolver.atom_chunk.get(homes[member]) if fragments.unwind[member] else None
                if chunk is not None:
                    begin, end = (
                        int(fragments.start[member]) - run.start,
                        int(fragments.end[member]) - run.start,
                    )
                    entries.append(UnwindEntry(number, begin, end, Target(*chunk)))
        return tuple(entries)
