"""Moving a patch image: every field keeps its target, every bad fixup is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpbuild.codes import patchimage as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.patchimage.fixups import Fixups
from hpbuild.patchimage.link import LinkedImage, link
from hpbuild.patchimage.place import place, unplace
from hpbuild.patchimage.read import read_patch_image
from hpbuild.pe.image import Image
from hpbuild.plan.model import Chunk, ChunkKind, Field, FieldKind, Plan, Target, UnwindEntry
from hpbuild.values import Interval, Rva

_SIZES = {FieldKind.REL8: 1, FieldKind.ADDR64: 8}
_BASES = st.integers(1, (1 << 47) // 0x10000 - 0x8000).map(lambda value: value * 0x10000)
_DELTAS = st.integers(0, 0x7000).map(lambda value: value * 0x10000)

# A plan in outline: for every chunk its kind, length and alignment; for every field chunk, slot, kind, and a
# number that selects the target. Numbers are taken modulo what there is.
_CHUNKS = st.lists(
    st.tuples(st.sampled_from(list(ChunkKind)), st.integers(16, 96), st.sampled_from([1, 4, 8, 16, 64])),
    min_size=1,
    max_size=8,
)
_FIELDS = st.lists(
    st.tuples(
        st.integers(0, 255),
        st.sampled_from(list(FieldKind)),
        st.booleans(),
        st.integers(0, 1 << 20),
        st.integers(0, 4),
    ),
    max_size=40,
)


def _random_plan(
    make_chunk: Callable[..., Chunk],
    make_plan: Callable[..., Plan],
    size_of_image: int,
    outline: list[tuple[ChunkKind, int, int]],
    fields: list[tuple[int, FieldKind, bool, int, int]],
) -> Plan:
    """Fields are packed one after another into the chunk they are for while there is room."""
    sizes = [size for _, size, _ in outline]
    room = [0] * len(outline)
    made: list[list[Field]] = [[] for _ in outline]
    for number, kind, in_patch, pick, trailing in fields:
        chunk = number % len(outline)
        width = _SIZES.get(kind, 4)
        trailing = trailing if kind in (FieldKind.REL32, FieldKind.REL8) else 0
        if outline[chunk][0] is ChunkKind.BSS or room[chunk] + width + trailing > sizes[chunk]:
            continue
        target = Target(None, pick % size_of_image)
        if kind is FieldKind.REL8:
            target = Target(chunk, pick % (sizes[chunk] + 1))
        elif in_patch:
            other = pick % len(outline)
            target = Target(other, pick % (sizes[other] + 1))
        origin = Target(chunk, pick % (sizes[chunk] + 1)) if kind is FieldKind.TABLE32 else None
        made[chunk].append(Field(room[chunk], kind, target, trailing, origin))
        room[chunk] += width + trailing
    chunks = [
        make_chunk(
            kind, b"" if kind is ChunkKind.BSS else bytes(range(size)), *own, alignment=align, size=size
        )
        for (kind, size, align), own in zip(outline, made, strict=True)
    ]
    unwind = [
        UnwindEntry(index, 0, chunk.size, Target(0, 0) if index % 2 else Target(None, 0x1000))
        for index, chunk in enumerate(chunks)
        if chunk.kind is ChunkKind.CODE
    ]
    return make_plan(*chunks, unwind=tuple(unwind))


def _check_targets(
    plan: Plan, linked: LinkedImage, memory: bytes, nominal: Interval, base: int, delta: int
) -> None:
    """Every field of ``memory``, which lies ``delta`` above ``nominal``, reaches its target."""

    def where(target: Target) -> int:
        return (
            target.offset if target.chunk is None else linked.chunk_rvas[target.chunk] + delta + target.offset
        )

    for chunk, rva in zip(plan.chunks, linked.chunk_rvas, strict=True):
        for field in chunk.fields:
            width = _SIZES.get(field.kind, 4)
            begin = rva + field.offset - nominal.start
            raw = memory[begin : begin + width]
            if field.kind is FieldKind.ADDR64:
                found = int.from_bytes(raw, "little") - base
            elif field.kind is FieldKind.ADDR32NB:
                found = int.from_bytes(raw, "little")
            else:
                origin = rva + delta + field.offset + width + field.trailing
                if field.origin is not None:
                    origin = where(field.origin)
                found = origin + int.from_bytes(raw, "little", signed=True)
            assert found == where(field.target), field


@settings(max_examples=60, deadline=None)
@given(outline=_CHUNKS, fields=_FIELDS, base=_BASES, delta=_DELTAS)
def test_every_field_keeps_its_target(
    outline: list[tuple[ChunkKind, int, int]],
    fields: list[tuple[int, FieldKind, bool, int, int]],
    base: int,
    delta: int,
    flat_baseline: Image,
    make_chunk: Callable[..., Chunk],
    make_plan: Callable[..., Plan],
) -> None:
    plan = _random_plan(make_chunk, make_plan, flat_baseline.size_of_image, outline, fields)
    linked = link(plan, flat_baseline, 1)
    memory = _memory(linked)
    home = flat_baseline.image_base
    _check_targets(plan, linked, memory, linked.range, home, 0)
    moved = place(memory, linked.range, home, linked.fixups, base, delta)
    _check_targets(plan, linked, moved, linked.range, base, delta)
    assert unplace(moved, linked.range, home, linked.fixups, base, delta) == memory
    _only_fixups_changed(linked, memory, moved)


def _memory(linked: LinkedImage) -> bytes:
    image = _mapped(linked)
    return image[linked.range.start : linked.range.end]


def _mapped(linked: LinkedImage) -> bytes:
    """The file as a loader maps it, by our own few lines: independent of the reader under test."""
    image = bytearray(linked.range.end)
    table = linked.data.index(b"PE\0\0") + 24 + 240
    count = int.from_bytes(linked.data[table - 240 - 18 : table - 240 - 16], "little")
    for index in range(count):
        row = linked.data[table + 40 * index :][:40]
        _, rva, size, offset = (int.from_bytes(row[at : at + 4], "little") for at in (8, 12, 16, 20))
        image[rva : rva + size] = linked.data[offset : offset + size]
    return bytes(image)


def _only_fixups_changed(linked: LinkedImage, memory: bytes, moved: bytes) -> None:
    allowed: set[int] = set()
    for group, width in ((linked.fixups.addr64, 8), (linked.fixups.rel32, 4), (linked.fixups.addr32nb, 4)):
        for site in group:
            allowed.update(range(site - linked.range.start, site - linked.range.start + width))
    assert len(memory) == len(moved)
    changed = {at for at, (old, new) in enumerate(zip(memory, moved, strict=True)) if old != new}
    assert changed <= allowed


def test_the_exception_directory_moves_along(sample: LinkedImage, baseline: Image) -> None:
    patch = read_patch_image(sample.data, "sample")
    moved = place(patch.memory, patch.range, baseline.image_base, sample.fixups, baseline.image_base, 0x30000)
    for row in patch.runtime_functions:
        begin = row.site - patch.base_rva
        words = [int.from_bytes(moved[begin + at : begin + at + 4], "little") for at in (0, 4, 8)]
        assert words == [row.begin + 0x30000, row.end + 0x30000, row.unwind + 0x30000]


def test_the_nominal_place_changes_nothing(sample: LinkedImage, baseline: Image) -> None:
    patch = read_patch_image(sample.data, "sample")
    base = baseline.image_base
    assert place(patch.memory, patch.range, base, sample.fixups, base, 0) == patch.memory


@pytest.mark.parametrize("delta", [1, 0x1000, -0x10000, 0xFFFF, 1 << 31, (1 << 31) - 0x10000])
def test_refuses_illegal_moves(delta: int, sample: LinkedImage, baseline: Image) -> None:
    for move in (place, unplace):
        with pytest.raises(HpbuildError) as caught:
            move(
                _memory(sample), sample.range, baseline.image_base, sample.fixups, baseline.image_base, delta
            )
        assert caught.value.code is codes.MOVE_ILLEGAL


@pytest.mark.parametrize("base", [-0x10000, 0x10001, 1 << 64, (1 << 64) - 0x10000])
def test_refuses_impossible_image_bases(base: int, sample: LinkedImage, baseline: Image) -> None:
    with pytest.raises(HpbuildError) as caught:
        place(_memory(sample), sample.range, baseline.image_base, sample.fixups, base, 0)
    assert caught.value.code is codes.MOVE_ILLEGAL


def test_refuses_memory_of_another_size(sample: LinkedImage, baseline: Image) -> None:
    base = baseline.image_base
    with pytest.raises(HpbuildError) as caught:
        place(_memory(sample)[:-1], sample.range, base, sample.fixups, base, 0)
    assert caught.value.code is codes.MOVE_ILLEGAL


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda f, r: replace(f, addr64=tuple(reversed(f.addr64))), codes.FIXUP_MISPLACED),
        (lambda f, r: replace(f, addr64=(f.addr64[0], *f.addr64)), codes.FIXUP_MISPLACED),
        (lambda f, r: replace(f, rel32=(f.addr64[0] + 4,)), codes.FIXUP_MISPLACED),
        (lambda f, r: replace(f, addr64=(Rva(r.start - 1),)), codes.FIXUP_MISPLACED),
        (lambda f, r: replace(f, addr64=(Rva(r.end - 7),)), codes.FIXUP_MISPLACED),
        (lambda f, r: replace(f, addr64=(Rva(-8),)), codes.FIXUP_MISPLACED),
        (lambda f, r: Fixups((Rva(r.start),), (), ()), codes.FIXUP_VALUE),
        (lambda f, r: replace(f, addr32nb=f.rel32, rel32=()), codes.FIXUP_VALUE),
    ],
)
def test_refuses_bad_fixups(
    change: Callable[[Fixups, Interval], Fixups], code: Code, sample: LinkedImage, baseline: Image
) -> None:
    base = baseline.image_base
    with pytest.raises(HpbuildError) as caught:
        place(_memory(sample), sample.range, base, change(sample.fixups, sample.range), base, 0x10000)
    assert caught.value.code is code


def test_refuses_a_pointer_between_the_images(sample: LinkedImage, baseline: Image) -> None:
    """The gap that the move opened belongs to neither image."""
    base = baseline.image_base
    moved = bytearray(place(_memory(sample), sample.range, base, sample.fixups, base, 0x100000))
    begin = sample.fixups.addr64[0] - sample.range.start
    moved[begin : begin + 8] = (base + sample.range.start).to_bytes(8, "little")
    with pytest.raises(HpbuildError) as caught:
        unplace(bytes(moved), sample.range, base, sample.fixups, base, 0x100000)
    assert caught.value.code is codes.FIXUP_VALUE


def test_refuses_a_distance_that_does_not_fit(sample: LinkedImage, baseline: Image) -> None:
    memory = bytearray(_memory(sample))
    begin = sample.fixups.rel32[0] - sample.range.start
    memory[begin : begin + 4] = (-(1 << 31) + 0xFFFF).to_bytes(4, "little", signed=True)
    base = baseline.image_base
    with pytest.raises(HpbuildError) as caught:
        place(bytes(memory), sample.range, base, sample.fixups, base, 0x10000)
    assert caught.value.code is codes.FIXUP_OVERFLOW
