"""The loader's list: found, read in order, and refused when it lies."""

import struct

import pytest

from hpbuild.codes import process as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.processes.loader_list import (
    MAX_MODULES,
    blocks_at,
    loaded_modules,
    main_machine,
    wide_text,
)
from tests.memories import ENTRIES, LOADER, PEB, Parts, process

ROWS = [("C:\\app\\app.exe", 0x140000000, 0x5000), ("C:\\app\\a.dll", 0x180000000, 0x3000)]
FIRST = ENTRIES + 0x10
"""The first entry's link."""


def refused(memory: Parts) -> Code:
    with pytest.raises(HpbuildError) as caught:
        loaded_modules(memory, PEB, "test")
    return caught.value.code


def test_modules_in_order() -> None:
    found = loaded_modules(process(ROWS), PEB, "test")
    assert [(each.name, each.path, each.base, each.size, each.file) for each in found] == [
        ("app.exe", "C:\\app\\app.exe", 0x140000000, 0x5000, None),
        ("a.dll", "C:\\app\\a.dll", 0x180000000, 0x3000, None),
    ]
    assert 0x180002FFF in found[1]
    assert 0x180003000 not in found[1]


def test_an_empty_list_is_a_process_that_starts() -> None:
    assert refused(process([])) is codes.PROCESS_STARTING
    memory = process(ROWS)
    memory.put(PEB + 0x18, bytes(8))
    assert refused(memory) is codes.PROCESS_STARTING


@pytest.mark.parametrize("target", [FIRST, FIRST + 0x100, 7, 0, 1 << 60])
def test_a_list_that_loops_or_leads_nowhere(target: int) -> None:
    memory = process(ROWS)
    memory.put(FIRST + 0x100, struct.pack("<Q", target))
    assert refused(memory) is codes.LOADER_LIST


def test_a_list_into_memory_that_is_not_there() -> None:
    memory = process(ROWS)
    memory.put(FIRST, struct.pack("<Q", 0x7770000))
    assert refused(memory) is codes.MEMORY_UNREADABLE


def test_a_list_without_end() -> None:
    """Ever new entries: all links lie in one large part, each leads to the next."""
    memory = process([])
    count = MAX_MODULES + 2
    row = bytearray(0x100 * count)
    for index in range(count):
        following = 0x10000000 + 0x100 * (index + 1) + 0x10
        struct.pack_into("<Q", row, 0x100 * index + 0x10, following)
        struct.pack_into("<QQI", row, 0x100 * index + 0x30, 0x100000000 + 0x10000 * index, 0, 0x1000)
    memory.put(0x10000000, bytes(row))
    memory.put(LOADER + 0x20, struct.pack("<Q", 0x10000010))
    assert refused(memory) is codes.LOADER_LIST


@pytest.mark.parametrize(
    ("base", "size"),
    [(0x180000001, 0x1000), (0, 0x1000), (0x190000000, 0), (1 << 47, 0x1000), ((1 << 47) - 0x1000, 0x2000),
     (0x140004000, 0x1000)],
)  # fmt: skip
def test_impossible_entries(base: int, size: int) -> None:
    """Not at a page, without size, outside the address space, over the module before it."""
    assert refused(process([ROWS[0], ("C:\\app\\a.dll", base, size)])) is codes.LOADER_LIST


def test_a_name_of_half_a_character() -> None:
    memory = process(ROWS)
    memory.put(FIRST - 0x10 + 0x48, struct.pack("<H", 7))
    assert refused(memory) is codes.LOADER_LIST


def test_names_do_not_steer_a_terminal() -> None:
    text = wide_text("a\x1b[2J\u202eb\n".encode("utf-16-le") + b"\x00\xd8")
    assert text.isprintable()
    assert text.startswith("a\\x1b[2J")


def test_blocks() -> None:
    memory = Parts()
    block = bytearray(0x1000)
    struct.pack_into("<Q", block, 0x30, 0x7000)
    struct.pack_into("<Q", block, 0x40, 32)
    struct.pack_into("<Q", block, 0x60, PEB)
    memory.put(0x7000, bytes(block))
    found = blocks_at(memory, 0x7000)
    assert found is not None
    assert (found.peb, found.windows_pid) == (PEB, 32)
    for offset, value in (
        (0x30, 0x8000),
        (0x60, 0),
        (0x60, PEB + 8),
        (0x60, 1 << 50),
        (0x40, 0),
        (0x40, 1 << 40),
    ):
        spoilt = Parts()
        spoilt.put(0x7000, bytes(block))
        spoilt.put(0x7000 + offset, struct.pack("<Q", value))
        assert blocks_at(spoilt, 0x7000) is None


def _program(machine: int) -> Parts:
    memory = process(ROWS)
    head = bytearray(0x1000)
    head[:2], head[0x3C] = b"MZ", 0x80
    head[0x80:0x86] = b"PE\0\0" + struct.pack("<H", machine)
    memory.put(0x140000000, bytes(head))
    memory.put(PEB + 0x10, struct.pack("<Q", 0x140000000))
    return memory


def test_the_programs_machine() -> None:
    assert main_machine(_program(0x8664), PEB, "test") == 0x8664
    assert main_machine(_program(0x14C), PEB, "test") == 0x14C


@pytest.mark.parametrize(
    ("address", "content", "code"),
    [
        (PEB + 0x10, bytes(8), codes.PROCESS_STARTING),
        (PEB + 0x10, struct.pack("<Q", 0x140000010), codes.LOADER_LIST),
        (PEB + 0x10, struct.pack("<Q", 1 << 50), codes.LOADER_LIST),
        (PEB + 0x10, struct.pack("<Q", 0x150000000), codes.MEMORY_UNREADABLE),
        (0x140000000, b"ZM", codes.LOADER_LIST),
        (0x14000003C, b"\xff\xff\xff\xff", codes.LOADER_LIST),
        (0x140000080, b"NE", codes.LOADER_LIST),
    ],
)
def test_no_program(address: int, content: bytes, code: Code) -> None:
    memory = _program(0x8664)
    memory.put(address, content)
    with pytest.raises(HpbuildError) as caught:
        main_machine(memory, PEB, "test")
    assert caught.value.code is code
