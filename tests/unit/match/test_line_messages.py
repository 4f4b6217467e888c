"""Lines that are printed, and numbers that are printed as something else."""

import struct

import pytest

from tests.assembled import Dll, Part, datum, diff, function
from tests.lines import (
    ALL,
    CHECK_CALL,
    CLOSE,
    FILE,
    HOLD,
    NOTIFY,
    OPEN,
    SAY,
    TEXTS,
    UNKNOWN,
    Body,
    assertions,
    checks,
    dll,
    judged,
    outcome,
    put,
    said,
)


@pytest.mark.parametrize(
    "call",
    [
        (UNKNOWN,),
        (b"\xff\x50\x08",),  # call [rax+8]
        (b"\x48\x83\xc4\x28\xff\xe0",),  # add rsp, 28h; jmp rax
        (CHECK_CALL,),
        (NOTIFY,),
        (HOLD, b"\xff\xd3"),
    ],
)
def test_one_message_is_enough_whoever_gets_it(call: tuple[Part, ...]) -> None:
    made = [assertions([SAY, FILE, put("r8d", value), *call]) for value in (77, 80)]
    assert outcome(diff(*made)) == (["f0"], [])


def test_message_behind_other_arguments() -> None:
    """(*rsi)(0, "%s: … %s:%d", …): xor ecx, ecx; lea rdx, two; lea r9, file; mov dword [rsp+20h], LINE."""
    made = []
    for value in (77, 80):
        line = b"\xc7\x44\x24\x20" + struct.pack("<I", value)
        one = dll([b"\x31\xc9", ("lea rdx", "two"), ("lea r8", "text"), ("lea r9", "file"), line, UNKNOWN])
        made.append(Dll(code=one.code, constants=(*TEXTS, datum("two", b"%s: at %s:%d\n\0"))))
    assert outcome(diff(*made)) == (["f0"], [])


@pytest.mark.parametrize(
    ("format_", "name", "register", "known"),
    [
        (SAY, FILE, "r8d", True),
        (("lea rcx", "text"), FILE, "r8d", False),  # prints nothing
        (("lea rcx", "state"), FILE, "r8d", False),  # a format that may be another by then
        (SAY, ("lea rdx", "text"), "r8d", False),  # no source file
        (SAY, FILE, "r9d", False),  # behind what is printed
        (SAY, ("lea r8", "file"), "r9d", False),
        (SAY, ("lea r8", "file"), "edx", False),
        (SAY, ("lea rdx", "host"), "r8d", False),  # "example.cc:443"
        (SAY, ("lea rdx", "path"), "r8d", True),
        (b"\x31\xc9", FILE, "r8d", False),
    ],
)
def test_messages_that_print_no_line(format_: Part, name: Part, register: str, known: bool) -> None:
    made = []
    for value in (77, 80):
        one = dll(said(value, format_=format_, name=name, register=register))
        state = (datum("state", b"at %s:%d\n\0"),)
        made.append(Dll(code=one.code, constants=TEXTS, variables=state))
    assert outcome(diff(*made)) == ((["f0"], []) if known else ([], ["f0"]))


def test_message_of_two_formats() -> None:
    """test ecx, ecx; je +9; lea rcx, message; jmp +7; lea rcx, …"""

    def made(value: int, second: str) -> Dll:
        both: list[Part] = [b"\x85\xc9\x74\x09", SAY, b"\xeb\x07", ("lea rcx", second)]
        return dll([*both, FILE, put("r8d", value), UNKNOWN])

    assert outcome(diff(made(77, "message"), made(80, "message"))) == (["f0"], [])
    assert outcome(diff(made(77, "text"), made(80, "text"))) == ([], ["f0"])


@pytest.mark.parametrize("values", [(90, 80), (80, 80), (1, 99), (1_000_000, 1_000_001)])
def test_messages_whose_lines_contradict(values: tuple[int, int]) -> None:
    made = [dll(said(*each)) for each in ((77, 88), values)]
    assert outcome(diff(*made)) == ([], ["f0"])


@pytest.mark.parametrize(("text", "name"), [("message", "file"), ("again", "file"), ("message", "copy")])
def test_unchanged_messages_count(text: str, name: str) -> None:
    """An unchanged function has line 79, where 77 became 80 before; also with another format or another copy
    of the name."""
    still = (
        function(
            "still",
            OPEN,
            b"\x48\xff\xc6",
            *said(79, format_=("lea rcx", text), name=("lea rdx", name)),
            CLOSE,
        ),
    )
    made = []
    for value in (77, 80):
        one = dll(said(value), more=still)
        made.append(
            Dll(
                code=one.code,
                constants=(*TEXTS, datum("again", b"%s(%d): bad\n\0"), datum("copy", b"source/file.c\0")),
            )
        )
    assert outcome(diff(*made)) == ([], ["f0"])
    other = (function("still", OPEN, b"\x48\xff\xc6", *said(79, name=("lea rdx", "second")), CLOSE),)
    assert outcome(diff(*(dll(said(value), more=other) for value in (77, 80)))) == (["f0"], [])


def test_line_of_a_message_that_is_used_otherwise() -> None:
    """mov ebx, LINE; …; mov r8d, ebx; call rsi; mov ecx, ebx; call [rax+8], check, or nothing."""

    def made(value: int, *use: Part) -> Dll:
        first = b"\xbb" + struct.pack("<I", value)
        return dll([first, SAY, FILE, b"\x41\x89\xd8", UNKNOWN, *use, b"\xbb\0\0\0\0"])

    assert outcome(diff(made(77), made(80))) == (["f0"], [])
    for use in (b"\x89\xd9\xff\x50\x08", b"\x89\x1e"):
        assert outcome(diff(made(77, use), made(80, use))) == ([], ["f0"])
    assert outcome(diff(*(made(value, b"\x89\xd9", CHECK_CALL) for value in (77, 80)))) == ([], ["f0"])


def test_message_and_a_number_that_nobody_knows() -> None:
    """(*rsi)(message, file, LINE); (*rsi)(LIMIT): a limit is no line, though the other is."""
    made = [dll([*said(line), put("ecx", limit), UNKNOWN]) for line, limit in ((77, 64), (80, 128))]
    assert outcome(diff(*made)) == ([], ["f0"])


def test_numbers_that_unknown_functions_get_are_no_pattern() -> None:
    body: Body = lambda _, lines: checks(lines, call=UNKNOWN)  # noqa: E731
    assert judged(body) == ([], ALL)
    body = lambda _, lines: checks(lines, FILE, call=UNKNOWN)  # noqa: E731
    assert judged(body) == ([], ALL)
