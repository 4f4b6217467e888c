"""What is carried, and every refusal that follows from data."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild.codes import plan as codes

GADGET = "variants/data_init/baseline/gadget.dll"
CODEC = "baseline/codec.dll"
CODEC_DEFAULT = 0x4008
"""A writable pointer of codec.dll, exported."""

Dlls = Callable[[str], Any]
Plans = Callable[..., Any]


@pytest.fixture(scope="session")
def crc_table(dll: Dlls) -> int:
    """Address of the constant table in codec.dll."""
    memory = dll(CODEC).program().image.memory.tobytes()
    return memory.index(struct.pack("<2I", 0, 0x1DB71064))


def test_nothing_is_carried_for_an_image_and_itself(dll: Dlls, planned: Plans) -> None:
    program = dll(CODEC).program()
    plan = planned(program, program).plan
    assert (plan.functions, plan.data, plan.chunks, plan.redirections, plan.findings) == ((), (), (), (), ())


def test_a_changed_function_takes_new_functions_and_data_along(pair: Plans) -> None:
    found = pair(".", "codec", "auto")
    assert found.names() == {
        "base64_decode": "changed",
        "tail_status": "added",
        "codec_status_text": "changed",
        "runlength_decode": "changed",
        "codec_transform": "changed",
    }
    kinds = {datum.kind.value for datum in found.plan.data}
    assert kinds == {"rodata"}
    texts = b"".join(chunk.content for chunk in found.plan.chunks)
    assert b"run does not fit into the output buffer" in texts
    assert b"symbol outside of the base64 alphabet" not in texts  # the baseline has it


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_a_changed_constant_takes_its_readers_along(pair: Plans, symbols: str) -> None:
    found = pair("variants/constant_table", "gadget", symbols)
    (function,) = found.plan.functions
    (datum,) = found.plan.data
    assert found.names() == {function.name: "referrer" if symbols == "auto" else "changed"}
    old, new = (3, 1, 4, 1, 5, 9, 2, 6), (3, 1, 4, 1, 5, 8, 2, 7)
    assert found.plan.chunks[datum.chunk].content == struct.pack("<8I", *new)
    assert found.comparison.baseline.program.image.read(datum.fixed.start, 32) == struct.pack("<8I", *old)
    assert found.plan.findings == ()


def test_new_variables_are_carried_with_their_initial_value(pair: Plans) -> None:
    found = pair("variants/static_var", "gadget", "auto")
    data = {datum.name: datum for datum in found.plan.data}
    assert sorted(data) == ["calls", "smallest"] or len(data) == 2
    contents = sorted(found.plan.chunks[datum.chunk].content for datum in data.values())
    assert contents == [b"\0\0\0\0", struct.pack("<i", 2147483647)]
    assert {datum.kind.value for datum in data.values()} == {"data"}
    assert {datum.reason.value for datum in data.values()} == {"added"}
    assert found.plan.findings == ()


def test_new_code_that_nothing_uses_stays_behind(pair: Plans) -> None:
    assert pair("variants/new_export", "gadget").plan.functions == ()


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_fail_changed_initial_value(pair: Plans, symbols: str) -> None:
    found = pair("variants/data_init", "gadget", symbols)
    finding = found.finding(codes.CHANGED_INITIALISER)
    assert "0x3000" in finding.place
    assert found.plan.refused


def test_fail_changed_pointer_in_a_variable(dll: Dlls, planned: Plans) -> None:
    """Another text for a variable that points at it: its initial value is another address."""
    memory = dll(CODEC).program().image.memory.tobytes()
    fixed = dll(CODEC).write(memory.index(b"base64\0"), b"base46")
    found = planned(dll(CODEC).program(), fixed.program())
    assert f"{CODEC_DEFAULT:#x}" in found.finding(codes.CHANGED_INITIALISER).place


def test_fail_variable_that_points_at_changed_data(
    dll: Dlls, planned: Plans, crc_table: int, binaries: Path
) -> None:
    pdb = binaries / "baseline" / "codec.pdb"

    def made() -> Any:
        old = dll(CODEC)
        base = old.program().image.image_base
        return old.write(CODEC_DEFAULT, struct.pack("<Q", base + crc_table))

    found = planned(made().program(pdb), made().write(crc_table + 8, b"\1").program(pdb))
    finding = found.finding(codes.STALE_POINTER)
    assert f"{CODEC_DEFAULT:#x}" in finding.place
    assert f"{crc_table:#x}" in finding.cause
    unchanged = planned(made().program(pdb), made().program(pdb))
    assert unchanged.plan.findings == ()


def _with_spare_variable(made: Any) -> Any:
    """Make the writable section of gadget.dll longer: zeros that nothing names yet."""
    (header,) = struct.unpack_from("<I", made.data, 0x3C)
    (optional,) = struct.unpack_from("<H", made.data, header + 20)
    row = header + 24 + optional + 2 * 40
    assert made.data[row : row + 5] == b".data"
    struct.pack_into("<I", made.data, row + 8, 0x40)
    return made


def test_fail_new_variable_where_an_old_one_lost_its_partner(dll: Dlls, planned: Plans) -> None:
    gadget = dll(GADGET).program()
    fixed = _with_spare_variable(dll(GADGET)).retarget(gadget, "gadget_threshold", 0x3000, 0x3018)
    lost = dll("variants/static_var/fixed/gadget.dll").program()
    found = planned(lost, fixed.program())
    assert "0x3018" in found.finding(codes.AMBIGUOUS_VARIABLE).place


def test_a_new_variable_is_new_where_every_old_one_has_its_partner(dll: Dlls, planned: Plans) -> None:
    gadget = dll(GADGET).program()
    fixed = _with_spare_variable(dll(GADGET)).retarget(gadget, "gadget_threshold", 0x3000, 0x3018)
    found = planned(gadget, fixed.program())
    assert found.plan.findings == ()
    assert [datum.reason.value for datum in found.plan.data] == ["added"]


@pytest.mark.parametrize("old", [b"gadget: failed", b"g\0d\0e\0 \0f\0l\0"])
@pytest.mark.parametrize("new", [slice(0, 2), slice(8, 10), slice(0, 10)])
def test_a_text_that_is_named_in_its_middle_too_stays_whole(
    dll: Dlls, planned: Plans, old: bytes, new: slice
) -> None:
    """A linker lets a text that ends like another share its end."""
    place = dll(GADGET).program().image.memory.tobytes().index(b"gadget: failed")
    changed = bytearray(old)
    changed[new.start] ^= 1
    changed[new.stop - 2] ^= 2

    def made(text: bytes) -> Any:
        program = dll(GADGET).program()
        sharing = dll(GADGET).retarget(program, "gadget_threshold", 0x3000, place + 8)
        return sharing.write(place, text.ljust(16, b"\0")).program()

    found = planned(made(old), made(bytes(changed)))
    assert not found.plan.refused
    contents = [found.plan.chunks[datum.chunk].content for datum in found.plan.data]
    assert len(contents) == 1
    assert contents[0].startswith(bytes(changed) + b"\0")


class TestExportedData:
    @staticmethod
    def exported(made: Any, rva: int) -> Any:
        return made.move_exports([0x1000, 0x1010, rva])

    def test_fail_content_differs(self, dll: Dlls, planned: Plans) -> None:
        sides = [
            self.exported(dll(f"variants/constant_table/{side}/gadget.dll"), 0x2030).program()
            for side in ("baseline", "fixed")
        ]
        finding = next(
            finding for finding in planned(*sides).plan.findings if finding.code is codes.EXPORTED_DATA
        )
        assert "0x2030" in finding.cause

    def test_fail_content_differs_that_no_code_uses(self, dll: Dlls, planned: Plans) -> None:
        """Other modules may read it all the same."""
        program = dll(GADGET).program()
        text = program.image.memory.tobytes().index(b"gadget: failed")
        old = self.exported(dll(GADGET), text + 8)
        new = self.exported(dll(GADGET), text + 8).write(text + 8, b"passed")
        found = planned(old.program(), new.program())
        assert codes.EXPORTED_DATA.id in found.codes

    def test_data_under_a_new_name_is_no_change(self, dll: Dlls, planned: Plans) -> None:
        old = dll("variants/new_export/baseline/gadget.dll")
        new = dll("variants/new_export/fixed/gadget.dll")
        text = new.program().image.memory.tobytes().index(b"gadget: failed") + 8
        places = [text] + [0x1000 + 16 * number for number in range(12)]
        found = planned(old.program(), new.write(text, b"passed").move_exports(places).program())
        exported = dict(found.comparison.fixed.program.exported_data)
        assert exported[text] == "gadget_budget"
        assert codes.EXPORTED_DATA.id not in found.codes

    def test_the_same_content_is_no_difference(self, dll: Dlls, planned: Plans) -> None:
        program = self.exported(dll(GADGET), 0x2030).program()
        assert planned(program, program).plan.findings == ()
