"""Packages to verify, made with the real linker, writer and signer over the committed example binaries."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hpbuild.bundle.layout import ENVELOPE, MANIFEST, STATEMENT
from hpbuild.bundle.statement import Statement, encode_statement, make_statement
from hpbuild.bundle.writer import write_bundle
from hpbuild.manifest import codec
from hpbuild.manifest.model import (
    BaselineReference,
    ByteClass,
    Datum,
    Exclusion,
    Fixups,
    Function,
    Manifest,
    ManifestFinding,
    Module,
    PagePin,
    PatchImagePin,
    Pin,
    Redirection,
    SectionPin,
)
from hpbuild.manifest.pages import page_range, touched_pages
from hpbuild.manifest.paths import image_member
from hpbuild.patchimage.link import LinkedImage, link
from hpbuild.pe.exports import exports
from hpbuild.pe.identity import identity, masked_digest
from hpbuild.pe.image import Image, Section
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.plan.model import (
    CarriedDatum,
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
)
from hpbuild.sign.algorithms import Algorithm, generate_private
from hpbuild.sign.dsse import sign_envelope
from hpbuild.sign.signer import FileSigner
from hpbuild.values import Digest, Interval, Rva
from hpbuild.verify import Policy, Verification, VerifyRequest, policy_from_keys, verify

SEQUENCE = 7
SIZE = 12
"""Bytes of each replaced function; all of them are leaves that load one value."""
REPLACED = {"codec.dll": ("codec_count", "codec_longest_run"), "throwing.dll": ("scopes", "largest_number")}
CALLED = {"codec.dll": "codec_rotate", "throwing.dll": "severity_name"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A package in parts. ``root`` holds the baseline, ``fixed_root`` the fixed files, under module paths."""

    manifest: Manifest
    images: Mapping[str, bytes]
    root: Path
    fixed_root: Path
    signers: Sequence[FileSigner]

    @property
    def policy(self) -> Policy:
        """Trusts the first signer."""
        return policy_from_keys([self.signers[0].public])

    @property
    def module(self) -> Module:
        return self.manifest.modules[0]

    @property
    def installed(self) -> Path:
        """The baseline file of the first module."""
        return self.root / self.module.path

    def with_module(self, **changes: object) -> "Release":
        """The same release with other fields in its first module."""
        modules = (dataclasses.replace(self.module, **changes), *self.manifest.modules[1:])
        return replace(self, manifest=replace(self.manifest, modules=modules))

    def with_manifest(self, **changes: object) -> "Release":
        return replace(self, manifest=dataclasses.replace(self.manifest, **changes))

    def members(self) -> dict[str, bytes]:
        """Manifest and patch images by member name."""
        return {MANIFEST: codec.encode(self.manifest), **self.images}

    def bundle(
        self,
        signers: Sequence[FileSigner] | None = None,
        change: Callable[[Statement], Statement] = lambda statement: statement,
    ) -> bytes:
        """The bundle, signed by ``signers`` (default: the first; () for none) over a changed statement."""
        members = self.members()
        return seal(
            members,
            change(make_statement(self.manifest, members)),
            self.signers[:1] if signers is None else signers,
        )

    def verify(self, installed: Path | None = None, policy: Policy | None = None) -> Verification:
        """Sign and verify."""
        return self.verify_bytes(self.bundle(), installed, policy)

    def verify_bytes(
        self, data: bytes, installed: Path | None = None, policy: Policy | None = None
    ) -> Verification:
        return verify(
            VerifyRequest(bundle=data, name="p.hpb", policy=policy or self.policy, installed=installed)
        )


def seal(members: Mapping[str, bytes], statement: Statement, signers: Sequence[FileSigner]) -> bytes:
    """A bundle whose statement is signed without the checks that signing makes for users."""
    signed = encode_statement(statement)
    envelope = {ENVELOPE: sign_envelope(signed, list(signers))} if signers else {}
    return write_bundle({STATEMENT: signed, **members, **envelope})


