"""Run redirected code in an emulated processor: at its nominal place and moved, on another image base."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import unicorn
from unicorn.x86_const import UC_X86_REG_RAX, UC_X86_REG_RSP

from hpbuild.patchimage.link import link
from hpbuild.patchimage.place import place
from hpbuild.patchimage.read import read_patch_image
from hpbuild.patchimage.redirection import redirected
from hpbuild.pe.image import Image
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
)
from hpbuild.values import Interval, Rva

ENTRY, ADD_FIVE = 0x1010, 0x1100
STACK, RETURN = 0x10000, 0x5000
OLD_RESULT, NEW_RESULT = 1, 1000 + 5 + 70000 + 3


@pytest.fixture(scope="module")
def program(flat_baseline: Image) -> Image:
    """A baseline with two functions: one returns 1, one adds 5 to eax."""
    memory = np.full(flat_baseline.size_of_image, 0xCC, dtype=np.uint8)
    for rva, code in ((ENTRY, "b801000000c3"), (ADD_FIVE, "83c005c3")):
        raw = np.frombuffer(bytes.fromhex(code), dtype=np.uint8)
        memory[rva : rva + len(raw)] = raw
    return replace(flat_baseline, memory=memory)


def _plan(make: Callable[..., Chunk], kind: RedirectionKind, window: Interval, old: bytes) -> Plan:
    """lea rcx,[constant]; mov eax,[rcx]; call add_five; movabs rdx,&variable; add eax,[rdx]; then a jump
    through a table relative to itself to the last two instructions: add eax,3; ret."""
    code = bytes.fromhex(
        "488d0d00000000 8b01 e800000000 48ba0000000000000000 0302"
        "488d0d00000000 486311 4801ca ffe2 cc 83c003 c3"
    )
    last = len(code) - 4
    chunks = (
        make(
            ChunkKind.CODE,
            code,
            Field(3, FieldKind.REL32, Target(1, 0)),
            Field(10, FieldKind.REL32, Target(None, ADD_FIVE)),
            Field(16, FieldKind.ADDR64, Target(2, 0)),
            Field(29, FieldKind.REL32, Target(3, 0)),
        ),
        make(ChunkKind.RODATA, (1000).to_bytes(4, "little")),
        make(ChunkKind.DATA, (70000).to_bytes(4, "little")),
        make(ChunkKind.RODATA, bytes(4), Field(0, FieldKind.TABLE32, Target(0, last), origin=Target(3, 0))),
    )
    nothing: tuple[Interval, ...] = ()
    function = CarriedFunction(
        name="f",
        reason=Reason.CHANGED,
        level="",
        cause="",
        chunks=(0,),
        fixed=nothing,
        baseline=nothing,
    )
    site = RedirectionSite(function=0, kind=kind, entry=Rva(ENTRY), window=window, old=old)
    return Plan(
        chunks=chunks,
        functions=(function,),
        data=(),
        unwind=(),
        redirections=(site,),
        exclusions=(),
        findings=(),
    )


def _run(base: int, parts: dict[int, bytes]) -> int:
    """eax after a call of the baseline's entry; ``parts`` are bytes by RVA."""
    machine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    machine.mem_map(STACK, 0x1000)
    for rva, content in parts.items():
        machine.mem_map(base + rva, -(-len(content) // 0x1000) * 0x1000)
        machine.mem_write(base + rva, content)
    machine.mem_write(STACK + 0x800, RETURN.to_bytes(8, "little"))
    machine.reg_write(UC_X86_REG_RSP, STACK + 0x800)
    machine.emu_start(base + ENTRY, RETURN, count=100)
    return int(machine.reg_read(UC_X86_REG_RAX)) & 0xFFFFFFFF


@pytest.mark.parametrize("kind", list(RedirectionKind))
@pytest.mark.parametrize(("base", "delta"), [(0x180000000, 0), (0x7FF600000000, 0x7FE00000)])
def test_a_call_of_the_old_entry_runs_the_new_code(
    kind: RedirectionKind, base: int, delta: int, program: Image, make_chunk: Callable[..., Chunk]
) -> None:
    window = Interval(ENTRY - 8, ENTRY + 8)
    plan = _plan(make_chunk, kind, window, program.read(window.start, len(window)))
    linked = link(plan, program, 1)
    patch = read_patch_image(linked.data, "patch", program.size_of_image)
    moved = place(patch.memory, patch.range, program.image_base, linked.fixups, base, delta)
    old = program.memory.tobytes()
    (site,) = plan.redirections
    target = linked.chunk_rvas[0]
    assert redirected(kind, site.entry, window, site.old, target) == linked.redirections[0]
    new = redirected(kind, site.entry, window, site.old, target + delta)
    patched = old[: window.start] + new + old[window.end :]
    place_of_patch = patch.base_rva + delta
    assert _run(base, {0: old, place_of_patch: moved}) == OLD_RESULT
    assert _run(base, {0: patched, place_of_patch: moved}) == NEW_RESULT
