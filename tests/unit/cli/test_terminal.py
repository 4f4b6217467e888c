"""What only a real terminal shows: prompts, colours, tables that fit."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hpbuild.sign.keys import read_private

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)

import pty

ENTRY = "import sys; sys.argv[0] = 'hpbuild'; from hpbuild.cli.main import run; run()"


class Session:
    """A command on a pseudo-terminal of its own."""

    def __init__(self, root: Path, *arguments: object, **env: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", ENTRY, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(root), "TERM": "xterm-256color", "COLUMNS": "80", **env},
        )
        os.close(slave)
        self.seen = b""

    def read(self) -> bool:
        """Take what there is; False at the end."""
        try:
            part = os.read(self.master, 65536)
        except OSError:  # how Linux tells that the other side is closed
            return False
        self.seen += part
        return bool(part)

    def wait(self, prompt: bytes) -> None:
        """Read up to the prompt."""
        while prompt not in self.seen and self.read():
            pass
        assert prompt in self.seen

    def answer(self, prompt: bytes, text: str) -> None:
        """Wait for the prompt, then type."""
        self.wait(prompt)
        os.write(self.master, text.encode() + b"\n")

    def end(self) -> tuple[int, str]:
        """Exit status and all that was shown."""
        while self.read():
            pass
        return self.process.wait(timeout=300), self.seen.decode()

    def close(self) -> None:
        """End the command, if it has not ended."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)


Start = Callable[..., Session]


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Starts a command; whatever becomes of the test, none goes on."""
    with ExitStack() as started:

        def session(*arguments: object, **env: str) -> Session:
            made = Session(root, *arguments, **env)
            started.callback(made.close)
            return made

        yield session


def test_a_new_passphrase_is_asked_twice_and_not_shown(start: Start, tmp_path: Path) -> None:
    session = start("keys", "generate", "-o", tmp_path / "k")
    session.answer(b"Passphrase for ", "correct horse")
    session.answer(b"Once more: ", "correct horse")
    status, seen = session.end()
    assert status == 0
    assert "correct horse" not in seen
    read_private(tmp_path / "k.key", b"correct horse")


def test_two_different_passphrases_are_refused(start: Start, tmp_path: Path) -> None:
    session = start("keys", "generate", "-o", tmp_path / "k")
    session.answer(b"Passphrase for ", "one")
    session.answer(b"Once more: ", "two")
    status, seen = session.end()
    assert status == 2
    assert "the two passphrases differ" in seen
    assert not (tmp_path / "k.key").exists()


def test_a_protected_key_is_asked_for_when_signing(start: Start, tmp_path: Path, package: Any) -> None:
    session = start("keys", "generate", "-o", tmp_path / "k", HPBUILD_PASSPHRASE="open sesame")
    assert session.end()[0] == 0
    session = start("sign", package.path, "--key", f"file:{tmp_path / 'k.key'}")
    session.answer(b"Passphrase for ", "open sesame")
    assert session.end()[0] == 0


def test_ctrl_c_at_a_prompt(start: Start, tmp_path: Path) -> None:
    session = start("keys", "generate", "-o", tmp_path / "k")
    session.wait(b"Passphrase for ")
    session.process.send_signal(signal.SIGINT)
    status, seen = session.end()
    assert status == 1
    assert "HP9002" in seen
    assert "Traceback" not in seen
    assert not (tmp_path / "k.key").exists()


@pytest.mark.parametrize(
    ("env", "options", "coloured"),
    [
        ({}, (), True),
        ({"NO_COLOR": "1"}, (), False),
        ({}, ("--color", "never"), False),
        ({"TERM": "dumb"}, (), False),
    ],
)
def test_colours(start: Start, env: dict[str, str], options: tuple[str, ...], coloured: bool) -> None:
    status, seen = start("explain", "HP9001", *options, **env).end()
    assert status == 0
    assert "HP9001 the command line is not understood" in seen
    assert ("\x1b[" in seen) is coloured


def test_tables_fit_the_terminal(start: Start, package: Any, hpbuild: Callable[..., Any]) -> None:
    assert max(map(len, hpbuild("inspect", package.path).out.splitlines())) > 80
    _, seen = start("inspect", package.path, NO_COLOR="1").end()
    assert max(map(len, seen.splitlines())) <= 80
