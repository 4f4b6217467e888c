"""Line numbers alone: recognised, and told apart from every change that matters."""

import struct

import pytest

from hpbuild.match import line_sites as sites_module
from tests.assembled import RET, Dll, Item, Part, datum, diff, function
from tests.lines import (
    ALL,
    CHECK_CALL,
    CLOSE,
    FILE,
    HOLD,
    LINES,
    NOTIFIED,
    NOTIFY,
    OPEN,
    TEXT,
    TEXTS,
    Body,
    asserted,
    assertions,
    checks,
    dll,
    judged,
    outcome,
    put,
    said,
    shifted,
)

# What is reported


def test_report_of_a_function_with_other_lines() -> None:
    body: Body = lambda _, lines: checks(lines, FILE)  # noqa: E731
    made = [dll(*(body(0, lines) for lines in some)) for some in (LINES, shifted(7))]
    found = diff(*made)
    assert outcome(found) == (ALL, []), "the functions that call them are identical"
    first = found.functions[0]
    assert (
        first.reason == f"only line numbers differ: 103 is 110 at {first.fixed[0].start + 20:#x}, and 2 more"
    )
    assert "line-only-code" in dict(found.account)
    assert "changed-code" not in dict(found.account)
    assert sum(size for _, size in found.account) == found.mapped
    assert found.data == ()


# Functions that change in earnest


def twice(line: int, *rest: Part) -> list[Part]:
    """Two assertions, at ``line`` and 20 behind, and more."""
    return [*asserted(line, line + 20), *rest]


def test_two_assertions_alone() -> None:
    assert outcome(diff(*(assertions(twice(line)) for line in (77, 80)))) == (["f0"], [])


def test_line_and_another_constant() -> None:
    """…; mov ecx, LIMIT; call check."""
    made = [assertions(twice(line, put("ecx", limit), CHECK_CALL)) for line, limit in ((77, 64), (80, 128))]
    assert outcome(diff(*made)) == ([], ["f0"])


@pytest.mark.parametrize("extra", [(b"\x83\xf9\x40", b"\x83\xf9\x50"), (b"\x7c\0", b"\x7e\0")])
def test_line_and_another_byte(extra: tuple[bytes, bytes]) -> None:
    """cmp ecx, 40h or 50h; jl or jle."""
    made = [assertions(twice(line, more)) for line, more in zip((77, 80), extra, strict=True)]
    assert outcome(diff(*made)) == ([], ["f0"])


def test_line_and_a_changed_text() -> None:
    made = []
    for line, text in ((77, b"old"), (80, b"new")):
        one = assertions(asserted(line, line + 20, text=("lea rcx", "said")))
        texts = (*TEXTS, datum("said", text + b" text\0"))
        made.append(Dll(code=one.code, constants=texts, imports=NOTIFIED))
    assert outcome(diff(*made)) == ([], ["f0"])


def test_line_and_another_file_name() -> None:
    second: Part = ("lea rdx", "second")
    made = [assertions(twice(77)), assertions(asserted(80, 100, name=second))]
    assert outcome(diff(*made)) == ([], ["f0"])


def test_line_and_another_target() -> None:
    """The same call leads to another function."""
    other = function("other", b"\x31\xc0", RET)
    made = [
        assertions(twice(line, ("call", target)), more=(other,))
        for line, target in ((77, "check"), (80, "other"))
    ]
    assert outcome(diff(*made)) == ([], ["f0"])


def test_line_that_is_used_in_another_way() -> None:
    """mov ebx, LINE; …; mov r8d, ebx; call; mov [rsi], ebx, and without the last."""

    def made(value: int, use: bytes) -> Dll:
        first = b"\xbb" + struct.pack("<I", value)
        return assertions([first, TEXT, FILE, b"\x41\x89\xd8", NOTIFY, use, *asserted(value + 20)])

    assert outcome(diff(made(77, b""), made(80, b""))) == (["f0"], [])
    assert outcome(diff(made(77, b"\x89\x1e"), made(80, b"\x89\x1e"))) == ([], ["f0"])


def test_line_that_another_call_gets_too() -> None:
    """mov ebx, LINE; …; call notify; mov ecx, ebx; call check."""

    def made(value: int) -> Dll:
        first = b"\xbb" + struct.pack("<I", value)
        rest = (b"\x89\xd9", CHECK_CALL, b"\xbb\0\0\0\0")
        return assertions([first, TEXT, FILE, b"\x41\x89\xd8", NOTIFY, *rest, *asserted(value + 20)])

    assert outcome(diff(made(77), made(80))) == ([], ["f0"])