def pin_of(image: Image) -> Pin:
    found = identity(image, cross_check=False)
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    fields["sections"] = tuple(
        SectionPin(name=item.name, rva=item.rva, size=item.size, sha256=item.sha256)
        for item in found.sections
    )
    return Pin(**fields)


def _plan(image: Image, entries: Sequence[int], called: int) -> Plan:
    """Each new function returns a variable of the baseline plus one of the package; a table of constants
    points at code of the baseline."""
    data = next(section for section in image.sections if section.name == ".data")
    # mov eax, [rip + baseline variable]; add eax, [rip + package variable]; ret
    body = bytes.fromhex("8b0500000000030500000000c3")
    constants, variable = len(entries), len(entries) + 1
    chunks = [
        Chunk(
            kind=ChunkKind.CODE, name=f"new{index}", source=Interval(entry, entry + SIZE + 1), size=SIZE + 1,
            content=body, alignment=16,
            fields=(
                Field(2, FieldKind.REL32, Target(None, data.rva)),
                Field(8, FieldKind.REL32, Target(variable, 0)),
            ),
        )
        for index, entry in enumerate(entries)
    ]  # fmt: skip
    chunks.append(
        Chunk(
            kind=ChunkKind.RODATA, name="table", source=Interval(data.rva, data.rva + 16), size=16,
            content=bytes(16), alignment=8,
            fields=(
                Field(0, FieldKind.ADDR64, Target(None, called)),
                Field(8, FieldKind.ADDR64, Target(0, 0)),
            ),
        )
    )  # fmt: skip
    chunks.append(
        Chunk(
            kind=ChunkKind.DATA, name="variable", source=Interval(data.rva, data.rva + 4), size=4,
            content=b"\1\0\0\0", alignment=4,
        )
    )  # fmt: skip
    functions = tuple(
        CarriedFunction(
            name=f"function{index}", reason=Reason.CHANGED, level="name", cause="instruction 1 differs",
            chunks=(index,), fixed=(chunks[index].source,), baseline=(Interval(entry, entry + SIZE),),
        )
        for index, entry in enumerate(entries)
    )  # fmt: skip
    carried = tuple(
        CarriedDatum(
            name=chunks[index].name, reason=Reason.ADDED, kind=chunks[index].kind, cause="new", chunk=index,
            fixed=chunks[index].source, baseline=None,
        )
        for index in (constants, variable)
    )  # fmt: skip
    sites = tuple(
        RedirectionSite(
            function=index, kind=RedirectionKind.ENTRY_JUMP, entry=entry, window=Interval(entry, entry + 5),
            old=image.read(entry, 5),
        )
        for index, entry in enumerate(entries)
    )  # fmt: skip
    return Plan(
        chunks=tuple(chunks), functions=functions, data=carried, unwind=(), redirections=sites,
        exclusions=(), findings=(),
    )  # fmt: skip


def _functions(plan: Plan, linked: LinkedImage, baseline: Image, fixed: Image) -> tuple[Function, ...]:
    return tuple(
        Function(
            name=item.name, reason=str(item.reason), level=item.level, cause=item.cause,
            baseline=item.baseline, fixed=item.fixed,
            patch=(Interval(linked.chunk_rvas[index], linked.chunk_rvas[index] + plan.chunks[index].size),),
            baseline_sha256=masked_digest(baseline, item.baseline),
            fixed_sha256=masked_digest(fixed, item.fixed),
        )
        for index, item in enumerate(plan.functions)
    )  # fmt: skip


