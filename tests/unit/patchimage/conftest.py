"""A real baseline and a plan made by hand that has every kind of chunk, field and redirection."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpbuild.patchimage.link import LinkedImage, link
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.image import Image, Section
from hpbuild.pe.reader import read_image
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
from hpbuild.values import Interval, Rva

ChunkMaker = Callable[..., Chunk]
PlanMaker = Callable[..., Plan]


def _chunk(kind: ChunkKind, content: bytes, *fields: Field, alignment: int = 8, size: int = 0) -> Chunk:
    return Chunk(
        kind=kind,
        name=f"{kind}-{len(content)}",
        source=Interval(0x1000, 0x1000 + max(size, len(content))),
        size=size or len(content),
        content=content,
        alignment=alignment,
        fields=fields,
    )


def _function(*chunks: int) -> CarriedFunction:
    return CarriedFunction(
        name=f"function{chunks}",
        reason=Reason.CHANGED,
        level="symbol",
        cause="a constant differs",
        chunks=chunks,
        fixed=(Interval(0x1000, 0x1010),) * len(chunks),
        baseline=(Interval(0x1000, 0x1010),),
    )


def _plan(*chunks: Chunk, **rest: object) -> Plan:
    parts: dict[str, object] = dict.fromkeys(
        ("functions", "data", "unwind", "redirections", "exclusions", "findings"), ()
    )
    return Plan(chunks=chunks, **(parts | rest))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def make_chunk() -> ChunkMaker:
    return _chunk


@pytest.fixture(scope="session")
def make_function() -> Callable[..., CarriedFunction]:
    return _function


@pytest.fixture(scope="session")
def make_plan() -> PlanMaker:
    return _plan


@pytest.fixture(scope="session")
def baseline(binaries: Path) -> Image:
    return read_image(binaries / "baseline" / "codec.dll")


@pytest.fixture(scope="session")
def flat_baseline() -> Image:
    """A baseline that no rebuild of the example binaries changes."""
    memory = np.arange(0x5000, dtype=np.uint32).astype(np.uint8)
    nothing = Interval(0, 0)
    sections = tuple(
        Section(
            name=name,
            rva=Rva(rva),
            virtual_size=0x1000,
            raw_offset=rva,
            raw_size=0x1000,
            characteristics=characteristics,
        )
        for name, rva, characteristics in ((".text", 0x1000, 0x60000020), (".data", 0x3000, 0xC0000040))
    )
    return Image(
        name="flat.dll",
        data=FileBytes.of(memory.tobytes()),
        memory=memory,
        machine=0x8664,
        image_base=0x180000000,
        entry_point=Rva(0),
        time_date_stamp=0x12345678,
        checksum=0x9ABCD,
        size_of_image=len(memory),
        size_of_headers=0x400,
        section_alignment=0x1000,
        file_alignment=0x200,
        linker_version=(14, 0),
        characteristics=0x2022,
        dll_characteristics=0x160,
        subsystem=2,
        sections=sections,
        directories=(nothing,) * 16,
    )


@pytest.fixture(scope="session")
def sample_plan(baseline: Image) -> Plan:
    return _sample_plan(baseline)


@pytest.fixture(scope="session")
def flat_plan(flat_baseline: Image) -> Plan:
    return _sample_plan(flat_baseline)


def _sample_plan(baseline: Image) -> Plan:
    """Chunks: 0, 1 code; 2, 3 constants; 4 unwind information; 5 variable; 6 zero-filled; 7 constants."""
    text = next(section for section in baseline.sections if section.executable)
    near, entry = text.rva + 0x40, text.rva + 0x80
    first = _chunk(
        ChunkKind.CODE,
        # call; lea rax,[rip]; cmp dword [rip],1; movabs rcx; jmp short; ret
        bytes.fromhex("e800000000 488d0500000000 833d0000000001 48b90000000000000000 eb00 c3"),
        Field(1, FieldKind.REL32, Target(None, near)),
        Field(8, FieldKind.REL32, Target(2, 0)),
        Field(14, FieldKind.REL32, Target(None, baseline.sections[-1].rva), trailing=1),
        Field(21, FieldKind.ADDR64, Target(6, 16)),
        Field(30, FieldKind.REL8, Target(0, 31)),
    )
    second = _chunk(
        ChunkKind.CODE,
        # mov eax,[rcx+rax*4+rva]; jmp first; then three bytes that fill 16
        bytes.fromhex("8b848100000000 e900000000 90909090"),
        Field(3, FieldKind.ADDR32NB, Target(3, 0)),
        Field(8, FieldKind.REL32, Target(0, 0)),
    )
    pointers = _chunk(
        ChunkKind.RODATA,
        bytes(24),
        Field(0, FieldKind.ADDR64, Target(None, near)),
        Field(8, FieldKind.ADDR64, Target(1, 0)),
        Field(16, FieldKind.ADDR32NB, Target(None, near)),
    )
    table = _chunk(
        ChunkKind.RODATA,
        bytes(12),
        Field(0, FieldKind.TABLE32, Target(1, 4), origin=Target(3, 0)),
        Field(4, FieldKind.TABLE32, Target(None, near), origin=Target(3, 0)),
        Field(8, FieldKind.ADDR32NB, Target(1, 12)),
        alignment=4,
    )
    unwind = _chunk(ChunkKind.UNWIND, bytes.fromhex("0104010004420000"), alignment=1)
    variable = _chunk(ChunkKind.DATA, bytes(8), Field(0, FieldKind.ADDR64, Target(5, 8)))
    zeros = _chunk(ChunkKind.BSS, b"", size=0x2345, alignment=64)
    tail = _chunk(ChunkKind.RODATA, b"constant\0", alignment=1)
    return _plan(
        *(first, second, pointers, table, unwind, variable, zeros, tail),
        functions=(_function(0), _function(1)),
        unwind=(UnwindEntry(1, 0, 16, Target(4, 0)), UnwindEntry(0, 0, 32, Target(4, 0))),
        redirections=(
            _site(baseline, 0, RedirectionKind.ENTRY_JUMP, entry, Interval(entry, entry + 8)),
            _site(baseline, 1, RedirectionKind.PAD_JUMP, entry + 0x20, Interval(entry + 0x1B, entry + 0x23)),
        ),
    )


def _site(
    image: Image, function: int, kind: RedirectionKind, entry: int, window: Interval
) -> RedirectionSite:
    old = image.read(window.start, len(window))
    return RedirectionSite(function=function, kind=kind, entry=Rva(entry), window=window, old=old)


@pytest.fixture(scope="session")
def sample(sample_plan: Plan, baseline: Image) -> LinkedImage:
    return link(sample_plan, baseline, 7)
