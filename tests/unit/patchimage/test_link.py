"""The linker: placement, values of fields, fixups, redirections, refusals, determinism."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from hpbuild.codes import patchimage as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.patchimage.layout import first_rva
from hpbuild.patchimage.link import LinkedImage, link
from hpbuild.patchimage.read import read_patch_image
from hpbuild.pe.image import Image
from hpbuild.plan.model import (
    CarriedFunction,
    Chunk,
    ChunkKind,
    Field,
    FieldKind,
    Plan,
    RedirectionKind,
    Target,
    UnwindEntry,
)
from hpbuild.values import Interval

GOLDEN = "3e3d063e5ee4f0b409433ee460674aa86e4cae85b4b79802004d8517e10c44c2"


def _refused(plan: Plan, baseline: Image, code: Code, sequence: int = 1) -> None:
    with pytest.raises(HpbuildError) as caught:
        link(plan, baseline, sequence)
    assert caught.value.code is code


def test_starts_at_the_first_64_kib_boundary_behind_the_baseline(
    sample: LinkedImage, baseline: Image
) -> None:
    assert sample.range.start % 0x10000 == 0
    assert baseline.size_of_image <= sample.range.start < baseline.size_of_image + 0x10000
    assert first_rva(0x20000) == 0x20000
    assert first_rva(0x20001) == 0x30000


def test_sections_come_in_order_and_hold_their_chunks(sample: LinkedImage, sample_plan: Plan) -> None:
    patch = read_patch_image(sample.data, "sample")
    names = [section.name for section in patch.image.sections]
    assert names == [".text", ".rdata", ".xdata", ".data", ".bss", ".pdata", ".hotp", ".reloc"]
    home = {"code": ".text", "rodata": ".rdata", "unwind": ".xdata", "data": ".data", "bss": ".bss"}
    for chunk, rva in zip(sample_plan.chunks, sample.chunk_rvas, strict=True):
        section = patch.section(home[chunk.kind])
        assert section is not None
        assert section.covers(Interval(rva, rva + chunk.size))
        assert rva % chunk.alignment == 0
        if chunk.kind is ChunkKind.CODE:
            assert rva % 16 == 0
            assert patch.image.read(rva + chunk.size, 1) == b"\xcc"


def test_sections_without_chunks_are_left_out(
    baseline: Image, make_chunk: Callable[..., Chunk], make_plan: Callable[..., Plan]
) -> None:
    linked = link(make_plan(make_chunk(ChunkKind.RODATA, b"x")), baseline, 1)
    patch = read_patch_image(linked.data, "sample", baseline.size_of_image)
    assert [section.name for section in patch.image.sections] == [".rdata", ".hotp"]
    assert linked.fixups.addr64 == linked.fixups.rel32 == linked.fixups.addr32nb == ()


def test_bytes_outside_fields_are_the_plans(sample: LinkedImage, sample_plan: Plan) -> None:
    image = read_patch_image(sample.data, "sample").image
    sizes = {FieldKind.REL8: 1, FieldKind.ADDR64: 8}
    for chunk, rva in zip(sample_plan.chunks, sample.chunk_rvas, strict=True):
        carried = bytearray(image.read(rva, chunk.size))
        expected = bytearray(chunk.content or bytes(chunk.size))
        for field in chunk.fields:
            size = sizes.get(field.kind, 4)
            carried[field.offset : field.offset + size] = expected[field.offset : field.offset + size]
        assert carried == expected


def test_values_of_fields(sample: LinkedImage, baseline: Image) -> None:
    image = read_patch_image(sample.data, "sample").image
    code, second, pointers, table, _, variable, zeros, _ = sample.chunk_rvas
    near = next(section for section in baseline.sections if section.executable).rva + 0x40

    def signed(rva: int) -> int:
        return int.from_bytes(image.read(rva, 4), "little", signed=True)

    assert code + 5 + signed(code + 1) == near
    assert code + 12 + signed(code + 8) == pointers
    assert code + 19 + signed(code + 14) == baseline.sections[-1].rva  # one trailing byte
    assert image.u64(code + 21) == baseline.image_base + zeros + 16
    assert image.read(code + 30, 1) == b"\x00"
    assert image.u32(second + 3) == table
    assert second + 12 + signed(second + 8) == code
    assert image.u64(pointers) == baseline.image_base + near
    assert image.u64(pointers + 8) == baseline.image_base + second
    assert image.u32(pointers + 16) == near
    assert table + signed(table) == second + 4
    assert table + signed(table + 4) == near
    assert image.u32(table + 8) == second + 12
    assert image.u64(variable) == baseline.image_base + variable + 8


def test_fixups_are_the_fields_that_depend_on_the_place(sample: LinkedImage) -> None:
    code, second, pointers, table, _, variable, _, _ = sample.chunk_rvas
    rows = read_patch_image(sample.data, "sample").runtime_functions
    assert sample.fixups.addr64 == (code + 21, pointers, pointers + 8, variable)
    assert sample.fixups.rel32 == (code + 1, code + 14, table + 4)
    columns = tuple(row.site + 4 * column for row in rows for column in range(3))
    assert sample.fixups.addr32nb == (second + 3, table + 8, *columns)


def test_exception_directory_is_sorted(sample: LinkedImage) -> None:
    code, second, *_ = sample.chunk_rvas
    rows = read_patch_image(sample.data, "sample").runtime_functions
    unwind = sample.chunk_rvas[4]
    assert [(row.begin, row.end, row.unwind) for row in rows] == [
        (code, code + 32, unwind),
        (second, second + 16, unwind),
    ]


def test_unwind_information_of_the_baseline_is_no_fixup(
    baseline: Image, make_chunk: Callable[..., Chunk], make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(
        make_chunk(ChunkKind.CODE, bytes(4)), unwind=(UnwindEntry(0, 0, 4, Target(None, 0x1000)),)
    )
    linked = link(plan, baseline, 1)
    (row,) = read_patch_image(linked.data, "sample").runtime_functions
    assert row.unwind == 0x1000
    assert linked.fixups.addr32nb == (row.site, row.site + 4)


def test_redirections(sample: LinkedImage, sample_plan: Plan) -> None:
    entry_jump, pad_jump = sample_plan.redirections
    first, second = sample.redirections
    distance = sample.chunk_rvas[0] - (entry_jump.entry + 5)
    assert first == b"\xe9" + distance.to_bytes(4, "little") + entry_jump.old[5:]
    distance = sample.chunk_rvas[1] - pad_jump.entry
    assert second == b"\xe9" + distance.to_bytes(4, "little") + b"\xeb\xf9" + pad_jump.old[7:]


def test_same_plan_same_bytes(sample: LinkedImage, sample_plan: Plan, baseline: Image) -> None:
    assert link(sample_plan, baseline, 7) == sample


def test_golden_bytes(flat_plan: Plan, flat_baseline: Image) -> None:
    digest = hashlib.sha256(link(flat_plan, flat_baseline, 7).data).hexdigest()
    assert digest == GOLDEN, (
        "The patch image of the sample plan has other bytes than before. Either the sample plan or the flat "
        "baseline in conftest.py was changed (fine: enter the new digest), or the linker's output was. The "
        "latter breaks `rebuild --check` for every package built so far: do it on purpose, say it in the "
        f"change log, raise the tool's version, then set GOLDEN to {digest}"
    )


def test_another_sequence_is_another_image(sample: LinkedImage, sample_plan: Plan, baseline: Image) -> None:
    other = link(sample_plan, baseline, 8)
    assert read_patch_image(other.data, "other").hotpatch.sequence == 8
    assert other.data != sample.data
    assert other.fixups == sample.fixups


def test_many_fields_cross_pages_and_record_chunks(
    baseline: Image, make_chunk: Callable[..., Chunk], make_plan: Callable[..., Plan]
) -> None:
    count = 5000
    generator = random.Random(5)
    rva = [generator.randrange(baseline.size_of_image) for _ in range(count)]
    fields = (Field(8 * index, FieldKind.ADDR64, Target(None, rva[index])) for index in range(count))
    linked = link(make_plan(make_chunk(ChunkKind.RODATA, bytes(8 * count), *fields)), baseline, 1)
    patch = read_patch_image(linked.data, "sample")
    assert patch.address_sites == linked.fixups.addr64
    assert len(linked.fixups.addr64) == count
    chunks = patch.hotpatch.bases[0].chunks
    assert [len(chunk.records) for chunk in chunks] == [4095, count - 4095]
    assert [record.other for chunk in chunks for record in chunk.records] == rva


def test_refuses_sequence_numbers_that_windows_rejects(sample_plan: Plan, baseline: Image) -> None:
    for sequence in (0, -1, 2**32):
        _refused(sample_plan, baseline, codes.SEQUENCE_INVALID, sequence)
    assert link(sample_plan, baseline, 2**32 - 1)


def test_refuses_another_machine(sample_plan: Plan, baseline: Image) -> None:
    _refused(sample_plan, replace(baseline, machine=0xAA64), codes.NOT_AMD64)


@pytest.mark.parametrize(
    ("field", "code"),
    [
        (Field(0, FieldKind.REL32, Target(None, 1 << 31)), codes.TARGET_OUTSIDE),
        (Field(0, FieldKind.REL32, Target(None, -1)), codes.TARGET_OUTSIDE),
        (Field(0, FieldKind.REL8, Target(None, 0x1000)), codes.FIELD_OVERFLOW),
        (Field(0, FieldKind.REL8, Target(0, 0x200)), codes.FIELD_OVERFLOW),
        (
            Field(0, FieldKind.TABLE32, Target(0, 0), origin=Target(None, 0x1000)),
            codes.TABLE_ORIGIN_IN_BASELINE,
        ),
        (Field(0, FieldKind.TABLE32, Target(0, 0)), codes.PLAN_INCONSISTENT),
        (Field(0, FieldKind.ADDR64, Target(0, 0), origin=Target(0, 0)), codes.PLAN_INCONSISTENT),
        (Field(0, FieldKind.ADDR64, Target(0, 0), trailing=1), codes.PLAN_INCONSISTENT),
        (Field(0, FieldKind.ADDR64, Target(1, 0)), codes.PLAN_INCONSISTENT),
        (Field(0, FieldKind.ADDR64, Target(-1, 0)), codes.PLAN_INCONSISTENT),
        (Field(0, FieldKind.ADDR64, Target(0, 0x201)), codes.PLAN_INCONSISTENT),
        (Field(-1, FieldKind.ADDR64, Target(0, 0)), codes.PLAN_INCONSISTENT),
        (Field(0x1F9, FieldKind.ADDR64, Target(0, 0)), codes.PLAN_INCONSISTENT),
        (Field(0x1FC, FieldKind.REL32, Target(0, 0), trailing=1), codes.PLAN_INCONSISTENT),
    ],
)
def test_refuses_fields(
    field: Field,
    code: Code,
    baseline: Image,
    make_chunk: Callable[..., Chunk],
    make_plan: Callable[..., Plan],
) -> None:
    _refused(make_plan(make_chunk(ChunkKind.CODE, bytes(0x200), field)), baseline, code)


def test_one_past_the_baseline_is_refused(
    baseline: Image, make_chunk: Callable[..., Chunk], make_plan: Callable[..., Plan]
) -> None:
    last = Field(0, FieldKind.ADDR64, Target(None, baseline.size_of_image - 1))
    assert link(make_plan(make_chunk(ChunkKind.RODATA, bytes(8), last)), baseline, 1)
    beyond = replace(last, target=Target(None, baseline.size_of_image))
    plan = make_plan(make_chunk(ChunkKind.RODATA, bytes(8), beyond))
    _refused(plan, baseline, codes.TARGET_OUTSIDE)


def test_refuses_chunks_that_contradict_themselves(
    baseline: Image, make_chunk: Callable[..., Chunk], make_plan: Callable[..., Plan]
) -> None:
    good = make_chunk(ChunkKind.RODATA, bytes(16))
    overlapping = (Field(0, FieldKind.ADDR64, Target(0, 0)), Field(7, FieldKind.ADDR32NB, Target(0, 0)))
    for bad in (
        replace(good, alignment=3),
        replace(good, alignment=0),
        replace(good, alignment=0x2000),
        replace(good, size=17),
        replace(good, size=0, content=b""),
        replace(good, kind=ChunkKind.BSS),
        replace(good, fields=overlapping),
    ):
        _refused(make_plan(bad), baseline, codes.PLAN_INCONSISTENT)
    _refused(make_plan(), baseline, codes.PLAN_INCONSISTENT)


def test_refuses_functions_and_unwind_entries_without_code(
    baseline: Image,
    make_chunk: Callable[..., Chunk],
    make_function: Callable[..., CarriedFunction],
    make_plan: Callable[..., Plan],
) -> None:
    chunks = (make_chunk(ChunkKind.CODE, bytes(16)), make_chunk(ChunkKind.RODATA, bytes(16)))
    for function in (make_function(1), make_function(2), make_function(-1), make_function()):
        _refused(make_plan(*chunks, functions=(function,)), baseline, codes.PLAN_INCONSISTENT)
    here = Target(1, 0)
    for entry in (
        UnwindEntry(1, 0, 4, here),
        UnwindEntry(2, 0, 4, here),
        UnwindEntry(0, 4, 4, here),
        UnwindEntry(0, 0, 17, here),
        UnwindEntry(0, 0, 4, Target(1, 17)),
    ):
        _refused(make_plan(*chunks, unwind=(entry,)), baseline, codes.PLAN_INCONSISTENT)


def test_refuses_overlapping_unwind_entries(
    baseline: Image, make_chunk: Callable[..., Chunk], make_plan: Callable[..., Plan]
) -> None:
    chunks = (make_chunk(ChunkKind.CODE, bytes(16)), make_chunk(ChunkKind.UNWIND, bytes(4)))
    entries = (UnwindEntry(0, 0, 9, Target(1, 0)), UnwindEntry(0, 8, 16, Target(1, 0)))
    _refused(make_plan(*chunks, unwind=entries), baseline, codes.UNWIND_OVERLAP)


def test_refuses_redirections_that_do_not_fit(sample_plan: Plan, baseline: Image) -> None:
    entry_jump, pad_jump = sample_plan.redirections
    short = Interval(entry_jump.entry, entry_jump.entry + 4)
    outside = Interval(baseline.size_of_image - 4, baseline.size_of_image + 4)
    for sites in (
        (replace(entry_jump, window=short, old=entry_jump.old[:4]),),
        (replace(entry_jump, kind=RedirectionKind.PAD_JUMP),),
        (replace(pad_jump, kind=RedirectionKind.PAD_JUMP, entry=pad_jump.window.start),),
        (replace(entry_jump, window=outside),),
        (replace(entry_jump, function=2),),
        (replace(entry_jump, function=-1),),
        (entry_jump, replace(entry_jump, function=1)),
    ):
        _refused(replace(sample_plan, redirections=sites), baseline, codes.PLAN_INCONSISTENT)


def test_refuses_old_bytes_that_are_not_the_baselines(sample_plan: Plan, baseline: Image) -> None:
    site = sample_plan.redirections[0]
    other = replace(site, old=bytes([site.old[0] ^ 1]) + site.old[1:])
    _refused(replace(sample_plan, redirections=(other,)), baseline, codes.OLD_BYTES_DIFFER)


def test_refuses_a_patch_that_cannot_be_read_back(
    sample_plan: Plan, baseline: Image, make_chunk: Callable[..., Chunk], make_plan: Callable[..., Plan]
) -> None:
    _refused(sample_plan, replace(baseline, size_of_image=1 << 30), codes.OUT_OF_REACH)
    zeros = make_chunk(ChunkKind.BSS, b"", size=(1 << 26) + 1)
    _refused(make_plan(zeros), baseline, codes.ZERO_FILL_TOO_LARGE)
