"""Command lines that are understood without typer, which takes longer to import than they take to run.

Only the plain form of ``inspect`` and ``verify``: files, and the options of ``LINES``, each given once with a
value. Whatever else stands on a command line, a variable of the environment sets or is wrong is for typer,
with all its options, conversions and messages: then ``quick_run`` is None. That both ways come to the same is
held by a test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from hpbuild.cli.choices import Format
from hpbuild.cli.piece import CHILD_VARIABLE
from hpbuild.cli.ready import has_variables


@dataclass(frozen=True, slots=True)
class Line:
    """What the short form of a command may have. ``run`` in the module ``steps`` takes a Path, or a tuple of
    them when there may be ``many``, and the keywords. ``paths``: options with one path; ``lists``: those that
    may be repeated; ``flags``: those without a value. All have ``--format``."""

    steps: str
    many: bool
    paths: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()


LINES = {
    "inspect": Line("hpbuild.cli.inspecting", many=False),
    "verify": Line(
        "hpbuild.cli.verifying",
        many=True,
        paths=frozenset({"--policy", "--installed"}),
        lists=frozenset({"--key"}),
        flags=frozenset({"--allow-unsigned"}),
    ),
}
FORMAT = "--format"

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

        keywords: dict[str, object] = {"output": Output(format=Format(options.get(FORMAT, ["text"])[0]))}
        for option, values in options.items():
            name = option.removeprefix("--").replace("-", "_")
            if option in line.flags:
                keywords[name] = True
            elif option in line.lists:
                keywords[name] = [Path(value) for value in values]
            elif option in line.paths:
                keywords[name] = Path(values[0])
        paths = [Path(file) for file in files]
        status: int = import_module(line.steps).run(paths if line.many else paths[0], **keywords)
        return status

    return run


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
        if name not in line.paths | line.lists | {FORMAT} or (name in options and name not in line.lists):
            return None
        options.setdefault(name, []).append(value if given else next(rest, ""))
    values = [value for given in options.values() for value in given]
    plain = all(word and not word.startswith("-") for word in (*files, *values))
    known = set(options.get(FORMAT, ())) <= set(Format)
    whole = len(files) >= 1 if line.many else len(files) == 1
    return (files, options) if plain and known and whole else None
