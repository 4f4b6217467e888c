"""Files that are read while something else is done."""

import threading
from pathlib import Path

import pytest

from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe import ahead as module
from hpbuild.pe.ahead import LARGE, ahead


def _large(path: Path, byte: bytes = b"a") -> Path:
    path.write_bytes(byte * LARGE)
    return path


def test_a_large_file_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    first, second = _large(tmp_path / "first", b"a"), _large(tmp_path / "second", b"b")
    with ahead((first, second)) as read:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.daemon:
                thread.join()
        first.write_bytes(b"later")
        second.unlink()
        assert read(second) == b"b" * LARGE
        assert read(first) == b"a" * LARGE


def test_it_is_given_once(tmp_path: Path) -> None:
    file = _large(tmp_path / "file")
    with ahead((file, file)) as read:
        assert len(read(file)) == LARGE
        file.write_bytes(b"later")
        assert read(file) == b"later", "whoever asks again gets what is there then"


def test_small_and_other_files_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    small, other = tmp_path / "small", _large(tmp_path / "other")
    small.write_bytes(b"before")
    with ahead((small,)) as read:
        small.write_bytes(b"after")
        other.write_bytes(b"other")
        assert (read(small), read(other)) == (b"after", b"other")


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(KeyError), ahead((_large(tmp_path / "file"),)):
        raise KeyError
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("name", "code"),
    [("missing", codes.FILE_NOT_FOUND), (".", codes.IS_A_DIRECTORY), ("\0", codes.FILE_NOT_FOUND)],
)
def test_fail_what_cannot_be_read_is_told_when_it_is_asked_for(
    tmp_path: Path, name: str, code: object
) -> None:
    path = tmp_path / name
    with ahead((path,)) as read, pytest.raises(HpbuildError) as caught:
        read(path)
    assert caught.value.code is code


@pytest.mark.parametrize("error", [HpbuildError(codes.READ_FAILED, "file", "an error"), MemoryError("none")])
def test_fail_an_error_of_the_thread_is_raised_where_the_file_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(path: Path) -> None:
        raise error

    file = _large(tmp_path / "file")
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_file", failing)
        with ahead((file,)) as read, pytest.raises(type(error)) as caught:
            read(file)
    assert caught.value is error
