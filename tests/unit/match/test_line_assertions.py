"""Assertions are known by what they get, and told apart from calls that only look like them."""

import pytest

from hpbuild.match.line_assertions import MAX_SHARED
from tests.assembled import Dll, Part, datum, diff, function
from tests.lines import (
    CHECK_CALL,
    CLOSE,
    FILE,
    HOLD,
    NOTIFIED,
    NOTIFY,
    OPEN,
    TEXT,
    TEXTS,
    asserted,
    assertions,
    checks,
    dll,
    outcome,
    put,
)


def test_two_assertions_are_enough() -> None:
    apart = [assertions(asserted(77 + n), asserted(88 + n)) for n in (0, 3)]
    assert outcome(diff(*apart)) == (["f0", "f1"], [])
    together = [assertions(asserted(77 + n, 88 + n)) for n in (0, 3)]
    assert outcome(diff(*together)) == (["f0"], [])


def test_one_assertion_is_not_enough() -> None:
    """It could be ``MoveFileExA("a.tmp", "b.c", 3)`` just as well."""
    assert outcome(diff(*(assertions(asserted(77 + n)) for n in (0, 3)))) == ([], ["f0"])
    assert outcome(diff(*(assertions(asserted(77 + n, 77 + n)) for n in (0, 3)))) == ([], ["f0"]), "a value"
    assert outcome(diff(*(assertions(asserted(77 + n), asserted(88)) for n in (0, 3)))) == ([], ["f0"])


@pytest.mark.parametrize("name", ["_assert", "report", "x"])
def test_no_function_is_known_by_its_name(name: str) -> None:
    call: Part = ("call slot", f"import {name}")
    many = [assertions(asserted(77 + n, 88 + n, call=call), imports=(name,)) for n in (0, 3)]
    assert outcome(diff(*many)) == (["f0"], [])
    one = [assertions(asserted(77 + n, call=call), imports=(name,)) for n in (0, 3)]
    assert outcome(diff(*one)) == ([], ["f0"])


THUNK = function("thunk", ("jump slot", "import notify"))
BY_THUNK: Part = ("call", "thunk")


def test_assertions_behind_a_thunk() -> None:
    made = [assertions(asserted(77 + n, 88 + n, call=BY_THUNK), more=(THUNK,)) for n in (0, 3)]
    assert outcome(diff(*made)) == (["f0"], [])
    both = [assertions(asserted(77 + n, call=BY_THUNK), asserted(88 + n), more=(THUNK,)) for n in (0, 3)]
    assert outcome(diff(*both)) == (["f0", "f1"], []), "one function, whichever way it is called"


@pytest.mark.parametrize("call", [NOTIFY, BY_THUNK])
def test_what_a_function_gets_behind_a_thunk_and_without(call: Part) -> None:
    """The calls of the other way count as well."""
    still = (THUNK, function("still", OPEN, b"\x48\xff\xc6", put("r8d", 300), call, CLOSE))
    for other in (NOTIFY, BY_THUNK):
        made = [assertions(asserted(77 + n, 88 + n, call=other), more=still) for n in (0, 3)]
        assert outcome(diff(*made)) == ([], ["f0"])


def test_assertions_by_a_register() -> None:
    """mov rbx, [slot]; …; call rbx; also beside calls through the slot."""
    held = b"\xff\xd3"
    for also in (NOTIFY, held):
        bodies = [[HOLD, *asserted(77 + n, call=held), *asserted(88 + n, call=also)] for n in (0, 3)]
        assert outcome(diff(*(assertions(body) for body in bodies))) == (["f0"], [])
        more = [(TEXT, put("r8d", 300), held), (TEXT, FILE, b"\x44\x8b\x06", held)]  # mov r8d, [rsi]
        for other in more:
            made = [assertions([*body, *other]) for body in bodies]
            assert outcome(diff(*made)) == ([], ["f0"])


def test_functions_of_the_program_have_to_meet_more() -> None:
    """Sizes of what is read from two sections of a file, say."""
    made = [dll(asserted(77 + n, 88 + n, call=CHECK_CALL)) for n in (0, 3)]
    assert outcome(diff(*made)) == ([], ["f0"])


def test_function_in_a_variable_is_none_of_another_image() -> None:
    made = []
    for moved in (0, 3):
        one = dll(asserted(77 + moved, 88 + moved, call=("call slot", "pointer")))
        made.append(Dll(code=one.code, constants=TEXTS, variables=(datum("pointer", ("pointer", "check")),)))
    assert outcome(diff(*made)) == ([], ["f0"])


