"""Programs that differ by line numbers, for the tests of ``hpbuild.match.line_only`` and what it asks.

Each has a few callers of ``check``, ``mov r8d, LINE; call check`` with whatever stands before; of ``notify``,
a function of another image that assertions call; or of a function that nobody knows.
"""

import struct
from collections.abc import Callable, Sequence

from hpbuild.match.model import Change, Difference
from tests.assembled import RET, Dll, Item, Part, datum, diff, function

CHECK = function("check", b"\xb8\x01\0\0\0", RET)
"""mov eax, 1; ret"""
CHECK_CALL: Part = ("call", "check")
FILE: Part = ("lea rdx", "file")
TEXTS = (
    datum("file", b"source/file.c\0"),
    datum("second", b"source/second.c\0"),
    datum("header", b"header.hpp\0"),
    datum("text", b"what is wrong\0"),
    datum("saying", b"what else is wrong\0"),
    datum("format", b"%s in line %d\0"),
    datum("message", b"cannot go on at %s:%d\n\0"),
    datum("host", b"example.cc\0"),
    datum("path", b"src/example.cc\0"),
)
OPEN, CLOSE = b"\x48\x83\xec\x28", b"\x48\x83\xc4\x28\xc3"
"""sub rsp, 28h; add rsp, 28h; ret"""
LINES = ((103, 119, 131), (205, 226, 257), (301, 344))


def put(register: str, value: int) -> bytes:
    """mov register, value"""
    codes = {"ecx": b"\xb9", "edx": b"\xba", "r8d": b"\x41\xb8", "r9d": b"\x41\xb9"}
    return codes[register] + struct.pack("<I", value)


def caller(number: int, *parts: Part) -> Item:
    """A function with a number of its own in it, so that it is known by its code."""
    return function(f"f{number}", OPEN, b"\x48\x81\xc6" + struct.pack("<I", 7 * number + 3), *parts, CLOSE)


def checks(lines: Sequence[int], *before: Part, register: str = "r8d", call: Part = CHECK_CALL) -> list[Part]:
    return [part for line in lines for part in (*before, put(register, line), call)]


def dll(*functions: Sequence[Part], more: tuple[Item, ...] = (), imports: tuple[str, ...] = ()) -> Dll:
    callers = [caller(number, *parts) for number, parts in enumerate(functions)]
    users = [function("user", ("call", "f0"), b"\x33\xc0", RET)]
    return Dll(code=(CHECK, *callers, *users, *more), constants=TEXTS, imports=imports)


def outcome(found: Difference) -> tuple[list[str], list[str]]:
    """Names of functions with line numbers alone, and of all others that are not identical."""
    assert all(item.change is Change.CHANGED for item in found.functions if item.line_only)
    lines = sorted(item.name for item in found.functions if item.line_only)
    others = sorted(item.name for item in found.functions if not item.line_only)
    assert (found.summary.line_only, found.summary.changed) == (len(lines), len(others))
    return lines, others


Body = Callable[[int, tuple[int, ...]], Sequence[Part]]
ALL = ["f0", "f1", "f2"]


def shifted(distance: int, start: int = 0) -> tuple[tuple[int, ...], ...]:
    """``LINES`` with those from ``start`` on moved."""
    return tuple(tuple(each + distance * (each >= start) for each in some) for some in LINES)


def judged(
    body: Body, new: tuple[tuple[int, ...], ...] = (), **rest: tuple[object, ...]
) -> tuple[list[str], list[str]]:
    """The outcome when every function has a body made of its lines, ``LINES`` before and ``new`` after."""
    made = [
        dll(*(body(number, some) for number, some in enumerate(lines)), **rest)  # type: ignore[arg-type]
        for lines in (LINES, new or shifted(7))
    ]
    return outcome(diff(*made))


NOTIFY: Part = ("call slot", "import notify")
TEXT: Part = ("lea rcx", "text")
NOTIFIED = ("notify",)
HOLD: Part = ("hold", "import notify")
"""mov rbx, [slot]; the calls are call rbx"""


def asserted(
    *values: int, text: Part = TEXT, name: Part = FILE, register: str = "r8d", call: Part = NOTIFY
) -> list[Part]:
    """notify(text, file, LINE) for each line."""
    return checks(values, text, name, register=register, call=call)


def assertions(
    *functions: Sequence[Part], more: tuple[Item, ...] = (), imports: tuple[str, ...] = NOTIFIED
) -> Dll:
    return dll(*functions, more=more, imports=imports)


SAY: Part = ("lea rcx", "message")
UNKNOWN = b"\xff\xd6"
"""call rsi"""


def said(
    *values: int, format_: Part = SAY, name: Part = FILE, call: Part = UNKNOWN, register: str = "r8d"
) -> list[Part]:
    """(*rsi)("… %s:%d", file, LINE) for each line."""
    return checks(values, format_, name, call=call, register=register)