# Beside a file name


def test_lines_beside_the_name_of_their_file() -> None:
    assert judged(lambda _, lines: checks(lines, FILE)) == (ALL, [])
    assert judged(lambda _, lines: checks(lines, ("lea r9", "file"))) == (ALL, []), "right before it"
    assert judged(lambda _, lines: checks(lines, FILE), shifted(7, 205)) == (["f1", "f2"], [])


def test_line_on_the_stack() -> None:
    """lea r9, file; mov dword [rsp+20h], LINE; call check."""

    def body(_: int, lines: tuple[int, ...]) -> list[Part]:
        slot = b"\xc7\x44\x24\x20"
        made: list[Part] = []
        for line in lines:
            made += [("lea r9", "file"), slot + struct.pack("<I", line), CHECK_CALL]
        return made

    assert judged(body) == (ALL, [])


def test_a_few_calls_beside_a_name_are_not_enough() -> None:
    """read(file, "config.inc", 64) becomes 128."""
    made = [dll([FILE, put("r8d", size), CHECK_CALL]) for size in (64, 128)]
    assert outcome(diff(*made)) == ([], ["f0"])


def test_sizes_beside_a_name() -> None:
    """read(…, "config.inc", sizeof each), where all grow by 8."""
    sizes = ((104, 120, 136), (208, 232, 264), (304, 344))
    made = [dll(*(checks([each + more for each in some], FILE) for some in sizes)) for more in (0, 8)]
    assert outcome(diff(*made)) == ([], ALL)


def test_one_number_that_changes_among_many() -> None:
    """226 becomes 232, and nothing else moves."""
    new = (LINES[0], (205, 232, 257), LINES[2])
    assert judged(lambda _, lines: checks(lines, FILE), new) == ([], ["f1"])


def test_a_call_without_a_file_name() -> None:
    """A callee that gets any text is no assertion."""
    more = (function("plain", OPEN, ("lea rdx", "text"), put("r8d", 450), CHECK_CALL, CLOSE),)
    assert judged(lambda _, lines: checks(lines, FILE), more=more) == ([], ALL)
    more = (function("plain", OPEN, FILE, put("r8d", 450), CHECK_CALL, CLOSE),)
    assert judged(lambda _, lines: checks(lines, FILE), shifted(0, 500), more=more) == ([], [])


@pytest.mark.parametrize(
    "variable",
    [
        (FILE, b"\x44\x8b\x06", CHECK_CALL),  # mov r8d, [rsi]
        (FILE, put("r8d", 450), b"\x41\xff\xc0", CHECK_CALL),  # inc r8d
        (("jump", "check"),),
        (("lea rdx", "check"),),
    ],
)
def test_a_call_without_a_constant(variable: tuple[Part, ...]) -> None:
    """Or one that nobody follows: the callee's address is taken."""
    more = (function("plain", OPEN, b"\x48\xff\xc6", *variable, CLOSE),)
    assert judged(lambda _, lines: checks(lines, FILE), more=more) == ([], ALL)


def test_a_second_call_in_a_function_without_a_constant() -> None:
    body: Body = lambda _, lines: [*checks(lines, FILE), FILE, b"\x44\x8b\x06", CHECK_CALL]  # noqa: E731
    assert judged(body) == ([], ALL)


def test_size_before_the_name_and_line_behind_it() -> None:
    """allocate(SIZE, file, LINE): sizes that look like lines are none."""

    def body(number: int, lines: tuple[int, ...]) -> list[Part]:
        made: list[Part] = []
        for place, line in enumerate(lines):
            made += [put("ecx", line), FILE, put("r8d", 1000 * number + 31 * place + 1009), CHECK_CALL]
        return made

    assert judged(body) == ([], ALL)


def test_line_behind_the_name_and_a_number_that_stays() -> None:
    def body(_: int, lines: tuple[int, ...]) -> list[Part]:
        return checks(lines, put("ecx", 3), FILE)

    assert judged(body) == (ALL, [])


