"""A small true story for the proof, told by hand: a baseline, a fixed image with a changed function and a
changed constant, claims, manifest and a linked patch image. Tests spoil one thing in it at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import iced_x86
import pytest

from hpbuild.assembly.modules import page_pins
from hpbuild.manifest import model
from hpbuild.manifest.left_out import LeftOut
from hpbuild.patchimage.link import LinkedImage, link
from hpbuild.pe.files import read_file
from hpbuild.pe.identity import identity, masked_digest
from hpbuild.pe.image import Image
from hpbuild.pe.metadata import metadata_extents
from hpbuild.pe.reader import parse_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.symbols import load_symbols
from hpbuild.pe.unwind import runtime_functions, unwind_info
from hpbuild.plan.model import (
    CarriedFunction,
    Chunk,
    ChunkKind,
    Field,
    FieldKind,
    Plan,
    Reason,
    RedirectionKind,
    RedirectionSite,
    Target,
    UnwindEntry,
)
from hpbuild.prove.claims import ADDR32NB, END32NB, Claims
from hpbuild.prove.proof import Proof, prove_module
from hpbuild.values import Digest, Interval, Rva

HEX_TEXT = "??_C@_03IJNDAFDK@hex?$AA@"
FILLER = b"\xcc"
Rows = dict[str, list[tuple[int, ...]]]


def edit(data: bytes, image: Image, rva: int, content: bytes) -> bytes:
    """The file's bytes with ``content`` at ``rva``."""
    section = image.section_at(rva)
    assert section is not None
    at = section.raw_offset + rva - section.rva
    return data[:at] + content + data[at + len(content) :]


def identity_rows(image: Image, carried: list[Interval]) -> Rows:
    """Claims that every byte of ``image`` corresponds to itself, but for ``carried``."""
    rows: Rows = {"code": [], "data": [], "padding": [], "metadata": []}
    functions = runtime_functions(image)
    pairs = list(zip(functions.begin.tolist(), functions.end.tolist(), strict=True))
    for section in image.sections:
        begin, end = section.range.start, section.range.end
        if section.executable:
            inside = [row for row in pairs if begin <= row[0] < end]
            _code_rows(image, rows, Interval(begin, end), inside)
        else:
            taken = [(e.start, e.end) for _, e in metadata_extents(image) if begin <= e.start < end]
            taken += [(c.start, c.end) for c in carried if begin <= c.start < end]
            at = begin
            for start, stop in [*sorted(taken), (end, end)]:
                if start > at:
                    rows["data"].append((at, start, at))
                at = max(at, stop)
    rows["metadata"] = [(e.start, e.end) for _, e in metadata_extents(image) if e.start]
    starts = {interval.start for interval in carried}
    rows["code"] = [row for row in rows["code"] if row[0] not in starts]
    return rows


def _code_rows(image: Image, rows: Rows, section: Interval, functions: list[tuple[int, int]]) -> None:
    at = section.start
    for start, stop in [*functions, (section.end, section.end)]:
        body = image.read(at, start - at).rstrip(FILLER)
        if body:
            rows["code"].append((at, at + len(body), at))
        if at + len(body) < start:
            rows["padding"].append((at + len(body), start))
        if start < stop:
            rows["code"].append((start, stop, start))
        at = stop


