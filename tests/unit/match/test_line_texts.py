"""Names of source files and formats, as a program has them in its data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.match.line_texts import may_be_host, printed_lines, source_name, texts
from hpbuild.match.sides import Side
from tests.assembled import RET, Dll, Item, datum, function

CODE = function("code", b"\xb8\x01\0\0\0", RET)


def placed(content: bytes, section: str = "constants") -> tuple[Side, int]:
    """A side with ``content`` in a section, and where it is."""
    item = datum("name", content, align=16)
    made = Dll(
        code=(CODE,) if section != "code" else (CODE, Item("name", (content,), 16)),
        constants=(item,) if section == "constants" else (),
        variables=(item,) if section == "variables" else (),
    )
    return made.side(), made.labels()["name"]


@pytest.mark.parametrize(
    "name", ["a.c", "src/lib/file.cpp", "C:\\build\\x.h", "x.y", "lexer.l", "main.rs", "old file.c++"]
)
def test_names_of_source_files(name: str) -> None:
    assert source_name(*placed(name.encode() + b"\0")) == name
    assert source_name(*placed(name.encode("utf-16-le") + b"\0\0")) == name
    assert source_name(*placed(name.encode() + b"\0", "variables")) == "", "it may hold another name by then"
    assert source_name(*placed(name.encode() + b"\0", "code")) == ""


@pytest.mark.parametrize(
    "name", ["config.ini", ".c", "a.c.bak", "a.cs", "file", "", "a.c\n", "\x01.c", "a.\xe9", "x" * 259 + ".c"]
)
def test_other_texts(name: str) -> None:
    assert source_name(*placed(name.encode("latin-1") + b"\0")) == ""


def test_text_that_does_not_end() -> None:
    assert source_name(*placed(b"x" * 600 + b".c\0")) == ""
    assert texts(*placed(b"x" * 4095 + b"\0")) == ("x" * 4095,)
    assert texts(*placed(b"x" * 4096 + b"\0")) == ()
    side, at = placed(b"text")
    section = side.program.image.section_at(at)
    assert section is not None
    assert source_name(side, 0xFFFFFF) == ""
    assert texts(side, section.range.end - 1) == ()
    assert texts(side, 0xFFFFFF) == texts(side, -1) == ()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"x > 0\0", ("x > 0",)),
        (b"line\n\t\0", ("line\n\t",)),
        ("größe".encode() + b"\0", ("größe",)),
        ("x > 0".encode("utf-16-le") + b"\0\0", ("x", "x > 0")),
        (b"\0", ()),
        (b"\1\2\0", ()),  # a letter in UTF-16
        (b"\xff\xfe\xfd\0", ()),
    ],
)
def test_texts(content: bytes, expected: tuple[str, ...]) -> None:
    found = texts(*placed(content + bytes(8)))
    assert found[: len(expected)] == expected
    assert bool(found) is bool(expected)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("cannot go on at %s:%d\n", {2}),
        ("%s(%d): bad", {2}),
        ("%s (%i)", {2}),
        ("%s, line %u", {2}),
        ("%ls at line %lu\n", {2}),
        ("%S[line=%I32d]", {2}),
        ("%-20s:%5d", {2}),
        ("%s: %s:%d: %s\n", {3}),
        ("%*d 100%% %s:%d", {4}),
        ("%s:%d %s:%d", {2, 4}),
        ("%s:%d:%d", {2}),  # and a column
        ("%s %d", set()),  # no line that says so
        ("%s%d", set()),
        ("%s/%d", set()),
        ("%s: line limit is %d", set()),
        ("%s: more than %d", set()),
        ("%s:%dMB", set()),
        ("%s:%d0", set()),
        ("%d:%s", set()),
        ("%d:%d", set()),
        ("%s:%s", set()),
        ("%s:%x", set()),
        ("%s:%c", set()),
        ("%s:%lld", set()),  # no number of 4 bytes
        ("%s:%hd", set()),
        ("%s:%*d", set()),  # the next argument is its width
        ("%.*s:%d", set()),  # the argument before is a length, too
        ("%1$s:%2$d", set()),
        ("%s:%d %", set()),
        ("%s:%d %k", set()),
        ("%s:%%%d", set()),
        ("file:line", set()),
        ("", set()),
    ],
)
def test_lines_that_a_format_prints(text: str, lines: set[int]) -> None:
    assert printed_lines(text) == lines


@given(st.text(alphabet="%sd:*.0l(x ", max_size=30))
def test_any_format(text: str) -> None:
    assert all(2 <= each <= 2 * text.count("%") + text.count("*") for each in printed_lines(text))


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("example.cc", True),
        ("www.Example.RS", True),
        ("example.inc", True),
        ("http://example.org/index.c", True),
        ("src/example.cc", False),
        ("example.c", False),
        ("example.cpp", False),
        ("..\\example.rs", False),
    ],
)
def test_names_of_hosts(name: str, host: bool) -> None:
    assert may_be_host(name) is host
