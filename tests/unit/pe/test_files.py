"""Opening and reading files safely."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe.files import HEAD, MAX_FILE, read_file
from tests.minimal_pe import MinimalPe


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


ON_DISK = {"a small file": 1000, "a file that is no image": 3 * HEAD}


@pytest.mark.parametrize("size", ON_DISK.values(), ids=ON_DISK.keys())
def test_other_files_are_read_as_they_are(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * (size // 250 + 1))
    assert read_file(path) == path.read_bytes()
    assert read_file(path).mapped is None


def large_image():
    """An image that is read to its place, and longer than what is read first."""
    pe = MinimalPe(overlay=bytes(range(256)) * 40)
    pe.section(b".data", bytes(range(256)) * 32)
    return pe.build()


@pytest.mark.parametrize("change", ["grow", "shrink", "shrink in the headers", "touch"])
@pytest.mark.parametrize(
    "whole", [b"x" * 1000, b"x" * 3 * HEAD, large_image()], ids=["small", "other", "image"]
)
def test_image_that_changes_while_it_is_read(tmp_path, refuses, monkeypatch, change, whole):
    path = tmp_path / "busy.dll"
    path.write_bytes(whole)
    plain_status = os.fstat
    done = threading.Event()

    def look_and_change(descriptor):
        status = plain_status(descriptor)
        if not done.is_set():
            done.set()
            if change == "touch":
                os.utime(path, ns=(1, 1))
            else:
                sizes = {"grow": len(whole) + 5, "shrink": len(whole) - 5, "shrink in the headers": 10}
                os.truncate(path, sizes[change])
        return status

    monkeypatch.setattr(os, "fstat", look_and_change)
    error = refuses(codes.FILE_CHANGED, read_file, path)
    count = {"grow": len(whole) + 1, "shrink": len(whole) - 5, "shrink in the headers": 10}
    assert f" {count.get(change, len(whole))} read" in error.finding.cause


def test_the_headers_of_an_image_are_read_once(tmp_path, monkeypatch):
    path = tmp_path / "x.dll"
    path.write_bytes(large_image())
    plain_read = os.read

    def read_and_spoil(descriptor, size):
        """Whoever read these bytes once more would read others."""
        data = plain_read(descriptor, size)
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        with path.open("r+b") as stream:
            stream.seek(place - len(data))
            stream.write(b"\0" * len(data))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return data

    status = path.stat()
    monkeypatch.setattr(os, "read", read_and_spoil)
    found = read_file(path)
    assert found == large_image()
    assert found.mapped is not None
    assert path.read_bytes() != large_image()


def test_images_are_refused_as_files_are(tmp_path, refuses):
    image = tmp_path / "x.dll"
    image.write_bytes(large_image())
    (tmp_path / "empty.dll").touch()
    refuses(codes.FILE_TOO_LARGE, read_file, image, len(large_image()) - 1)
    refuses(codes.EMPTY_FILE, read_file, tmp_path / "empty.dll")
    refuses(codes.IS_A_DIRECTORY, read_file, tmp_path)
    refuses(codes.FILE_NOT_FOUND, read_file, tmp_path / "none.dll")
    assert read_file(image, len(large_image())) == large_image()


def test_an_error_while_an_image_is_read(tmp_path, refuses, monkeypatch):
    image = tmp_path / "x.dll"
    image.write_bytes(large_image())
    plain_read = os.read

    def read_and_fail(descriptor, size):
        if size == 1:
            raise OSError(5, "Input/output error")
        return plain_read(descriptor, size)

    monkeypatch.setattr(os, "read", read_and_fail)
    error = refuses(codes.READ_FAILED, read_file, image)
    assert error.finding.cause == "Input/output error"