@dataclass
class Story:
    """Everything that the proof is given, and the plan behind the patch image."""

    baseline: Image
    fixed: Image
    rows: Rows
    plan: Plan
    functions: list[model.Function]
    data: list[model.Datum]
    exclusions: list[model.Exclusion] = field(default_factory=list)
    linked: LinkedImage | None = None
    left_out: list[LeftOut] = field(default_factory=list)

    def link(self) -> LinkedImage:
        """The patch image of the plan as it is now."""
        self.linked = link(self.plan, self.baseline, 1)
        return self.linked

    def module(self) -> model.Module:
        """The manifest's module, true to plan and patch image."""
        linked = self.linked or self.link()
        redirections = tuple(
            model.Redirection(
                function=site.function,
                kind=str(site.kind),
                entry=site.entry,
                window=site.window,
                old=site.old,
                new=new,
            )
            for site, new in zip(self.plan.redirections, linked.redirections, strict=True)
        )
        return model.Module(
            path="codec.dll",
            baseline=_pin(self.baseline),
            fixed=_pin(self.fixed),
            image=model.PatchImagePin(
                member="images/codec.dll",
                size=len(linked.data),
                sha256=Digest.of(linked.data),
                range=linked.range,
            ),
            functions=tuple(self.functions),
            data=tuple(self.data),
            redirections=redirections,
            pages=page_pins(
                self.baseline, [item.window for item in redirections], relocation_sites(self.baseline)
            ),
            fixups=model.Fixups(
                addr64=linked.fixups.addr64, rel32=linked.fixups.rel32, addr32nb=linked.fixups.addr32nb
            ),
            references=self._references(),
            exclusions=tuple(self.exclusions),
            findings=(),
            account=(),
            left_out=tuple(self.left_out),
        )

    def _references(self) -> tuple[model.BaselineReference, ...]:
        """The first byte of everything in the baseline that carried code and data name."""
        named = {
            field.target.offset
            for chunk in self.plan.chunks
            for field in chunk.fields
            if field.target.chunk is None
        }
        runs = [Interval(rva, rva + 1) for rva in sorted(named)]
        return tuple(
            model.BaselineReference(range=run, sha256=masked_digest(self.baseline, (run,))) for run in runs
        )

    def claims(self) -> Claims:
        """The claims as arrays."""
        return Claims.of(**self.rows)

    def prove(self, **changes: object) -> Proof:
        """The proof of the story; ``changes`` replace fields of the module, or ``patch``."""
        module = self.module()
        assert self.linked is not None
        patch = changes.pop("patch", self.linked.data)
        assert isinstance(patch, bytes)
        module = replace(module, **changes)  # type: ignore[arg-type]
        return prove_module(self.claims(), module, patch, self.baseline, self.fixed, lambda *_: None)


def _pin(image: Image) -> model.Pin:
    found = identity(image, False)
    return model.Pin(
        file_name=found.file_name, size=found.size, sha256=found.sha256, authenticode=found.authenticode,
        sections=(), machine=found.machine, time_date_stamp=found.time_date_stamp, checksum=found.checksum,
        size_of_image=found.size_of_image, image_base=found.image_base, pdb_guid="", pdb_age=0, version="",
    )  # fmt: skip


def code_fields(image: Image, part: Interval, to: Callable[[int, bool], Target]) -> tuple[Field, ...]:
    """Fields of a run of code; ``to`` gives the target for (RVA, address taken)."""
    fields: list[Field] = []
    decoder = iced_x86.Decoder(64, image.read(part.start, len(part)), ip=part.start)
    for instruction in decoder:
        offsets = decoder.get_constant_offsets(instruction)
        at = instruction.ip - part.start
        if instruction.is_ip_rel_memory_operand:
            taken = instruction.mnemonic == iced_x86.Mnemonic.LEA
            trailing = instruction.len - offsets.displacement_offset - 4
            target = to(instruction.ip_rel_memory_address, taken)
            fields.append(Field(at + offsets.displacement_offset, FieldKind.REL32, target, trailing))
        elif instruction.near_branch_target and instruction.near_branch_target not in part:
            target = to(instruction.near_branch_target, False)
            fields.append(Field(at + offsets.immediate_offset, FieldKind.REL32, target))
    return tuple(fields)


