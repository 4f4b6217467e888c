"""Each file is read once, and everything is judged on the bytes that were read."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild.cli import verifying
from hpbuild.verify import reading

Runner = Callable[..., Any]
WATCH = """
import os, sys
watched = [os.path.realpath(path) for path in sys.argv[1].split(os.pathsep)]
note = os.environ["OPENED"]
busy = []
def watch(event, arguments):
    if event == "open" and not busy and isinstance(arguments[0], (str, os.PathLike)):
        path = os.path.realpath(arguments[0])
        if path in watched:
            busy.append(1)
            descriptor = os.open(note, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, path.encode() + b"\\n")
            os.close(descriptor)
            busy.clear()
sys.addaudithook(watch)
del sys.argv[1]
sys.argv[0] = "hpbuild"
from hpbuild.cli.main import run; run()
"""


@pytest.mark.parametrize("tree", [False, True])
def test_every_file_is_opened_once(root: Path, package: Any, tmp_path: Path, tree: bool) -> None:
    note = tmp_path / "opened"
    files = [package.path, package.baseline]
    installed = package.release.root if tree else package.baseline
    done = subprocess.run(
        [sys.executable, "-c", WATCH, os.pathsep.join(map(str, files)), "verify", str(package.path), "--key",
         str(package.public), "--installed", str(installed)],
        env={**os.environ, "PYTHONPATH": str(root), "OPENED": str(note)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Counter(note.read_text().split()) == {os.path.realpath(path): 1 for path in files}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def swapping(read: Callable[..., Any], other: bytes) -> Callable[..., Any]:
    """``read``, after which the file at the path is another one."""

    def swapped(path: Path, *arguments: Any) -> Any:
        data = read(path, *arguments)
        replacement = path.with_name("replacement")
        replacement.write_bytes(other)
        replacement.replace(path)
        return data

    return swapped


def test_the_installed_file_is_replaced(
    hpbuild: Runner, package: Any, binaries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good bytes were read: they are judged, and named by their digest; the other way round likewise."""
    good, bad = package.baseline.read_bytes(), (binaries / "baseline" / "throwing.dll").read_bytes()
    read = reading.read_file
    for first, then, status in ((good, bad, 0), (bad, good, 3)):
        package.baseline.write_bytes(first)
        before = sha256(package.baseline)
        monkeypatch.setattr(reading, "read_file", swapping(read, then))
        run = hpbuild(
            "verify", package.path, "--key", package.public, "--installed", package.baseline,
            "--format", "json",
        )  # fmt: skip
        ((module,),) = [entry["modules"] for entry in run.document()["packages"]]
        assert (run.status, module["sha256"]) == (status, before)
        assert sha256(package.baseline) != before


def test_the_package_is_replaced(hpbuild: Runner, package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sha256(package.path)
    other = package.beside("other.hpb", id="other").read_bytes()
    monkeypatch.setattr(verifying, "read_bounded", swapping(verifying.read_bounded, other))
    run = hpbuild("verify", package.path, "--key", package.public, "--format", "json")
    (entry,) = run.document()["packages"]
    assert (run.status, entry["sha256"]) == (0, before)
    assert sha256(package.path) != before
