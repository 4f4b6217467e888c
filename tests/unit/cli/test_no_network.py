"""``verify`` opens no socket: in a process that may not, and on a machine whose network is cut."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GUARD = """
import os, sys
def guard(event, arguments):
    if event.startswith("socket."):
        os.write(2, b"a socket was used: " + event.encode())
        os._exit(99)
sys.addaudithook(guard)
"""
ENTRY = "import sys; sys.argv[0] = 'hpbuild'; from hpbuild.cli.main import run; run()"


def run(root: Path, code: str, *arguments: object, within: tuple[str, ...] = ()) -> Any:
    return subprocess.run(
        [*within, sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


@pytest.fixture(params=["alone", "file", "tree"])
def arguments(request: pytest.FixtureRequest, package: Any) -> list[object]:
    """A verification that succeeds: of the package alone, against a file, against a tree."""
    installed = {"alone": [], "file": ["--installed", package.baseline],
                 "tree": ["--installed", package.release.root]}  # fmt: skip
    return ["verify", package.path, "--key", package.public, *installed[request.param]]


def test_no_socket_is_made(root: Path, arguments: list[object]) -> None:
    done = run(root, GUARD + ENTRY, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_guard_ends_whoever_makes_one(root: Path) -> None:
    done = run(root, GUARD + "import socket; socket.socket()")
    assert done.returncode == 99
    done = run(root, GUARD + "import socket; socket.getaddrinfo('localhost', 1)")
    assert done.returncode == 99


def test_the_guard_holds_in_the_child_too(root: Path, package: Any) -> None:
    code = (
        "import hpbuild.cli.inspecting as inspecting, socket\n"
        "inspecting._package = lambda path, **how: socket.socket()\n"
    )
    done = run(root, GUARD + code + ENTRY, "inspect", package.path)
    assert done.returncode == 5
    assert "exit status 99: a socket was used" in done.stderr


def test_with_the_network_cut(root: Path, arguments: list[object]) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody make a network namespace")
    within = (unshare, "-rn")
    cut = "import socket; socket.create_connection(('192.0.2.1', 80), 1)"
    assert "unreachable" in run(root, cut, within=within).stderr
    assert run(root, ENTRY, *arguments, within=within).returncode == 0