@dataclass
class Teller:
    """Makes stories from two images: carry functions and data by name, then ``story``."""

    baseline: Image
    fixed: Image
    symbols: dict[str, Interval]
    functions: list[str]
    data: list[str]

    def _chunk_of(self, rva: int) -> Target | None:
        for index, name in enumerate([*self.functions, *self.data]):
            if rva in self.symbols[name]:
                return Target(index, rva - self.symbols[name].start)
        return None

    def target(self, rva: int, taken: bool) -> Target:
        """Where carried code or data has to point for the fixed RVA ``rva``."""
        entries = [self.symbols[name].start for name in self.functions]
        if taken and rva in entries:
            return Target(None, rva)
        return self._chunk_of(rva) or Target(None, rva)

    def pointer_fields(self, part: Interval) -> tuple[Field, ...]:
        """Absolute addresses in a run of data."""
        return tuple(
            Field(
                site - part.start,
                FieldKind.ADDR64,
                self.target(self.fixed.u64(site) - self.fixed.image_base, True),
            )
            for site in relocation_sites(self.fixed).tolist()
            if site in part
        )

    def _unwind_chunk(self, name: str, record: int) -> Chunk:
        """The unwind record of a function with its scope table, if it has a handler."""
        info = unwind_info(self.fixed, record)
        extent = Interval(record, record + info.size)
        fields: list[Field] = []
        if info.handler is not None and info.handler_data is not None:
            part, count = self.symbols[name], self.fixed.u32(info.handler_data)
            extent = Interval(record, info.handler_data + 4 + 16 * count)
            fields.append(Field(info.size - 4, FieldKind.ADDR32NB, Target(None, info.handler)))
            for site in range(info.handler_data + 4, extent.end, 4):
                value = self.fixed.u32(site)
                if part.start <= value <= part.end:
                    target = Target(self.functions.index(name), value - part.start)
                    fields.append(Field(site - record, FieldKind.ADDR32NB, target))
                elif value > 1:
                    fields.append(Field(site - record, FieldKind.ADDR32NB, Target(None, value)))
        return self._chunk(ChunkKind.UNWIND, f"unwind of {name}", extent, tuple(fields))

    def _chunk(self, kind: ChunkKind, name: str, part: Interval, fields: tuple[Field, ...]) -> Chunk:
        content = self.fixed.read(part.start, len(part))
        return Chunk(
            kind=kind, name=name, source=part, size=len(part), content=content, alignment=16, fields=fields
        )

    def plan(self) -> Plan:
        """Chunks: the functions, the data, the unwind record of each function."""
        chunks = [
            self._chunk(
                ChunkKind.CODE,
                name,
                self.symbols[name],
                code_fields(self.fixed, self.symbols[name], self.target),
            )
            for name in self.functions
        ]
        chunks += [
            self._chunk(ChunkKind.RODATA, name, self.symbols[name], self.pointer_fields(self.symbols[name]))
            for name in self.data
        ]
        table = runtime_functions(self.fixed)
        rows = {begin: (end, record) for begin, end, record in map(table.row, range(len(table)))}
        unwind = []
        for number, name in enumerate(self.functions):
            end, record = rows[self.symbols[name].start]
            unwind.append(UnwindEntry(number, 0, end - self.symbols[name].start, Target(len(chunks), 0)))
            chunks.append(self._unwind_chunk(name, record))
        return Plan(
            chunks=tuple(chunks), functions=self._carried(), data=(), unwind=tuple(unwind),
            redirections=tuple(self._redirection(number) for number in range(len(self.functions))),
            exclusions=(), findings=(),
        )  # fmt: skip

    def _carried(self) -> tuple[CarriedFunction, ...]:
        return tuple(
            CarriedFunction(
                name=name, reason=Reason.CHANGED, level="symbol", cause="test", chunks=(number,),
                fixed=(self.symbols[name],), baseline=(self.symbols[name],),
            )
            for number, name in enumerate(self.functions)
        )  # fmt: skip

    def _redirection(self, number: int) -> RedirectionSite:
        entry = self.symbols[self.functions[number]].start
        window = Interval(entry, entry + 8)
        return RedirectionSite(
            function=number, kind=RedirectionKind.ENTRY_JUMP, entry=Rva(entry), window=window,
            old=self.baseline.read(entry, 8),
        )  # fmt: skip

    def story(self) -> Story:
        """The story; claims call everything else identical."""
        plan = self.plan()
        linked = link(plan, self.baseline, 1)
        places = {name: linked.chunk_rvas[i] for i, name in enumerate([*self.functions, *self.data])}
        copies = {name: Interval(rva, rva + len(self.symbols[name])) for name, rva in places.items()}
        functions = [
            model.Function(
                name=name, reason="changed", level="symbol", cause="test", baseline=(self.symbols[name],),
                fixed=(self.symbols[name],), patch=(copies[name],),
                baseline_sha256=masked_digest(self.baseline, (self.symbols[name],)),
                fixed_sha256=masked_digest(self.fixed, (self.symbols[name],)),
            )
            for name in self.functions
        ]  # fmt: skip
        data = [
            model.Datum(
                name=name, reason="changed", kind="rodata", cause="test", baseline=self.symbols[name],
                fixed=self.symbols[name], patch=copies[name],
            )
            for name in self.data
        ]  # fmt: skip
        carried = [self.symbols[name] for name in [*self.functions, *self.data]]
        rows = identity_rows(self.fixed, carried + self._language(plan))
        rows["fields"] = self._scope_fields(plan)
        return Story(self.baseline, self.fixed, rows, plan, functions, data, [], linked)

    def _language(self, plan: Plan) -> list[Interval]:
        """The language data of the fixed image that the plan carries."""
        found = []
        for chunk in plan.chunks:
            if chunk.kind is ChunkKind.UNWIND:
                info = unwind_info(self.fixed, chunk.source.start)
                found.append(Interval(chunk.source.start + info.size, chunk.source.end))
        return [part for part in found if len(part)]

    def _scope_fields(self, plan: Plan) -> list[tuple[int, ...]]:
        """Claims about the scope tables: begin, end, filter and target of every scope."""
        rows = []
        for part in self._language(plan):
            for number, site in enumerate(range(part.start + 4, part.end, 4)):
                if self.fixed.u32(site) > 1:
                    rows.append((site, 4, END32NB if number % 4 == 1 else ADDR32NB, 0))
        return rows