@pytest.mark.parametrize(
    ("before", "register", "known"),
    [
        ((("lea rcx", "text"), ("lea rdx", "file")), "r8d", True),
        ((("lea rcx", "file"), ("lea r8", "text")), "edx", True),
        ((("lea rcx", "file"), ("lea r8", "text"), ("lea r9", "saying")), "edx", True),
        ((("lea rcx", "text"), ("lea rdx", "file"), ("lea r9", "saying")), "r8d", True),
        ((("lea rcx", "file"), ("lea r9", "text")), "edx", False),  # something between
        ((("lea rcx", "file"),), "edx", False),  # no text
        ((("lea rdx", "file"),), "r8d", False),
        ((("lea rcx", "empty"), ("lea rdx", "file")), "r8d", False),
        ((("lea rcx", "text"), ("lea rdx", "text")), "r8d", False),  # no file name
        ((("lea rcx", "file"), ("lea rdx", "text")), "r8d", False),  # not right before the number
        ((("lea rcx", "text"), ("lea r9", "file")), "r8d", False),  # behind it
        ((("lea rcx", "text"), ("lea r8", "file")), "edx", False),
        ((("lea r8", "text"), ("lea rdx", "file")), "ecx", False),
        ((("lea rcx", "text"), b"\x31\xd2"), "r8d", False),  # xor edx, edx
    ],
)
def test_shapes_of_assertions(before: tuple[Part, ...], register: str, known: bool) -> None:
    made = [assertions(checks((77 + n, 88 + n), *before, register=register, call=NOTIFY)) for n in (0, 3)]
    made = [
        Dll(code=each.code, constants=(*TEXTS, datum("empty", bytes(8))), imports=NOTIFIED) for each in made
    ]
    assert outcome(diff(*made)) == ((["f0"], []) if known else ([], ["f0"]))


def test_text_on_either_side_has_to_be_on_one() -> None:
    """notify(text, file, LINE, 0) and notify(0, file, LINE, text) are no one function's arguments."""
    made = [assertions(asserted(77 + n), asserted(88 + n, text=("lea r9", "text"))) for n in (0, 3)]
    assert outcome(diff(*made)) == ([], ["f0", "f1"])


@pytest.mark.parametrize(
    "other",
    [
        (TEXT, ("lea rdx", "text"), put("r8d", 300), NOTIFY),  # no file name
        (FILE, put("r8d", 300), NOTIFY),  # no text
        (TEXT, FILE, b"\x44\x8b\x06", NOTIFY),  # mov r8d, [rsi]
        (TEXT, FILE, put("r8d", 300), b"\x41\xff\xc0", NOTIFY),  # inc r8d
        (("jump slot", "import notify"),),
        (("hold", "import notify"),),  # its address gets elsewhere
    ],
)
def test_another_call_that_is_no_assertion(other: tuple[Part, ...]) -> None:
    more = (function("plain", OPEN, b"\x48\xff\xc6", *other, CLOSE),)
    made = [assertions(asserted(77 + n, 88 + n), more=more) for n in (0, 3)]
    assert outcome(diff(*made)) == ([], ["f0"])
    # In a function that differs, too.
    made = [assertions(asserted(77 + n, 88 + n), [*asserted(110 + n), *other]) for n in (0, 3)]
    assert outcome(diff(*made)) == ([], ["f0", "f1"])


@pytest.mark.parametrize("values", [(90, 80), (80, 80), (1, 12), (80, 92), (77, 91), (1_000_077, 1_000_088)])
def test_assertions_whose_lines_contradict(values: tuple[int, int]) -> None:
    """77 and 88 before: out of order, two made one, no lines, moved by different distances, one alone."""
    made = [assertions(asserted(*each)) for each in ((77, 88), values)]
    assert outcome(diff(*made)) == ([], ["f0"])


def test_assertions_between_which_one_stays() -> None:
    """77 and 99 move, 88 does not."""
    made = [assertions(asserted(77 + n), asserted(88), asserted(99 + n)) for n in (0, 3)]
    assert outcome(diff(*made)) == ([], ["f0", "f2"])


def test_each_changed_line_needs_another() -> None:
    made = [assertions(asserted(77 + n, 88 + n), asserted(200 + 2 * n)) for n in (0, 3)]
    assert outcome(diff(*made)) == (["f0"], ["f1"])


