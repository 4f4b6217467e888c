"""Lists of functions on the command line: entries one by one, or in files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hpbuild.bundle.output import read_bounded
from hpbuild.codes import cli as codes
from hpbuild.errors import HpbuildError

MAX_FILE = 16 << 20
"""Bytes of a list: a hundred thousand mangled names."""
MAX_ENTRY = 65536
FILE = "@"


def listed(values: Sequence[str]) -> tuple[str, ...]:
    """The entries that ``--only`` values stand for: each is one, or ``@PATH`` for all of a file.

    A file has one entry a line; empty lines, lines that begin with ``#`` and all that follows white space and
    a ``#`` are ignored. Raises HpbuildError: HP9015 for what is no list, HP48xx for a file that cannot be
    read.
    """
    found: list[str] = []
    for value in values:
        found += _of_file(Path(value[1:])) if value.startswith(FILE) else [_entry(value, value)]
    return tuple(dict.fromkeys(found))


def _of_file(path: Path) -> list[str]:
    data = read_bounded(path, MAX_FILE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HpbuildError(codes.BAD_LIST, str(path), f"not UTF-8 at byte {error.start}") from None
    entries = list(_lines(text, path))
    if not entries:
        raise HpbuildError(codes.BAD_LIST, str(path), "it names no function")
    return entries


def _lines(text: str, path: Path) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip()
        # A '#' inside of a name is part of it: closures of Rust have one.
        for mark in (" #", "\t#"):
            words = words.split(mark, 1)[0].rstrip()
        if words and not words.startswith("#"):
            yield _entry(words, f"{path}, line {number}")


def _entry(text: str, place: str) -> str:
    if not text.strip() or len(text) > MAX_ENTRY or not text.isprintable():
        raise HpbuildError(codes.BAD_LIST, place[:200], "no name: it is empty, too long or not printable")
    return text.strip()
