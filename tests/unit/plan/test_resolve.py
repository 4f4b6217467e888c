"""Where carried code leads: to the patch, to the baseline, or nowhere."""

from collections.abc import Callable
from typing import Any

from hpbuild.codes import plan as codes
from hpbuild.plan.model import ChunkKind, FieldKind
from hpbuild.values import Interval

GADGET = "variants/data_init/baseline/gadget.dll"
THRESHOLD = 0x3000

Dlls = Callable[[str], Any]
Plans = Callable[..., Any]


def _chunk(found: Any, name: str) -> Any:
    (chunk,) = [chunk for chunk in found.plan.chunks if chunk.name == name and chunk.kind is ChunkKind.CODE]
    return chunk


def test_a_call_of_a_carried_function_goes_to_the_new_code(pair: Callable[..., Any]) -> None:
    found = pair(".", "codec", "auto")
    chunk, helper = _chunk(found, "base64_decode"), _chunk(found, "tail_status")
    number = found.plan.chunks.index(helper)
    assert [field.target.offset for field in chunk.fields if field.target.chunk == number] == [0]


def test_a_call_of_itself_goes_to_the_new_code(pair: Callable[..., Any]) -> None:
    found = pair(".", "codec", "auto")
    chunk = _chunk(found, "codec_transform")
    number = found.plan.chunks.index(chunk)
    assert any(field.target.chunk == number and field.target.offset == 0 for field in chunk.fields)


def test_what_is_identical_stays_in_the_baseline(pair: Callable[..., Any]) -> None:
    found = pair(".", "codec", "auto")
    program = found.comparison.baseline.program
    names = {
        int(program.fragments.start[index]): program.name_of(index) for index in range(len(program.names))
    }
    chunk = _chunk(found, "base64_decode")
    outside = {names[field.target.offset] for field in chunk.fields if field.target.offset in names}
    assert outside == {"symbol_value", "trace"}
    starts = {use.range.start: use for use in found.plan.uses}
    for index, name in program.names.items():
        start = int(program.fragments.start[index])
        if name in outside:
            assert starts[start].range == Interval(start, int(program.fragments.end[index]))
            assert starts[start].constant


def test_an_import_slot_is_found_by_name(pair: Callable[..., Any]) -> None:
    found = pair("variants/line_only", "gadget")
    slots = found.comparison.baseline.program.slots
    uses = {slots[use.range.start]: use for use in found.plan.uses if use.range.start in slots}
    assert set(uses) == {"kernel32.dll!OutputDebugStringA"}
    assert all(len(use.range) == 8 and not use.constant for use in uses.values())


def test_a_variable_is_no_constant(pair: Callable[..., Any]) -> None:
    found = pair("variants/removed", "gadget")
    (use,) = [use for use in found.plan.uses if use.range.start == THRESHOLD]
    assert not use.constant
    (chunk,) = [chunk for chunk in found.plan.chunks if chunk.kind is ChunkKind.CODE]
    (field,) = [field for field in chunk.fields if field.target.offset == THRESHOLD]
    assert (field.kind, field.target.chunk) == (FieldKind.REL32, None)


def test_fail_new_import(pair: Callable[..., Any]) -> None:
    finding = pair("variants/new_import", "gadget").finding(codes.NEW_IMPORT)
    assert (finding.place, finding.cause) == ("gadget_report", "imports kernel32.dll!GetCurrentProcessId")


def test_fail_address_behind_a_section(dll: Dlls, planned: Plans) -> None:
    program = dll(GADGET).program()
    fixed = dll(GADGET).retarget(program, "gadget_threshold", THRESHOLD, 0x3200)
    finding = planned(program, fixed.program()).finding(codes.UNRESOLVED)
    assert (finding.place, finding.cause) == ("gadget_threshold", "0x3200 is neither code nor data")


def test_fail_loader_structure_that_the_baseline_lacks(dll: Dlls, planned: Plans) -> None:
    """The tables of gadget.dll's imports lie in two runs: which one is meant is not known."""
    program = dll(GADGET).program()
    (start, _), _ = [(start, end) for name, start, end in program.metadata if name == "imports"]
    fixed = dll(GADGET).retarget(program, "gadget_threshold", THRESHOLD, start + 4)
    finding = planned(program, fixed.program()).finding(codes.UNRESOLVED)
    assert finding.place == "gadget_threshold"
    assert "imports" in finding.cause


def test_headers_are_found_at_the_same_place(dll: Dlls, planned: Plans) -> None:
    program = dll(GADGET).program()
    fixed = dll(GADGET).retarget(program, "gadget_threshold", THRESHOLD, 0x3C)
    found = planned(program, fixed.program())
    assert found.plan.findings == ()
    (chunk,) = [chunk for chunk in found.plan.chunks if chunk.kind is ChunkKind.CODE]
    assert [(field.target.chunk, field.target.offset) for field in chunk.fields] == [(None, 0x3C)]


def test_fail_pointer_that_leaves_the_image(dll: Dlls, planned: Plans) -> None:
    """The first pointer of the new table of status texts."""
    library = dll("fixed/codec.dll")
    place = library.program().image.memory.tobytes().index(b"unknown status\0") - 40
    fixed = library.write(place + 7, b"\x01", old=b"\x00")
    finding = planned(dll("baseline/codec.dll").program(), fixed.program()).finding(codes.UNRESOLVED)
    assert "neither code nor data" in finding.cause
