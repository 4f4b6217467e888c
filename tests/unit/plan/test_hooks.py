"""Entries that are redirected in the baseline already, and baselines that are patches."""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpbuild.code.model import Program
from hpbuild.codes import traps
from hpbuild.plan.hooks import hook
from tests import assembled
from tests.assembled import Part, function

NAME = "variants/constant_table/baseline/gadget.dll"
FIXED = "variants/constant_table/fixed/gadget.dll"
ENTRY = 0x1020
"""gadget_weigh, which the pair changes."""

FAR = struct.pack("<Q", 0x7FFE12345678)

Dlls = Callable[[str], Any]
Plans = Callable[..., Any]


def near(target: int) -> bytes:
    return b"\xe9" + struct.pack("<i", target - ENTRY - 5)


HOOKS = {
    "far away": (near(0x40000000), "a jump to 0x40000000, where the image has no code"),
    "data": (near(0x2000), "a jump to 0x2000, where the image has no code"),
    "headers": (near(0x200), "a jump to 0x200, where the image has no code"),
    "filler": (b"\xeb\xf9", "a short jump to 0x101b, before the entry"),
    "old filler": (b"\xeb\xf8", "a short jump to 0x101a, before the entry"),
    "farthest": (b"\xeb\xee", "a short jump to 0x1010, before the entry"),
    "pointer": (b"\xff\x25\0\0\0\0" + FAR, "a jump through the pointer behind it"),
    "register": (
        b"\x48\xb8" + FAR + b"\xff\xe0",
        "a jump to a fixed address in a register",
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", HOOKS)
def test_fail_a_hooked_entry(dll: Dlls, planned: Plans, shape: str) -> None:
    code, cause = HOOKS[shape]
    found = planned(dll(NAME).write(ENTRY, code).program(), dll(FIXED).program())
    finding = found.finding(traps.HOOKED)
    assert (finding.place, finding.cause) == ("gadget_weigh", cause)
    assert found.plan.refused


@pytest.mark.parametrize("code", [near(0x1010), b"\xeb\x10", b"\xff\x25" + struct.pack("<i", 0x1000)])
def test_a_jump_that_compilers_make_is_no_hook(dll: Dlls, planned: Plans, code: bytes) -> None:
    """To another function, forward, through an import slot."""
    found = planned(dll(NAME).write(ENTRY, code).program(), dll(FIXED).program())
    assert "gadget_weigh" in found.names()
    assert traps.HOOKED.id not in found.codes


def test_a_hook_in_a_function_that_stays_does_not_matter(dll: Dlls, planned: Plans) -> None:
    sides = [dll(name).write(0x1000, HOOKS["register"][0]).program() for name in (NAME, FIXED)]
    assert traps.HOOKED.id not in planned(*sides).codes


@pytest.mark.parametrize("patched", ["baseline", "fixed"])
def test_fail_an_image_with_a_hotpatch_table(dll: Dlls, planned: Plans, patched: str) -> None:
    """throwing.dll whose load configuration is long enough to say where its table would be."""
    sides = {side: dll(f"{side}/throwing.dll") for side in ("baseline", "fixed")}
    directory = sides[patched].program().image.directories[10]
    assert sides[patched].program().image.u32(directory.start) >= 0xF4
    sides[patched].write(directory.start + 0xF0, struct.pack("<I", 0x1000))
    found = planned(sides["baseline"].program(), sides["fixed"].program())
    finding = found.finding(traps.PATCHED_BASELINE)
    assert (finding.place, finding.cause) == (patched, "its hotpatch table is at 0x1000")
    assert found.plan.refused


def test_patch_images_may_be_compared_where_nothing_would_be_carried(dll: Dlls, planned: Plans) -> None:
    made = dll("baseline/throwing.dll")
    made.write(made.program().image.directories[10].start + 0xF0, struct.pack("<I", 0x1000))
    assert planned(made.program(), made.program()).plan.findings == ()


class TestAnotherSection:
    """A patched copy: code sections were added behind the old ones, and entries jump there."""

    @staticmethod
    def cut(program: Program, at: int) -> Program:
        """The code section as two, the second from ``at`` on."""
        text, *rest = program.image.sections
        first = replace(text, virtual_size=at - text.rva, raw_size=at - text.rva)
        second = replace(text, name=".hp1", rva=at, virtual_size=text.virtual_size + text.rva - at)
        return replace(program, image=replace(program.image, sections=(first, second, *rest)))

    def test_fail_a_jump_over_the_old_body(self, dll: Dlls) -> None:
        program = dll(NAME).write(ENTRY, near(0x1150)).program()
        root = program.fragment_at(ENTRY)
        assert hook(self.cut(program, 0x1140), root).startswith("a jump to 0x1150 in section .hp1, over ")
        assert hook(program, root) == ""

    def test_a_thunk_is_nothing_but_its_jump(self, dll: Dlls) -> None:
        program = dll(NAME).write(ENTRY, near(0x1150)).program()
        root = program.fragment_at(ENTRY)
        end = program.fragments.end.copy()
        end[root] = ENTRY + 5
        short = replace(program, fragments=replace(program.fragments, end=end))
        assert hook(self.cut(short, 0x1140), root) == ""


@pytest.mark.parametrize("size", [1, 2, 4, 5, 11])
@pytest.mark.parametrize("shape", HOOKS)
def test_an_entry_at_the_very_end_of_the_image(dll: Dlls, shape: str, size: int) -> None:
    """Nothing behind the image is read."""
    program = dll(NAME).write(ENTRY, HOOKS[shape][0]).program()
    image = replace(
        program.image, memory=program.image.memory[: ENTRY + size], size_of_image=ENTRY + size, sections=()
    )
    fragments = replace(program.fragments, end=np.minimum(program.fragments.end, ENTRY + size))
    told = hook(replace(program, image=image, fragments=fragments), program.fragment_at(ENTRY))
    assert told in ("", HOOKS[shape][1])


@pytest.mark.parametrize(("target", "told"), [(("pointer", "other"), ""), (FAR, HOOKS["register"][1])])
def test_a_relocated_address_in_a_register_is_the_compilers_own(target: Part, told: str) -> None:
    """A thunk of code for large images."""
    items = (
        function("thunk", b"\x48\xb8", target, b"\xff\xe0"),
        function("other", b"\x33\xc0\xc3"),
    )
    program = assembled.Dll(code=items).program()
    assert hook(program, program.fragment_at(0x1000)) == told
