"""Bytes that would be carried without being understood."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpbuild.codes import plan as codes
from hpbuild.plan.hidden import counterpart, counterparts

GADGET = "variants/data_init/baseline/gadget.dll"
NAMES = [
    "codec_rotate",
    "codec_find",
    "codec_count",
    "same_text",
    "hex_bound",
    "hex_encode",
    "trace",
    "count",
]

Dlls = Callable[[str], Any]
Plans = Callable[..., Any]


class TestMovedWords:
    """The constant table of codec.dll, filled with addresses of functions that nothing declares."""

    @pytest.fixture
    def sides(self, dll: Dlls, binaries: Path) -> Callable[..., list[Any]]:
        def make(relative: bool, odd: int = 0, words: int = len(NAMES)) -> list[Any]:
            made = []
            for side in ("baseline", "fixed"):
                pdb = binaries / side / "codec.pdb"
                library = dll(f"{side}/codec.dll")
                program = library.program(pdb)
                (table,) = [symbol.rva for symbol in program.symbols.items if symbol.name == "crc_table"]
                places = {name: int(program.fragments.start[index]) for index, name in program.names.items()}
                values = [places[name] - relative * table for name in NAMES][:words]
                values[-1] += odd * (side == "fixed")
                library.write(table, struct.pack(f"<{words}i", *values))
                made.append(library.program(pdb))
            return made

        return make

    @pytest.mark.parametrize("relative", [False, True])
    def test_fail_every_word_moved_with_its_target(
        self, planned: Plans, sides: Callable[..., list[Any]], relative: bool
    ) -> None:
        found = planned(*sides(relative))
        finding = found.finding(codes.UNSEEN_ADDRESS)
        (table,) = [datum for datum in found.plan.data if datum.name == "crc_table"]
        assert finding.place == f"data at {table.fixed.start:#x}"
        assert finding.cause.startswith("8 words")
        assert found.plan.refused

    def test_one_word_that_is_no_address_makes_it_a_table_of_numbers(
        self, planned: Plans, sides: Callable[..., list[Any]]
    ) -> None:
        found = planned(*sides(relative=False, odd=0x1001))
        assert "crc_table" in {datum.name for datum in found.plan.data}
        assert not found.plan.refused

    def test_one_word_alone_may_be_chance(self, planned: Plans, sides: Callable[..., list[Any]]) -> None:
        assert not planned(*sides(relative=False, words=1)).plan.refused

    def test_a_changed_table_of_numbers_is_carried(self, pair: Plans) -> None:
        assert pair("variants/constant_table", "gadget", "auto").plan.findings == ()


def test_fail_a_jump_table_with_more_than_was_understood(dll: Dlls, planned: Plans) -> None:
    """An entry that leads nowhere ends what is read of a table; those behind it would not be moved."""
    library = dll("fixed/codec.dll")
    program = library.program()
    (index,) = [number for number, name in program.exported if name == "codec_transform"]
    start, end = int(program.fragments.start[index]), int(program.fragments.end[index])
    fields = program.fields
    rows = [row for row in range(len(fields)) if fields.origin[row] and start < fields.target[row] < end]
    library.write(int(fields.site[rows[4]]), struct.pack("<i", 0x7F000000))
    found = planned(dll("baseline/codec.dll").program(), library.program())
    finding = found.finding(codes.UNSEEN_ADDRESS)
    assert finding.place == f"data at {int(fields.origin[rows[0]]):#x}"
    assert finding.cause.endswith("bytes behind its jump table")


class TestUnknownParts:
    CODE = bytes.fromhex("8b05fa1f0000 c3")
    """gadget_threshold without a frame: mov eax,[threshold]; ret. Five bytes shorter."""

    @pytest.mark.parametrize("junk", ["0606060606", "ffffffffff"])
    def test_fail_bytes_behind_the_last_instruction(self, dll: Dlls, planned: Plans, junk: str) -> None:
        fixed = dll(GADGET).write(0x1000, self.CODE + bytes.fromhex(junk))
        finding = planned(dll(GADGET).program(), fixed.program()).finding(codes.CODE_AS_DATA)
        assert (finding.place, finding.cause) == ("gadget_threshold", "5 bytes at 0x1007")

    def test_filler_there_is_nothing(self, dll: Dlls, planned: Plans) -> None:
        fixed = dll(GADGET).write(0x1000, self.CODE + b"\xcc" * 5)
        found = planned(dll(GADGET).program(), fixed.program())
        assert found.names() == {"gadget_threshold": "changed"}
        assert found.plan.findings == ()


def test_counterparts_of_many_addresses(pair: Callable[..., Any]) -> None:
    comparison = pair(".", "codec", "none").comparison
    image = comparison.fixed.program.image
    places = np.append(np.arange(0, image.size_of_image, 5), [-1, 0xFFFFFFFF, -(1 << 31)])
    found = counterparts(comparison, places).tolist()
    assert found == [counterpart(comparison, place) for place in places.tolist()]
    assert sum(place >= 0 for place in found) > 500
