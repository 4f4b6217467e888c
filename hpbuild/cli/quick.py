"""Command lines that are understood without typer, which takes longer to import than they take to run.

Only the plain form of ``inspect``, ``verify`` and ``diff``: files, and the options of ``LINES``, each given
once with a value. Whatever else stands on a command line, a variable of the environment sets or is wrong is
for typer, with all its options, conversions and messages: then ``quick_run`` is None. That both ways come to
the same is held by a test.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from hpbuild.cli.choices import Format
from hpbuild.cli.piece import CHILD_VARIABLE
from hpbuild.cli.ready import has_variables
from hpbuild.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """What the short form of a command may have. ``run`` in the module ``steps`` takes ``files`` paths, or
    one list of them when there may be any number (0), and the keywords. ``paths``: options with one path;
    ``texts``: those with a text; ``numbers``: those with a number above 0; ``lists``: those that may be
    repeated; ``flags``: those without a value. All have ``--format``."""

    steps: str
    files: int
    paths: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()


LINES = {
    "inspect": Line("hpbuild.cli.inspecting", files=1),
    "diff": Line(
        "hpbuild.cli.differing",
        files=2,
        texts=frozenset({"--symbols"}),
        numbers=frozenset({"--jobs"}),
        flags=frozenset({"--no-cache", "--quiet"}),
    ),
    "verify": Line(
        "hpbuild.cli.verifying",
        files=0,
        paths=frozenset({"--policy", "--installed"}),
        lists=frozenset({"--key"}),
        flags=frozenset({"--allow-unsigned"}),
    ),
}
FORMAT, QUIET = "--format", "--quiet"

_DIGITS = 10

Words = dict[str, list[str]]


def quick_run(arguments: list[str]) -> Callable[[], int] | None:
    """What runs the command line ``arguments``, None when typer has to parse it."""
    line = LINES.get(arguments[0]) if arguments else None
    if line is None or has_variables(CHILD_VARIABLE):
        return None
    found = parse(line, arguments[1:])
    if found is None:
        return None
    files, options = found

    def run() -> int:
        from hpbuild.cli.output import Output

        form = Format(options.pop(FORMAT, ["text"])[0])
        output = Output(format=form, quiet=options.pop(QUIET, None) is not None)
        keywords = {
            option.removeprefix("--").replace("-", "_"): _value(line, option, values)
            for option, values in options.items()
        }
        given: list[object] = [*files]
        if line.files != 1:
            from pathlib import Path

            paths = [Path(file) for file in files]
            given = [*paths] if line.files else [paths]
        status: int = import_module(line.steps).run(*given, output=output, **keywords)
        return status

    return run


def _value(line: Line, option: str, values: list[str]) -> object:
    """The value of an option as ``run`` takes it."""
    if option in line.flags:
        return True
    if option in line.numbers:
        return int(values[0])
    if option in line.texts:
        return values[0]
    from pathlib import Path

    paths = [Path(value) for value in values]
    return paths if option in line.lists else paths[0]


def parse(line: Line, words: list[str]) -> tuple[list[str], Words] | None:
    """The files and the values of every option among ``words``; None for what is not of the short form."""
    files: list[str] = []
    options: Words = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            files.append(word)
            continue
        name, given, value = word.partition("=")
        if name in line.flags and not given:
            options[name] = []
            continue
        single = line.paths | line.texts | line.numbers | {FORMAT}
        if name not in single | line.lists or (name in options and name in single):
            return None
        options.setdefault(name, []).append(value if given else next(rest, ""))
    values = [value for given in options.values() for value in given]
    plain = all(word and not word.startswith("-") for word in (*files, *values))
    known = set(options.get(FORMAT, ())) <= set(Format)
    whole = len(files) == line.files or (len(files) >= 1 and not line.files)
    # Whatever a Path would spell in another way is for typer, which makes Paths of all files.
    same = line.files != 1 or not any(map(_is_odd, files))
    counted = all(_is_count(options[name][0]) for name in line.numbers & options.keys())
    return (files, options) if plain and known and whole and same and counted else None


def _is_odd(file: str) -> bool:
    return "//" in file or "/./" in f"/{file}/" or file.endswith("/")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < len(text) < _DIGITS and int(text) > 0
