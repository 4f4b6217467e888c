"""Opening and reading files safely."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe.files import MAX_FILE, read_file


def test_missing_file(tmp_path, refuses):
    refuses(codes.FILE_NOT_FOUND, read_file, tmp_path / "none.dll")
    refuses(codes.FILE_NOT_FOUND, read_file, Path("a\0b"))
    (tmp_path / "file").write_bytes(b"x")
    refuses(codes.FILE_NOT_FOUND, read_file, tmp_path / "file" / "below")


def test_directory(tmp_path, refuses):
    refuses(codes.IS_A_DIRECTORY, read_file, tmp_path)


def test_empty_file(tmp_path, refuses):
    (tmp_path / "empty.dll").touch()
    refuses(codes.EMPTY_FILE, read_file, tmp_path / "empty.dll")


def test_too_large(tmp_path, refuses):
    with (tmp_path / "huge.dll").open("wb") as stream:
        stream.truncate(MAX_FILE + 1)
    refuses(codes.FILE_TOO_LARGE, read_file, tmp_path / "huge.dll")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_refused_without_waiting(tmp_path, refuses):
    os.mkfifo(tmp_path / "pipe")
    refuses(codes.SPECIAL_FILE, read_file, tmp_path / "pipe")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no device files")
def test_device(refuses):
    refuses(codes.SPECIAL_FILE, read_file, Path("/dev/zero"))


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_no_permission(tmp_path):
    path = tmp_path / "secret.dll"
    path.write_bytes(b"MZ")
    path.chmod(0)
    # A process of its own, because root must drop its rights first.
    script = (
        "import os, sys, pathlib\n"
        "from hpbuild.errors import HpbuildError\n"
        "from hpbuild.pe.files import read_file\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: read_file(pathlib.Path('secret.dll'))\n"
        "except HpbuildError as error: print(error.code.id)\n"
    )
    paths = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stdout.strip() == codes.NO_PERMISSION.id, run.stderr


@pytest.mark.skipif(os.name != "posix", reason="symbolic links need no privilege on POSIX")
def test_unreadable_for_another_reason(tmp_path, refuses):
    (tmp_path / "loop").symlink_to("loop")
    refuses(codes.READ_FAILED, read_file, tmp_path / "loop")


@pytest.mark.parametrize("change", ["grow", "shrink", "touch"])
def test_file_that_changes_while_it_is_read(tmp_path, refuses, monkeypatch, change):
    path = tmp_path / "busy.dll"
    path.write_bytes(b"x" * 1000)
    plain_read = os.read
    done = threading.Event()

    def read_and_change(descriptor, size):
        data = plain_read(descriptor, size)
        if not done.is_set():
            done.set()
            if change == "touch":
                os.utime(path, ns=(1, 1))
            else:
                path.write_bytes(b"y" * (2000 if change == "grow" else 10))
        return data

    monkeypatch.setattr(os, "read", read_and_change)
    refuses(codes.FILE_CHANGED, read_file, path)
