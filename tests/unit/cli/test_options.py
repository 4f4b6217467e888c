"""Options from the environment, colours, quiet and verbose."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer

from hpbuild.cli.app import function_of, make_app
from hpbuild.cli.commands import COMMANDS
from hpbuild.cli.keys import generate
from hpbuild.cli.options import Color, Format
from hpbuild.cli.output import Output, wants_colour

Runner = Callable[..., Any]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_every_option_has_a_variable(hpbuild: Runner, monkeypatch: pytest.MonkeyPatch, package: Any) -> None:
    monkeypatch.setenv("HPBUILD_VERIFY_KEY", str(package.public))
    monkeypatch.setenv("HPBUILD_VERIFY_THRESHOLD", "2")
    run = hpbuild("verify", package.path)
    assert run.status == 2
    assert "HP6020" in run.err


def test_format_for_all_commands_and_for_one(
    hpbuild: Runner, monkeypatch: pytest.MonkeyPatch, package: Any
) -> None:
    monkeypatch.setenv("HPBUILD_FORMAT", "json")
    assert hpbuild("inspect", package.path).document()["kind"] == "package"
    assert hpbuild("inspect", package.path, "--format", "text").out.startswith("nothing here was verified")
    monkeypatch.delenv("HPBUILD_FORMAT")
    monkeypatch.setenv("HPBUILD_INSPECT_FORMAT", "json")
    assert hpbuild("inspect", package.path).document()["kind"] == "package"


@pytest.mark.parametrize(
    ("color", "stream", "environment", "expected"),
    [
        (Color.AUTO, Terminal(), {}, True),
        (Color.AUTO, io.StringIO(), {}, False),
        (Color.AUTO, Terminal(), {"NO_COLOR": "1"}, False),
        (Color.AUTO, Terminal(), {"NO_COLOR": ""}, True),
        (Color.AUTO, Terminal(), {"TERM": "dumb"}, False),
        (Color.ALWAYS, io.StringIO(), {"NO_COLOR": "1"}, True),
        (Color.NEVER, Terminal(), {}, False),
    ],
)
def test_when_text_is_coloured(
    monkeypatch: pytest.MonkeyPatch,
    color: Color,
    stream: io.StringIO,
    environment: dict[str, str],
    expected: bool,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(color, stream) is expected


def test_colour_on_request(process: Runner) -> None:
    assert "\x1b[" in process("explain", "HP9001", "--color", "always").out
    assert "\x1b[" not in process("explain", "HP9001").out
    assert "\x1b[" not in process("explain", "HP9001", "--color", "never").out


def test_log_goes_to_stderr_by_level(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet, verbose, expected in [
        (False, 0, ""),
        (False, 1, "hpbuild: read a.dll\nhpbuild: match\n"),
        (False, 2, "hpbuild: read a.dll\nhpbuild: read a.dll 1/2\nhpbuild: match\nhpbuild: match 7\n"),
        (True, 2, ""),
    ]:
        output = Output(format=Format.JSON, quiet=quiet, verbose=verbose)
        with output.progress() as progress:
            progress("read", "a.dll", 0, 2)
            progress("read", "a.dll", 1, 2)
            progress("match", "", 0, 0)
            progress("match", "", 7, 0)
        captured = capsys.readouterr()
        assert (captured.out, captured.err) == ("", expected)


def test_log_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    Output(verbose=1).log("name \x1b[31m\u202e")
    assert capsys.readouterr().err == "hpbuild: name \\x1b[31m\\u202e\n"


def test_a_reader_that_goes_away_does_not_change_the_status(process: Runner) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = process("explain", "--all", "--color", "always", stdout=writing)
    finally:
        os.close(writing)
    assert (run.status, run.err) == (0, "")


LOOSENING = {"allow_unsigned", "lowest_tier", "no_record", "time"}
"""Only for the command line: they ask for less."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOW_UNSIGNED", "1"),
        ("LOWEST_TIER", "functions"),
        ("NO_RECORD", "1"),
        ("TIME", "2020-01-01T00:00:00Z"),
    ],
)
def test_fail_no_variable_asks_for_less(
    hpbuild: Runner, monkeypatch: pytest.MonkeyPatch, package: Any, tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.setenv(f"HPBUILD_VERIFY_{name}", value)
    assert hpbuild("verify", package.path).status == 2
    state = tmp_path / "state"
    run = hpbuild("verify", package.path, "--key", package.public, "--state", state, "--format", "json")
    (entry,) = run.document()["packages"]
    assert (run.status, entry["lowest_tier"], entry["recorded"]) == (0, "authenticode", True)
    assert entry["time"] > "2021"
    assert state.exists()


def test_no_option_lacks_a_variable() -> None:
    program: Any = typer.main.get_command(make_app())
    commands = {**program.commands, **program.commands.pop("keys").commands}
    assert len(commands) > 10
    options = [
        (name, option)
        for name, command in commands.items()
        for option in command.params
        if option.param_type_name == "option"
    ]
    assert len(options) > 40
    assert {option.name for _, option in options if not option.allow_from_autoenv} == LOOSENING


def test_no_path_is_looked_at_while_parsing() -> None:
    functions = [function_of(name) for _, name, _ in COMMANDS] + [generate]
    hints = [hint for f in functions for hint in get_type_hints(f, include_extras=True).values()]
    paths = [hint for hint in hints if "Path" in str(get_args(hint)[:1])]
    assert len(paths) >= 15
    for path in paths:
        _, option = get_args(path)
        assert (option.exists, option.readable, option.writable) == (False, False, False), path