def test_numbers_of_several_files() -> None:
    """Each file moves as a whole; ``second`` does not, and brings no more than its count."""
    files = ("file", "second", "header")

    def body(number: int, lines: tuple[int, ...]) -> list[Part]:
        return checks(lines, ("lea rdx", files[number]))

    assert judged(body) == ([], ALL), "three values of one function are no run"
    assert judged(lambda n, lines: checks(lines, ("lea rdx", files[n // 2]))) == (["f0", "f1"], ["f2"])


def test_too_many_callers_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites_module, "MAX_CALLERS", -1)
    assert judged(lambda _, lines: checks(lines, FILE)) == ([], ALL)
    assert judged(plain) == ([], ALL)
    assert judged(lambda _, lines: asserted(*lines), imports=NOTIFIED) == ([], ALL)
    assert judged(lambda _, lines: said(*lines)) == ([], ALL)


def test_function_of_another_library_that_gets_file_and_line() -> None:
    call: Part = ("call slot", "import notify")
    body: Body = lambda _, lines: checks(lines, FILE, call=call)  # noqa: E731
    assert judged(body, imports=NOTIFIED) == (ALL, [])
    held: Body = lambda _, lines: [HOLD, *checks(lines, FILE, call=b"\xff\xd3")]  # noqa: E731
    assert judged(held, imports=NOTIFIED) == ([], ALL), "who else gets that address is not followed"


# By the pattern of all calls


def plain(_: int, lines: tuple[int, ...]) -> list[Part]:
    """check(…, LINE), nothing else."""
    return checks(lines)


def test_lines_without_a_file_name() -> None:
    assert judged(plain) == (ALL, [])
    assert judged(plain, shifted(7, 205)) == (["f1", "f2"], [])


def test_numbers_that_imported_functions_get() -> None:
    """Numbers of resources, moved by an inserted one."""
    call: Part = ("call slot", "import LoadStringW")
    body: Body = lambda _, lines: checks(lines, call=call)  # noqa: E731
    assert judged(body, imports=("LoadStringW",)) == ([], ALL)
    body = lambda _, lines: checks(lines, call=("call", "thunk"))  # noqa: E731
    thunk = (function("thunk", ("jump slot", "import LoadStringW")),)
    assert judged(body, imports=("LoadStringW",), more=thunk) == ([], ALL)


def test_numbers_that_a_function_in_a_variable_gets() -> None:
    """call [variable]."""
    made = []
    for lines in (LINES, shifted(7)):
        one = dll(*(checks(some, call=("call slot", "pointer")) for some in lines))
        made.append(Dll(code=one.code, constants=TEXTS, variables=(datum("pointer", ("pointer", "check")),)))
    assert outcome(diff(*made)) == ([], ALL)


def test_a_raised_limit() -> None:
    """Sizes of buffers, one of them doubled."""
    new = (LINES[0], (205, 452, 457), LINES[2])
    assert judged(plain, new) == ([], ["f1"])
    assert judged(plain, (LINES[0], (205, 226, 257), (301, 688))) == ([], ["f2"])


def test_structures_that_grow() -> None:
    """allocate(sizeof each): all that hold the header grow by 8."""
    sizes = ((104, 120, 136), (208, 232, 264), (304, 344))
    made = [dll(*(checks([each + more for each in some]) for some in sizes)) for more in (0, 8)]
    assert outcome(diff(*made)) == ([], ALL)


@pytest.mark.parametrize("code", [b"\x44\x8b\x06", b"\x45\x31\xc0"])
def test_pattern_needs_a_constant_at_every_call(code: bytes) -> None:
    """mov r8d, [rsi]; xor r8d, r8d."""
    more = (function("plain", OPEN, b"\x48\xff\xc6", code, CHECK_CALL, CLOSE),)
    assert judged(plain, more=more) == ([], ALL)


NOTE = function("note", b"\xb8\x02\0\0\0", RET)
"""mov eax, 2; ret"""
NOTE_CALL: Part = ("call", "note")


def joined(
    notes: dict[int, tuple[tuple[int, int], ...]], *before: Part, more: tuple[Item, ...] = ()
) -> tuple[list[str], list[str]]:
    """Callers with lines, some of which also call ``note`` with (old, new); ``f3`` does only that."""
    made = []
    for version, lines in enumerate(((*LINES, ()), (*shifted(6), ()))):
        bodies = [
            [
                *checks(some),
                *checks([note[version] for note in notes.get(number, ())], *before, call=NOTE_CALL),
            ]
            for number, some in enumerate(lines)
        ]
        made.append(dll(*bodies, more=(NOTE, *more)))
    return outcome(diff(*made))


def test_lines_of_another_callee_in_the_same_functions() -> None:
    assert joined({0: ((121, 127),), 1: ((230, 236),)}) == (ALL, [])
    assert joined({1: ((208, 214), (221, 227), (230, 236))}) == (ALL, [])


@pytest.mark.parametrize(
    "notes",
    [
        {1: ((230, 236),)},  # one says too little
        {1: ((230, 236), (208, 214))},  # both in one function
        {0: ((121, 128),), 1: ((230, 237),)},  # moved by another distance
        {0: ((230, 236),), 1: ((121, 127),)},  # next to the lines of other functions
        {0: ((121, 127),), 1: ((121, 128),)},  # contradiction
    ],
)
def test_other_constants_of_another_callee(notes: dict[int, tuple[tuple[int, int], ...]]) -> None:
    lines, others = joined(notes)
    assert others == [f"f{number}" for number in sorted(notes)]
    assert lines == [name for name in ALL if name not in others]


def test_kin_of_lines_in_functions_without_others() -> None:
    """``f3`` has no line but one that ``note`` gets, which gets lines elsewhere."""
    near = ((208, 214), (221, 227), (230, 236))
    assert joined({1: near, 3: ((280, 286),)}) == ([*ALL, "f3"], [])
    assert joined({1: near, 3: ((280, 287),)})[1] == ["f3"], "moved by another distance"
    assert joined({1: near[:2], 0: ((121, 127),), 3: ((280, 286),)})[1] == []
    assert joined({1: near[:1], 0: ((121, 127),), 3: ((280, 286),)})[1] == ["f3"]
    assert joined({1: near, 3: ((350, 356),)})[1] == ["f3"], "behind the last line"


def test_kin_that_stays_where_lines_move() -> None:
    """An unchanged caller passes 232, where what was 230 is 236 now."""
    notes = {0: ((121, 127),), 1: ((230, 236),)}
    still = (function("still", OPEN, b"\x48\xff\xc6", put("r8d", 232), NOTE_CALL, CLOSE),)
    assert joined(notes, more=still) == (["f2"], ["f0", "f1"])
    behind = (function("still", OPEN, b"\x48\xff\xc6", put("r8d", 90), NOTE_CALL, CLOSE),)
    assert joined(notes, more=behind) == (ALL, [])


def test_lines_next_to_lines_that_were_found_later() -> None:
    """``last`` gets more lines than ``note``, all in ``f3``, whose only other line is one of ``note``."""
    last = function("last", b"\xb8\x03\0\0\0", RET)
    made = []
    for more, lines in ((0, LINES), (6, shifted(6))):
        bodies = [checks(some) for some in lines]
        bodies[1] = [*bodies[1], *checks([each + more for each in (208, 221, 230)], call=NOTE_CALL)]
        own = [each + more for each in (268, 272, 276, 284, 288)]
        bodies.append([*checks([280 + more], call=NOTE_CALL), *checks(own, call=("call", "last"))])
        made.append(dll(*bodies, more=(NOTE, last)))
    assert outcome(diff(*made)) == ([*ALL, "f3"], [])


def test_one_format_of_a_callee_that_gets_anything() -> None:
    """note(…, format, LINE) is lines although note(…, text, …) is not."""
    variable = (function("plain", OPEN, ("lea rdx", "text"), b"\x44\x8b\x06", NOTE_CALL, CLOSE),)
    notes = {0: ((121, 127),), 1: ((230, 236),)}
    assert joined(notes, ("lea rdx", "format"), more=variable) == (ALL, [])
    assert joined(notes, more=variable) == (["f2"], ["f0", "f1"]), "no text says what it is"


def test_one_variable_of_a_callee_is_no_format() -> None:
    variable = (function("plain", OPEN, ("lea rdx", "text"), b"\x44\x8b\x06", NOTE_CALL, CLOSE),)
    made = []
    for version, lines in enumerate((LINES, shifted(6))):
        notes = ({0: 121, 1: 230}, {0: 127, 1: 236})[version]
        bodies = [
            [*checks(some), *checks([notes[n]] if n in notes else [], ("lea rdx", "state"), call=NOTE_CALL)]
            for n, some in enumerate(lines)
        ]
        one = dll(*bodies, more=(NOTE, *variable))
        made.append(Dll(code=one.code, constants=TEXTS, variables=(datum("state", bytes(8)),)))
    assert outcome(diff(*made)) == (["f2"], ["f0", "f1"])
