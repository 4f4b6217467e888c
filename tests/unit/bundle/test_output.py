import errno
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from hpbuild.bundle.output import file_error, read_bounded, write_atomic, write_new
from hpbuild.codes import bundle as codes
from hpbuild.errors import Code, HpbuildError

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


def test_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.hpb"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [item.name for item in tmp_path.iterdir()] == ["out.hpb"]


@POSIX
def test_new_file_has_the_usual_mode_and_replaced_file_keeps_its_own(tmp_path: Path) -> None:
    path = tmp_path / "out.hpb"
    umask = os.umask(0o027)
    try:
        write_atomic(path, b"one")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        write_atomic(path, b"two")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(umask)


def refused_write(path: Path, data: bytes = b"new") -> Code:
    with pytest.raises(HpbuildError) as caught:
        write_atomic(path, data)
    assert caught.value.finding.place == str(path)
    return caught.value.code


def test_directory_as_output_fails(tmp_path: Path) -> None:
    assert refused_write(tmp_path) is codes.NOT_A_FILE


@POSIX
def test_pipe_as_output_fails_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert refused_write(path) is codes.NOT_A_FILE
    assert path.is_fifo()


def test_missing_directory_fails(tmp_path: Path) -> None:
    assert refused_write(tmp_path / "no" / "out") is codes.NO_SUCH_FILE


@pytest.mark.usefixtures("mortal")
def test_forbidden_directory_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert refused_write(tmp_path / "out") is codes.NO_PERMISSION
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE as a stand-in for a full disk")
def test_no_space_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # no module's file may be cut short
    path = tmp_path / "out"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        assert refused_write(path, bytes(100_000)) is codes.DISK_FULL
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_interruption_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "out"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    with pytest.raises(KeyboardInterrupt):
        write_new(tmp_path / "other", b"new", 0o600)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_new_file_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    write_new(path, b"one", 0o600)
    with pytest.raises(HpbuildError) as caught:
        write_new(path, b"two", 0o600)
    assert caught.value.code is codes.ALREADY_EXISTS
    assert path.read_bytes() == b"one"


@POSIX
def test_new_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(HpbuildError) as caught:
        write_new(tmp_path / "link", b"secret", 0o600)
    assert caught.value.code is codes.ALREADY_EXISTS
    assert not (tmp_path / "target").exists()


def refused_read(path: Path, limit: int = 10) -> Code:
    with pytest.raises(HpbuildError) as caught:
        read_bounded(path, limit)
    return caught.value.code


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"0123456789")
    assert read_bounded(path, 10) == b"0123456789"
    assert refused_read(path, 9) is codes.TOO_LARGE


@POSIX
def test_pipe_fails_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refused_read(tmp_path / "pipe") is codes.NOT_A_FILE


@POSIX
def test_pipe_swapped_in_between_look_and_open_fails_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody puts a pipe in place of the file as soon as it was looked at."""
    path, look = tmp_path / "in", os.stat
    path.write_bytes(b"a file")

    def swapped(*arguments: Any, **named: Any) -> os.stat_result:
        seen = look(*arguments, **named)
        path.unlink()
        os.mkfifo(path)
        return seen

    signal.alarm(600)  # ends the test run, should the reader wait for a writer
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", swapped)
            assert refused_read(path) is codes.NOT_A_FILE
    finally:
        signal.alarm(0)
    assert path.is_fifo()


@pytest.mark.parametrize("name", ["no", "no/no", "a\x00b"])
def test_missing_file_fails(tmp_path: Path, name: str) -> None:
    assert refused_read(tmp_path / name) is codes.NO_SUCH_FILE


def test_file_as_directory_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert refused_read(tmp_path / "file" / "in") is codes.NO_SUCH_FILE


@pytest.mark.usefixtures("mortal")
def test_forbidden_file_fails(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"")
    path.chmod(0)
    assert refused_read(path) is codes.NO_PERMISSION


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, codes.NO_PERMISSION),
        (errno.EROFS, codes.NO_PERMISSION),
        (errno.ENOSPC, codes.DISK_FULL),
        (errno.EIO, codes.IO_FAILED),
    ],
)
def test_what_the_system_reports_has_a_code(number: int, code: Code) -> None:
    error = file_error(OSError(number, os.strerror(number)), Path("x"))
    assert (error.code, error.finding.cause) == (code, os.strerror(number))


@POSIX
def test_a_mode_that_is_asked_for_is_given(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for _ in range(2):
        write_atomic(path, b"x", 0o600)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)
