"""Pages that are ready beforehand: they are what typer renders, and typer is asked wherever it matters."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild import __version__
from hpbuild.cache import folder
from hpbuild.cli.app import dispatch
from hpbuild.cli.ready import CACHE, COLUMNS, PAGES, columns, page_name, ready_text
from hpbuild.cli.render import pages, write_pages

Runner = Callable[..., Any]


def test_pages_are_what_typer_renders() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in Path(PAGES).iterdir()}
    assert found == pages(), "run: python -m hpbuild.cli.render"
    assert len(found) > 20
    assert all(text.isascii() and text.endswith("\n") for text in found.values())


@pytest.mark.parametrize("width", [str(COLUMNS), "100", "400"])
def test_wide_terminals_have_one_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for line in (["--help"], ["verify", "-h"], ["policy", "add-key", "--help"]):
        assert dispatch(line) == 0
        assert ready_text(line) == capsys.readouterr().out


def test_version() -> None:
    assert ready_text(["--version"]) == f"hpbuild {__version__}\n"


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["verify"],
        ["verify", "x", "--help"],
        ["--help", "verify"],
        ["--version", "--help"],
        ["no-command", "--help"],
        ["keys.generate", "--help"],
        ["hpbuild", "--help"],
        ["..", "--help"],
        ["../pages/hpbuild", "--help"],
        ["", "--help"],
        ["keys", "generate", "--help", "--help"],
        ["keys", "generate", "more", "--help"],
    ],
)
def test_fail_other_lines_have_no_page(line: list[str]) -> None:
    assert ready_text(line) is None


def test_fail_no_page_in_a_narrow_terminal(hpbuild: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "79")
    assert ready_text(["--help"]) is None
    monkeypatch.setenv("COLUMNS", "60")
    narrow = hpbuild("--help").out
    monkeypatch.setenv("COLUMNS", "80")
    assert narrow != ready_text(["--help"])


def test_fail_no_page_beside_variables(hpbuild: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPBUILD_HELP", "1")
    assert ready_text(["keys", "--help"]) is None
    run = hpbuild("explain", "HP1001")
    assert "rehearse" in run.out  # the list of all commands, whichever was named


@pytest.mark.parametrize("given", ["80", "132", "40", "x", "0", "-1", ""])
def test_width_is_found_as_shutil_does(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("COLUMNS", given)
    assert columns() == shutil.get_terminal_size().columns


def test_page_of_a_process(process: Runner) -> None:
    assert process("--help").out == (Path(PAGES) / page_name([])).read_text()


def test_writing_removes_pages_of_commands_that_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "hpbuild.gone.txt").write_text("x")
    write_pages(folder)
    assert {path.name for path in folder.iterdir()} == {path.name for path in Path(PAGES).iterdir()}


def test_the_place_of_the_cache_sets_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (folder.FOLDER, folder.SIZE) == CACHE
    for name in CACHE:
        monkeypatch.setenv(name, "7")
    assert ready_text(["--help"]) is not None
    assert ready_text(["--version"]) is not None