def _symbols(path: Path, image: Image) -> dict[str, Interval]:
    table = runtime_functions(image)
    ends = dict(zip(table.begin.tolist(), table.end.tolist(), strict=True))
    found = {}
    for item in load_symbols(image, path).items:
        end = ends.get(int(item.rva), item.rva + item.size)
        found[item.name] = Interval(item.rva, end)
    return found


@pytest.fixture(scope="session")
def codec(binaries: Path) -> bytes:
    return read_file(binaries / "baseline" / "codec.dll").whole()


@pytest.fixture(scope="session")
def symbols(binaries: Path, codec: bytes) -> dict[str, Interval]:
    return _symbols(binaries / "baseline" / "codec.dll", parse_image(codec, "codec.dll"))


@pytest.fixture
def tell(codec: bytes, symbols: dict[str, Interval]) -> Callable[..., Story]:
    """A story about codec.dll. In the fixed image ``codec_encode`` returns another error and the name of the
    codec ``hex`` is another text; ``codec_find`` refers to that. ``edits`` are (RVA, bytes) on top, of the
    fixed image or, with ``both``, of both images."""

    def make(*edits: tuple[int, bytes], both: tuple[tuple[int, bytes], ...] = ()) -> Story:
        plain = parse_image(codec, "codec.dll")
        old = codec
        for rva, content in both:
            old = edit(old, plain, rva, content)
        text = plain.image_base + symbols["base64"].start - 8
        changes = [
            (symbols["codec_encode"].start + 0x34, b"\xfb"),
            (symbols["hex"].start, text.to_bytes(8, "little")),
        ]
        new = old
        for rva, content in [*changes, *edits]:
            new = edit(new, plain, rva, content)
        teller = Teller(
            parse_image(old, "codec.dll"),
            parse_image(new, "codec.dll"),
            symbols,
            ["codec_encode", "codec_find"],
            ["hex", HEX_TEXT],
        )
        return teller.story()

    return make


@pytest.fixture
def tell_throwing(binaries: Path) -> Callable[..., Story]:
    """A story about throwing.dll: ``copy_counted``, a function with a scope table, is carried though nothing
    in it differs. ``edits`` are (RVA, bytes) in the fixed image."""

    def make(*edits: tuple[int, bytes]) -> Story:
        path = binaries / "baseline" / "throwing.dll"
        old = read_file(path).whole()
        plain = parse_image(old, path.name)
        new = old
        for rva, content in edits:
            new = edit(new, plain, rva, content)
        names = ["copy_counted"]
        return Teller(plain, parse_image(new, path.name), _symbols(path, plain), names, []).story()

    return make


def rewrite(story: Story, name: str, old: tuple[int, ...], *new: tuple[int, ...]) -> None:
    """Replace one row of the claims."""
    assert old in story.rows[name]
    story.rows[name] = sorted([row for row in story.rows[name] if row != old] + list(new))


def failed(proof: Proof) -> set[str]:
    """Ids of the codes of all findings."""
    return {finding.code.id for finding in proof.findings}