def make_module(
    path: str, baseline: Image, fixed: Image, sequence: int = SEQUENCE, functions: Sequence[int] = (0, 1)
) -> tuple[Module, bytes]:
    """A module that replaces ``functions`` (indexes into ``REPLACED``) of ``baseline``, and its patch image.
    With one function, its new code lies at another place than with two."""
    rvas = {export.name: export.rva for export in exports(baseline)}
    names = REPLACED[baseline.name]
    entries = [rvas[names[index]] for index in functions]
    called = rvas[CALLED[baseline.name]]
    plan = _plan(baseline, sorted(entries), called)
    linked = link(plan, baseline, sequence)
    data = next(section for section in baseline.sections if section.name == ".data")
    constants = next(section for section in baseline.sections if section.name == ".rdata")
    code, table = (
        Interval(called, called + 32),
        Interval(constants.rva, constants.rva + constants.virtual_size),
    )
    references = (
        BaselineReference(range=code, sha256=masked_digest(baseline, (code,))),
        BaselineReference(range=table, sha256=masked_digest(baseline, (table,))),
        BaselineReference(range=Interval(data.rva, data.rva + 4), sha256=None),
    )
    places = [
        Interval(rva, rva + chunk.size) for rva, chunk in zip(linked.chunk_rvas, plan.chunks, strict=True)
    ]
    module = Module(
        path=path, baseline=pin_of(baseline), fixed=pin_of(fixed),
        image=PatchImagePin(
            member=image_member(path), size=len(linked.data), sha256=Digest.of(linked.data),
            range=linked.range,
        ),
        functions=_functions(plan, linked, baseline, fixed),
        data=tuple(
            Datum(
                name=item.name, reason=str(item.reason), kind=str(item.kind), cause=item.cause, baseline=None,
                fixed=item.fixed, patch=places[item.chunk],
            )
            for item in plan.data
        ),
        redirections=tuple(
            Redirection(
                function=site.function, kind=str(site.kind), entry=site.entry, window=site.window,
                old=site.old, new=new,
            )
            for site, new in zip(plan.redirections, linked.redirections, strict=True)
        ),
        pages=tuple(
            PagePin(Rva(rva), masked_digest(baseline, (page_range(rva, baseline.size_of_image),)))
            for rva in touched_pages(site.window for site in plan.redirections)
        ),
        fixups=Fixups(
            addr64=linked.fixups.addr64, rel32=linked.fixups.rel32, addr32nb=linked.fixups.addr32nb
        ),
        references=tuple(sorted(references, key=lambda item: item.range)),
        exclusions=(Exclusion(klass="version-resource", place=".rsrc", cause="not delivered"),),
        findings=(ManifestFinding(code="HP3001", severity="note", place="x", cause="y"),),
        account=(ByteClass(klass="changed-code", size=24),),
    )  # fmt: skip
    return module, linked.data


def make_release(
    paths: Sequence[str],
    folder: Path,
    binaries: Path,
    signers: Sequence[FileSigner],
    sequence: int = SEQUENCE,
    functions: Sequence[int] = (0, 1),
) -> Release:
    """A release of ``paths``; ``folder`` gets the trees ``baseline`` and ``fixed``."""
    made = []
    for path in paths:
        for side in ("baseline", "fixed"):
            target = folder / side / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((binaries / side / Path(path).name.lower()).read_bytes())
        name = Path(path).name.lower()
        images = [read_image(binaries / side / name) for side in ("baseline", "fixed")]
        made.append(make_module(path, *images, sequence, functions))
    manifest = Manifest(
        id="codec-2026-01", product="Codec", sequence=sequence, advisories=("CVE-2026-0001",), created="",
        tool="hpbuild test", modules=tuple(module for module, _ in made), unchanged=(),
    )  # fmt: skip
    return Release(
        manifest=manifest,
        images={module.image.member: data for module, data in made},
        root=folder / "baseline",
        fixed_root=folder / "fixed",
        signers=signers,
    )


@pytest.fixture(scope="session")
def signers() -> tuple[FileSigner, ...]:
    """Three keys of different kinds."""
    return tuple(FileSigner(generate_private(algorithm)) for algorithm in Algorithm)


@pytest.fixture
def release(tmp_path: Path, binaries: Path, signers: tuple[FileSigner, ...]) -> Release:
    """One module, codec.dll."""
    return make_release(["codec.dll"], tmp_path, binaries, signers)


@pytest.fixture
def pair(tmp_path: Path, binaries: Path, signers: tuple[FileSigner, ...]) -> Release:
    """Two modules in a tree."""
    return make_release(["bin/codec.dll", "lib/throwing.dll"], tmp_path, binaries, signers)


