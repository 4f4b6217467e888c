"""``python -m hpbuild.cli.render``: write the help pages that ``ready`` shows, as typer renders them."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from hpbuild.cli.app import dispatch, make_app
from hpbuild.cli.ready import COLUMNS, PAGES, page_name


def pages() -> dict[str, str]:
    """File name and text of every page: the program's, every command's and every group's."""
    words = [[], *_commands(typer.main.get_command(make_app()), [])]
    return {page_name(each): _rendered(each) for each in words}


def _commands(group: Any, above: list[str]) -> Iterator[list[str]]:
    for name, command in sorted(group.commands.items()):
        yield [*above, name]
        if hasattr(command, "commands"):
            yield from _commands(command, [*above, name])


def _rendered(words: list[str]) -> str:
    printed = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(COLUMNS)
    try:
        with contextlib.redirect_stdout(printed):
            dispatch([*words, "--help"])
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return printed.getvalue()


def write_pages(folder: Path) -> None:
    """Write all pages into ``folder``, and remove those of commands that are gone."""
    folder.mkdir(exist_ok=True)
    wanted = pages()
    for old in folder.glob("*.txt"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="ascii", newline="\n")


if __name__ == "__main__":
    write_pages(Path(PAGES))
