"""Answers that are ready before the command line is parsed: the version and the help pages.

typer, which parses and renders, takes longer to import than an interpreter to start. Its help pages for the
usual width are files in ``pages``, written by ``python -m hpbuild.cli.render``. Wherever typer could say
something else, because the terminal is narrow or a variable of hpbuild is set, ``ready_text`` is None and
typer is asked. Imports nothing.
"""

import os
import sys

from hpbuild import __version__

PAGES = os.path.join(os.path.dirname(__file__), "pages")  # noqa: PTH118, PTH120 - pathlib takes as long as all else
PROGRAM = "hpbuild"
COLUMNS = 80
"""From this width of the terminal on, typer's pages are all the same."""
HELP = ("-h", "--help")
_MOST_WORDS = 2
CACHE = ("HPBUILD_CACHE", "HPBUILD_CACHE_SIZE")
"""Variables that belong to no option."""


def ready_text(arguments: list[str]) -> str | None:
    """What the command line ``arguments`` prints, None when typer must be asked."""
    if not arguments or len(arguments) > _MOST_WORDS + 1 or has_variables():
        return None
    if arguments == ["--version"]:
        return f"{PROGRAM} {__version__}\n"
    *words, last = arguments
    if last not in HELP or not all(_is_name(word) for word in words) or columns() < COLUMNS:
        return None
    return _page(words)


def has_variables(ignored: str = "") -> bool:
    """Whether the environment sets an option; the variable ``ignored`` does not count."""
    return any(name.startswith("HPBUILD_") and name not in (ignored, *CACHE) for name in os.environ)


def columns() -> int:
    """Width of the terminal, as ``shutil.get_terminal_size`` finds it."""
    try:
        width = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        width = 0
    if width > 0:
        return width
    try:
        assert sys.__stdout__ is not None
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or COLUMNS
    except (AssertionError, AttributeError, ValueError, OSError):
        return COLUMNS


def page_name(words: list[str]) -> str:
    """File name of the page of the command ``words``."""
    return ".".join((PROGRAM, *words, "txt"))


def _is_name(word: str) -> bool:
    """Whether ``word`` has the form of a command's name, and so no part of a path or of another name."""
    return bool(word) and all("a" <= letter <= "z" or letter == "-" for letter in word)


def _page(words: list[str]) -> str | None:
    try:
        with open(os.path.join(PAGES, page_name(words)), encoding="utf-8") as page:  # noqa: PTH118, PTH123
            return page.read()
    except OSError:
        return None  # no command, as typer will say better, or an installation without pages