def test_unchanged_assertions_count() -> None:
    """An unchanged function has line 89, which 88 became 91 before."""
    still = (function("still", OPEN, b"\x48\xff\xc6", *asserted(89), CLOSE),)
    made = [assertions(asserted(77 + n, 88 + n), more=still) for n in (0, 3)]
    assert outcome(diff(*made)) == ([], ["f0"])


def test_assertions_of_another_file_say_nothing() -> None:
    second: Part = ("lea rdx", "second")
    made = [assertions(asserted(77 + n, 88 + n), asserted(78, 79, name=second)) for n in (0, 3)]
    assert outcome(diff(*made)) == (["f0"], [])
    made = [assertions(asserted(77 + n), asserted(88 + n, name=second)) for n in (0, 3)]
    assert outcome(diff(*made)) == ([], ["f0", "f1"]), "two values, but of two files"


def test_values_that_come_with_different_texts() -> None:
    """``MessageBoxA(0, text, "caption.c", flags)``: the same flags for this and that."""
    other: Part = ("lea rcx", "saying")
    made = [assertions(asserted(16 + n, 32 + n), asserted(16 + n, text=other)) for n in (0, 1)]
    assert outcome(diff(*made)) == ([], ["f0", "f1"])
    made = [assertions(asserted(16 + n, 32 + n), asserted(48 + n, text=other)) for n in (0, 1)]
    assert outcome(diff(*made)) == (["f0", "f1"], [])
    many = tuple(range(20, 20 + 3 * int(1 / MAX_SHARED), 3))
    made = [assertions(asserted(*(each + n for each in many)), asserted(20 + n, text=other)) for n in (0, 1)]
    assert outcome(diff(*made)) == (["f0", "f1"], []), "two of them in one line, hardly ever"


def test_one_line_of_two_files() -> None:
    """test ecx, ecx; je +9; lea rdx, file; jmp +7; lea rdx, second; mov r8d, LINE; call."""

    def made(moved: int, second: str) -> Dll:
        names: list[Part] = [TEXT, b"\x85\xc9\x74\x09", FILE, b"\xeb\x07", ("lea rdx", second)]
        return assertions([*names, put("r8d", 77 + moved), NOTIFY, *asserted(88 + moved, 99 + moved)])

    assert outcome(diff(made(0, "file"), made(3, "file"))) == (["f0"], [])
    assert outcome(diff(made(0, "second"), made(3, "second"))) == ([], ["f0"])
    assert outcome(diff(made(0, "text"), made(3, "text"))) == ([], ["f0"])


def test_lines_of_two_files_each() -> None:
    names: list[Part] = [TEXT, b"\x85\xc9\x74\x09", FILE, b"\xeb\x07", ("lea rdx", "second")]
    made = [
        assertions([part for line in (77, 88) for part in (*names, put("r8d", line + n), NOTIFY)])
        for n in (0, 3)
    ]
    assert outcome(diff(*made)) == ([], ["f0"])


R9: Part = ("lea r9", "file")


@pytest.mark.parametrize(
    ("before", "register", "old", "new"),
    [
        ((("lea rcx", "text"), ("lea rdx", "file")), "r8d", 1, 3),  # MoveFileExA("a.tmp", "b.c", flags)
        ((b"\xb9\x04\0\0\0", ("lea rdx", "file")), "r8d", 64, 128),  # read(fd, "config.inc", size)
        ((("lea rcx", "file"), ("lea rdx", "text")), "r8d", 16, 64),  # _fsopen("b.c", "r", sharing)
        ((("lea rcx", "text"), ("lea rdx", "saying"), R9), "r8d", 5, 7),  # GetPrivateProfileIntA(…, 5, "b.c")
        ((("lea rcx", "text"), ("lea rdx", "saying"), R9), "r8d", 77, 80),  # WritePrivateProfileStringA(…)
        ((("lea rcx", "file"),), "edx", 0x8000, 0x8100),  # _open("b.c", flags)
        (
            (b"\x31\xc9", ("lea rdx", "text"), ("lea r8", "file")),
            "r9d",
            0,
            1,
        ),  # MessageBoxA(0, …, "b.c", flags)
        ((("lea rcx", "message"), ("lea r8", "file")), "edx", 64, 128),  # snprintf(…, 64, …)
    ],
)
def test_other_calls_with_names_of_source_files(
    before: tuple[Part, ...], register: str, old: int, new: int
) -> None:
    made = [assertions(checks((value,), *before, register=register, call=NOTIFY)) for value in (old, new)]
    assert outcome(diff(*made)) == ([], ["f0"])