@pytest.fixture
def applied(release: Release) -> bytes:
    """The baseline file with the package written into it: windows, and the patch sections at their RVAs."""
    return write_into(release, release.installed.read_bytes())


@pytest.fixture
def write_applied(release: Release) -> Callable[..., bytes]:
    """``write_into`` over the baseline file."""
    return lambda functions=None: write_into(release, release.installed.read_bytes(), functions)


@pytest.fixture
def make_other(
    tmp_path: Path, binaries: Path, signers: tuple[FileSigner, ...]
) -> Callable[[int, Sequence[int]], Release]:
    """Another package of the line for codec.dll: (sequence, functions) -> release."""

    def make(sequence: int, functions: Sequence[int] = (0, 1)) -> Release:
        folder = tmp_path / f"{sequence}{functions}"
        return make_release(["codec.dll"], folder, binaries, signers, sequence, functions)

    return make


@pytest.fixture
def write_other(make_other: Callable[..., Release], release: Release) -> Callable[..., bytes]:
    """The baseline file with another package of the line written into it: (sequence, functions) -> bytes."""
    return lambda *which: write_into(make_other(*which), release.installed.read_bytes())


def write_into(release: Release, data: bytes, functions: Sequence[int] | None = None) -> bytes:
    """``data`` (the baseline file) with the redirections of ``functions`` (default: all) and one new section
    for each section of the patch image."""
    module = release.module
    baseline, patch = parse_image(data, "image"), parse_image(release.images[module.image.member], "patch")
    changed = bytearray(data)
    for redirection in module.redirections:
        if functions is None or redirection.function in functions:
            offset = file_offset(baseline, redirection.window.start)
            changed[offset : offset + len(redirection.new)] = redirection.new
    added = [
        (section, patch.data[section.raw_offset : section.raw_offset + section.raw_size])
        for section in patch.sections
    ]
    return with_sections(bytes(changed), added, patch.size_of_image)


def with_sections(data: bytes, added: Sequence[tuple[Section, bytes]], size_of_image: int) -> bytes:
    """``data`` with further sections (row of the table, content). The gap in front of them goes to the last
    section that was there."""
    image = parse_image(data, "image")
    changed = bytearray(data)
    pe = int.from_bytes(changed[0x3C:0x40], "little")
    table = pe + 24 + int.from_bytes(changed[pe + 20 : pe + 22], "little")
    row = table + 40 * len(image.sections)
    last = row - 40
    changed[last + 8 : last + 12] = (added[0][0].rva - image.sections[-1].rva).to_bytes(4, "little")
    for section, raw in added:
        assert row + 40 <= image.size_of_headers, "no room for a section header"
        changed += bytes(-len(changed) % image.file_alignment)
        at = len(changed) if raw else 0
        fields = (section.virtual_size, section.rva, len(raw), at, 0, 0, 0, section.characteristics)
        header = section.name.encode().ljust(8, b"\0") + b"".join(
            value.to_bytes(4, "little") for value in fields
        )
        changed[row : row + 40] = header
        changed += raw
        row += 40
    changed[pe + 6 : pe + 8] = (len(image.sections) + len(added)).to_bytes(2, "little")
    changed[pe + 24 + 56 : pe + 24 + 60] = size_of_image.to_bytes(4, "little")
    return bytes(changed)


@pytest.fixture
def add_section(release: Release) -> Callable[[int], bytes]:
    """The baseline file with one more section, executable, at the given RVA."""

    def make(rva: int) -> bytes:
        row = Section(
            name=".extra", rva=Rva(rva), virtual_size=0x200, raw_offset=0, raw_size=0x200,
            characteristics=0x60000020,
        )  # fmt: skip
        return with_sections(release.installed.read_bytes(), [(row, b"\xcc" * 0x200)], rva + 0x1000)

    return make


def file_offset(image: Image, rva: int) -> int:
    section = image.section_at(rva)
    assert section is not None
    return section.raw_offset + rva - section.rva
