"""Texts of a program that tell a line number: names of source files, and formats that print file and line.

Formats are those of ``printf`` (ISO C 17, 7.21.6.1, with the sizes of Microsoft's "Format specification
syntax"). On Windows x64 every argument behind a format, of whatever type, takes one place ("x64 calling
convention", varargs).
"""

import re
from itertools import pairwise
from typing import Final

from hpbuild.match.sides import Side

_MAX_NAME: Final = 260
_MAX_TEXT: Final = 4096
_SOURCE: Final = re.compile(
    r"[ -~]+\.(?:c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx|inc|inl|ipp|m|mm|tcc|y|l|rs|go|f|f90|d|pas|swift|zig)"
)
_HOST: Final = re.compile(r"(?:.*//.*)|(?:[\w-]+\.)+(?:cc|inc|mm|rs)", re.IGNORECASE)
"""Names of files that may be a host's: these endings are domains, too, and ``%s:%d`` prints its port."""
_CONVERSION: Final = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\*|\d*)(?P<precision>(?:\.(?:\*|\d*))?)"
    r"(?P<size>hh|h|ll|l|j|z|t|L|w|I64|I32|I)?(?P<type>[diouxXeEfFgGaAcCsSpnZ%])"
)
_BETWEEN: Final = re.compile(
    r"[\s,;\])]*(?:[:(]|[:(@\[-]?\s*(?:(?:at|in|on)\s+)?line\s*[:=#]?)\s*", re.IGNORECASE
)
_NAME_TYPES: Final = frozenset("sS")
_LINE_TYPES: Final = frozenset("diu")
_LINE_SIZES: Final = frozenset((None, "l", "I32"))


def is_constant(side: Side, rva: int) -> bool:
    """True for the address of data that nobody can write."""
    section = side.program.image.section_at(rva)
    return section is not None and not section.writable and not section.executable


def texts(side: Side, rva: int) -> tuple[str, ...]:
    """What the read-only data at ``rva`` says up to its NUL, as UTF-8 and as UTF-16 (ASCII alone), where
    that is text at all; without texts of 4,096 bytes and more."""
    image = side.program.image
    section = image.section_at(rva)
    if section is None or not is_constant(side, rva):
        return ()
    raw = image.read(rva, min(_MAX_TEXT, section.range.end - rva))
    found = []
    narrow, end, _ = raw.partition(b"\0")
    if end:
        found.append(narrow.decode("utf-8", "replace"))
    wide, mark, _ = raw[: len(raw) & ~1].decode("utf-16-le", "replace").partition("\0")
    # Any bytes are letters of some script in UTF-16.
    if mark and wide.isascii():
        found.append(wide)
    return tuple(
        text for text in found if text and "\ufffd" not in text and re.sub(r"\s", "", text).isprintable()
    )


def source_name(side: Side, rva: int) -> str:
    """The text at ``rva`` when it is the name of a source file, in ASCII or UTF-16; '' otherwise."""
    found = (text for text in texts(side, rva) if len(text) <= _MAX_NAME and _SOURCE.fullmatch(text))
    return next(found, "")


def may_be_host(name: str) -> bool:
    """True when the name of a source file may be that of a host or an address on the web, too."""
    return _HOST.fullmatch(name) is not None


def printed_lines(text: str) -> frozenset[int]:
    """The distances behind the format ``text`` of arguments that it prints as a line: a whole number, next to
    a text and told apart from it by ``:``, ``(`` or the word "line". Empty when it is no format."""
    rows: list[tuple[re.Match[str], int]] = []
    at = distance = 0
    while (at := text.find("%", at)) >= 0:
        match = _CONVERSION.match(text, at)
        if match is None:
            return frozenset()
        if match["type"] != "%":
            stars = (match["width"] + match["precision"]).count("*")
            distance += stars + 1
            rows.append((match, -1 if stars else distance))
        at = match.end()
    return frozenset(
        number
        for (name, before), (line, number) in pairwise(rows)
        if name["type"] in _NAME_TYPES
        and line["type"] in _LINE_TYPES
        and line["size"] in _LINE_SIZES
        and before > 0
        and number > 0
        and _BETWEEN.fullmatch(text[name.end() : line.start()])
        and not text[line.end() : line.end() + 1].isalnum()
    )
