"""Chunks and their fields: whole, disjoint, and every field where the fixed image has one."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hpbuild.codes import plan as codes
from hpbuild.patchimage.link import link
from hpbuild.plan.model import ChunkKind, FieldKind, Target
from hpbuild.plan.planner import make_plan
from tests.assembled import RET, Dll, Part, against, datum, function

GADGET = "variants/data_init/baseline/gadget.dll"
PAIRS = [
    (".", "codec"),
    (".", "throwing"),
    ("variants/static_var", "gadget"),
    ("variants/constant_table", "gadget"),
]
SIZES = {
    FieldKind.REL8: 1,
    FieldKind.REL32: 4,
    FieldKind.ADDR32NB: 4,
    FieldKind.TABLE32: 4,
    FieldKind.ADDR64: 8,
}

Dlls = Callable[[str], Any]
Plans = Callable[..., Any]


@pytest.fixture(params=[(*names, symbols) for names in PAIRS for symbols in ("auto", "none")], ids=str)
def found(request: pytest.FixtureRequest, pair: Plans) -> Any:
    return pair(*request.param)


def test_a_chunk_holds_the_fixed_image_bytes(found: Any) -> None:
    image = found.comparison.fixed.program.image
    for chunk in found.plan.chunks:
        assert chunk.size == len(chunk.source) > 0
        expected = b"" if chunk.kind is ChunkKind.BSS else image.read(chunk.source.start, chunk.size)
        assert chunk.content == expected
        assert chunk.alignment & (chunk.alignment - 1) == 0
        if chunk.kind is not ChunkKind.CODE:
            assert chunk.source.start % chunk.alignment == 0


def test_no_byte_is_carried_twice(found: Any) -> None:
    count = np.zeros(found.comparison.fixed.program.image.size_of_image, dtype=np.int64)
    for chunk in found.plan.chunks:
        count[chunk.source.start : chunk.source.end] += 1
    assert count.max() == 1


def test_fields_lie_inside_their_chunk_and_apart(found: Any) -> None:
    for chunk in found.plan.chunks:
        at = 0
        for field in sorted(chunk.fields, key=lambda field: field.offset):
            assert at <= field.offset
            at = field.offset + SIZES[field.kind]
        assert at <= chunk.size


def test_targets_lie_in_a_chunk_or_in_the_baseline(found: Any) -> None:
    size = found.comparison.baseline.program.image.size_of_image
    for chunk in found.plan.chunks:
        for field in chunk.fields:
            for target in (field.target, field.origin or Target(None, 0)):
                limit = size if target.chunk is None else found.plan.chunks[target.chunk].size
                assert 0 <= target.offset <= limit
            assert (field.origin is not None) == (field.kind is FieldKind.TABLE32)


def test_every_relocated_field_of_a_chunk_is_a_field(found: Any) -> None:
    program = found.comparison.fixed.program
    for chunk in found.plan.chunks:
        every = program.references.site.tolist() + program.fields.site.tolist()
        sites = {site - chunk.source.start for site in every if site in chunk.source}
        assert sites == {field.offset for field in chunk.fields}


def test_every_unwind_row_covers_its_code(found: Any) -> None:
    program, plan = found.comparison.fixed.program, found.plan
    carried = [number for function in plan.functions for number in function.chunks]
    unwound = {}
    for entry in plan.unwind:
        chunk = plan.chunks[entry.code]
        assert chunk.kind is ChunkKind.CODE
        assert 0 <= entry.begin < entry.end <= chunk.size
        record = plan.chunks[entry.unwind.chunk]
        assert (record.kind, entry.unwind.offset) == (ChunkKind.UNWIND, 0)
        fragment = program.fragment_at(chunk.source.start + entry.begin)
        assert int(program.fragments.unwind[fragment]) == record.source.start
        unwound.setdefault(entry.code, []).append((entry.begin, entry.end))
    for number in carried:
        fragment = program.fragment_at(plan.chunks[number].source.start)
        assert (number in unwound) == bool(program.fragments.unwind[fragment])


def test_an_object_keeps_its_jump_table_relative_to_itself(pair: Plans) -> None:
    found = pair(".", "codec", "auto")
    tables = [
        (number, chunk)
        for number, chunk in enumerate(found.plan.chunks)
        if any(field.kind is FieldKind.TABLE32 for field in chunk.fields)
    ]
    ((number, table),) = tables
    (code,) = {field.target.chunk for field in table.fields}
    assert found.plan.chunks[code].name == "codec_transform"
    assert {field.origin for field in table.fields} == {Target(number, 0)}
    assert len(table.fields) == 11  # STOP to COMPLEMENT


def test_pointers_to_text_lead_into_the_patch_or_to_the_same_text(pair: Plans) -> None:
    """The new table of status texts: one text is new, the others are those of the baseline."""
    found = pair(".", "codec", "auto")
    baseline = found.comparison.baseline.program.image
    (table,) = [chunk for chunk in found.plan.chunks if any(f.kind is FieldKind.ADDR64 for f in chunk.fields)]
    texts = []
    for field in sorted(table.fields, key=lambda field: field.offset):
        chunk, offset = field.target.chunk, field.target.offset
        raw = baseline.read(offset, 64) if chunk is None else found.plan.chunks[chunk].content[offset:]
        texts.append(raw.split(b"\0")[0].decode())
    assert texts == [
        "success",
        "input ends too early",
        "output buffer too small",
        "symbol outside of the alphabet",
        "unknown codec",
    ]


def test_fail_short_jump_to_another_function(dll: Dlls, planned: Plans) -> None:
    fixed = dll(GADGET).write(0x100A, b"\xeb\x04", old=b"\x5d\xc3")  # to gadget_set_threshold
    finding = planned(dll(GADGET).program(), fixed.program()).finding(codes.SHORT_JUMP)
    assert (finding.place, finding.cause) == ("gadget_threshold", "short jump at 0x100b to 0x1010")


def test_fail_control_runs_on(dll: Dlls, planned: Plans) -> None:
    fixed = dll(GADGET).write(0x114D, b"\x90\x90", old=b"\x5d\xc3")
    finding = planned(dll(GADGET).program(), fixed.program()).finding(codes.RUNS_ON)
    assert (finding.place, finding.cause) == ("gadget_measure", "control runs on at 0x114f")


@pytest.mark.parametrize("junk", [b"\xff\xff\xff\xff", b"\0\0\0\x7f"])
def test_fail_language_data_of_an_unknown_form(dll: Dlls, planned: Plans, junk: bytes) -> None:
    """The record of `sum` names no table of states any more; its code changes too."""
    sides = []
    for side in ("baseline", "fixed"):
        made = dll(f"{side}/throwing.dll")
        program = made.program()
        (index,) = [number for number, name in program.exported if name == "sum"]
        record = int(program.fragments.unwind[index])
        made.write(record + dict(program.exceptions.records)[record] - 4, junk)
        if side == "fixed":
            made.write(int(program.fragments.end[index]) - 2, b"\xf4")
            place = f"unwind record at {record:#x}"
        sides.append(made.program())
    assert planned(*sides).finding(codes.EXCEPTION_DATA).place == place


def test_a_constant_may_point_at_a_variable_of_the_baseline() -> None:
    """A new constant table with the address of a writable variable: the patch names the baseline's own."""

    def made(*table: Part) -> Dll:
        return Dll(
            code=(
                function("reader", ("load", "count"), RET),
                function("api", ("lea", "table"), b"\x8b\xc1", RET),
            ),
            constants=(datum("table", *table, b"12345678"),),
            variables=(datum("other", b"\x08\7\6\5\4\3\2\1"), datum("count", b"\1\2\3\4\5\6\7\x08")),
        )

    baseline, fixed = made(b"abcdefgh"), made(("pointer", "count"))
    plan = make_plan(against(baseline, fixed))
    assert not plan.refused
    (field,) = [field for chunk in plan.chunks for field in chunk.fields if field.kind is FieldKind.ADDR64]
    assert field.target == Target(None, baseline.labels()["count"])


def test_an_operand_behind_the_image_base_may_have_a_number_behind_it() -> None:
    """`cmp dword [rdx+rcx*4+table], N`: its field is an RVA, so what follows it does not count."""

    def made(number: int) -> Dll:
        base = b"\x48\x8d\x15" + struct.pack("<i", -0x1007)  # lea rdx, [image base]
        compared = (b"\x81\xbc\x8a", ("rva", "table"), struct.pack("<I", number))
        return Dll(
            code=(function("api", base, *compared, b"\x0f\x94\xc0", RET),),
            constants=(datum("table", struct.pack("<4I", 5, 6, 7, 8)),),
        )

    baseline, fixed = made(5), made(7)
    comparison = against(baseline, fixed)
    plan = make_plan(comparison)
    (field,) = [field for chunk in plan.chunks for field in chunk.fields if field.kind is FieldKind.ADDR32NB]
    assert (field.target, field.trailing) == (Target(None, baseline.labels()["table"]), 0)
    assert not plan.refused
    assert link(plan, comparison.baseline.program.image, 1).data
