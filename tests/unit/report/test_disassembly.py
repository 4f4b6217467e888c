"""Old and new code side by side."""

import pytest

from hpbuild.report import plain
from hpbuild.report.disassembly import ALIGNED_AT_MOST, LEGEND, aligned, blocks, function

OLD = [(0x1000, "55", "push rbp"), (0x1001, "e8fa0f0000", "call 0x2000"), (0x1006, "c3", "ret")]
NEW = [
    (0x9000, "55", "push rbp"),
    (0x9001, "85c9", "test ecx, ecx"),
    (0x9003, "e8f80f0000", "call 0xa000"),
    (0x9008, "5d", "pop rbp"),
]


def test_addresses_do_not_count_as_differences() -> None:
    text = plain.render(blocks([function("codec.dll", "f", OLD, NEW)]))
    assert text.startswith(f"code, old and new\n{LEGEND}\n\n")
    assert [line.split() for line in text.splitlines()[3:]] == [
        ["code", "of", "f", "in", "codec.dll"],
        ["rva", "baseline", "rva", "patch", "image"],
        ["0x1000", "push", "rbp", "0x9000", "push", "rbp"],
        ["+", "0x9001", "test", "ecx,", "ecx"],
        ["0x1001", "call", "0x2000", "0x9003", "call", "0xa000"],
        ["0x1006", "ret", "!", "0x9008", "pop", "rbp"],
    ]


@pytest.mark.parametrize(
    ("old", "new", "marked"),
    [
        ("cmp eax, 0x5", "cmp eax, 0x6", True),
        ("cmp eax, 5", "cmp eax, 6", True),
        ("mov rax, [rcx+8]", "mov rax, [rcx+0x10]", True),
        ("je short 0x1010", "je 0x9010", True),
        ("je 0x1010", "je 0x9010", False),
        ("jmp short 0x1010", "jmp short 0x9010", False),
        ("lea rcx, [0x3000]", "lea rcx, [0x4000]", False),
        ("mov dword ptr [0x3000], 1", "mov dword ptr [0x4000], 2", True),
        ("push rbp", "push rbp", False),
    ],
)
def test_a_changed_constant_is_marked(old: str, new: str, marked: bool) -> None:
    entry = function("m", "f", [(0x1000, "90", old)], [(0x9000, "90", new)])
    row = plain.render(blocks([entry])).splitlines()[-1]
    assert ("  !  " in row) is marked


def test_without_a_baseline_one_side_is_shown() -> None:
    text = plain.render(blocks([function("codec.dll", "", None, NEW[:1])]))
    assert text == "code of (no name) in codec.dll\n  rva     bytes  patch image\n  0x9000  55     push rbp\n"


def test_an_added_function_has_an_empty_side() -> None:
    (pair,) = aligned([], function("m", "f", [], NEW[:1])["patch"])
    assert pair[0] is None


def test_very_long_functions_are_not_aligned_but_complete() -> None:
    old = [{"rva": index, "bytes": "90", "text": f"a{index}"} for index in range(ALIGNED_AT_MOST + 1)]
    pairs = list(aligned(old, old[1:]))
    assert [pair[0] for pair in pairs] == old
    assert [pair[1] for pair in pairs[:-1]] == old[1:]
    assert pairs[-1][1] is None
