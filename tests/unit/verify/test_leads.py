"""Where jumps lead, through trampolines and into modules."""

import struct

import pytest

from hpbuild.pe.processes import LoadedModule
from hpbuild.verify.leads import describe_lead, jump_target
from tests.memories import Parts

HOME = LoadedModule(name="home.dll", path="C:\\home.dll", file=None, base=0x180000000, size=0x10000)
HOOK = LoadedModule(name="hook.dll", path="C:\\hook.dll", file=None, base=0x190000000, size=0x10000)
ENTRY, TARGET = HOME.base + 0x1000, HOOK.base + 0x2345
PRIVATE = 0x185000000


def rel32(at: int, target: int) -> bytes:
    return b"\xe9" + struct.pack("<i", target - at - 5)


FORMS = {
    "E9": rel32(ENTRY, TARGET),
    "FF 25": b"\xff\x25" + struct.pack("<iQ", 0, TARGET),
    "48 B8, FF E0": b"\x48\xb8" + struct.pack("<Q", TARGET) + b"\xff\xe0",
    "49 BA, 41 FF E2": b"\x49\xba" + struct.pack("<Q", TARGET) + b"\x41\xff\xe2",
    "68, C7 44 24 04, C3": b"\x68" + struct.pack("<I", TARGET & 0xFFFFFFFF) + b"\xc7\x44\x24\x04"
    + struct.pack("<I", TARGET >> 32) + b"\xc3",
}  # fmt: skip


def memory(*parts: tuple[int, bytes]) -> Parts:
    found = Parts()
    found.put(HOME.base, bytes(HOME.size))
    for address, content in parts:
        found.put(address, content if address in HOME else content.ljust(0x100, b"\0"))
    return found


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    held = memory((ENTRY, FORMS[form]))
    assert jump_target(held, ENTRY) == TARGET
    assert describe_lead(held, (HOME, HOOK), ENTRY) == "; it leads to hook.dll at 0x190000000+0x2345"


def test_push_and_return_into_the_low_half() -> None:
    assert jump_target(memory((ENTRY, b"\x68\x10\x20\x30\x40\xc3")), ENTRY) == 0x40302010


def test_a_short_jump_into_a_pad() -> None:
    held = memory((ENTRY, b"\xeb\xf9"), (ENTRY - 5, rel32(ENTRY - 5, TARGET)))
    assert "hook.dll" in describe_lead(held, (HOME, HOOK), ENTRY)


def test_through_a_trampoline() -> None:
    held = memory((ENTRY, rel32(ENTRY, PRIVATE)), (PRIVATE, b"\xff\x25\0\0\0\0" + struct.pack("<Q", TARGET)))
    said = describe_lead(held, (HOME, HOOK), ENTRY)
    assert said == "; it leads to hook.dll at 0x190000000+0x2345, through memory of no module at 0x185000000"


def test_nowhere() -> None:
    assert describe_lead(memory((ENTRY, b"\xcc")), (HOME,), ENTRY) == ""
    assert describe_lead(memory(), (HOME,), 0x7000) == ""
    held = memory((ENTRY, rel32(ENTRY, PRIVATE)))
    assert describe_lead(held, (HOME,), ENTRY) == "; it leads to 0x185000000, in no module"
    held = memory((ENTRY, rel32(ENTRY, HOME.base + 0x3000)))
    assert describe_lead(held, (HOME,), ENTRY) == "; it leads to home.dll itself, RVA 0x3000"


def test_circles_end() -> None:
    held = memory((ENTRY, rel32(ENTRY, PRIVATE)), (PRIVATE, rel32(PRIVATE, ENTRY)))
    assert "leads to" in describe_lead(held, (HOME,), ENTRY)


def test_code_at_the_end_of_memory() -> None:
    held = Parts()
    held.put(0x7FFB, rel32(0x7FFB, 0x9000))
    assert jump_target(held, 0x7FFB) == 0x9000
    held = Parts()
    held.put(0x7FFE, b"\xe9\0")
    assert jump_target(held, 0x7FFE) is None
