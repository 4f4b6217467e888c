"""Files that are read while something else is done."""

import threading
from pathlib import Path

import pytest

from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError
from hpbuild.values import Digest
from hpbuild.verify import Limits, Policy, VerifyRequest, reading, verify


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.dll"
    path.write_bytes(bytes(range(256)) * 200)
    return path


def threads() -> int:
    return threading.active_count()


def test_data_and_digest_are_of_one_reading(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_STEP", 1000)
    content = file.read_bytes()
    with reading.reading(file, len(content)) as found:
        assert found.data() == content
        file.write_bytes(b"something else")
        assert found.sha256() == Digest.of(content)
        assert found.data() is found.data()


def test_a_file_without_bytes_is_one(file: Path) -> None:
    file.write_bytes(b"")
    with reading.reading(file, 10) as found:
        assert (found.data(), found.sha256()) == (b"", Digest.of(b""))


def test_the_thread_is_gone_afterwards(file: Path) -> None:
    before = threads()
    with reading.reading(file, 1 << 20):
        pass
    with pytest.raises(ZeroDivisionError), reading.reading(file, 1 << 20):
        raise ZeroDivisionError
    assert threads() == before


def test_what_is_wrong_with_the_file_is_raised_where_it_is_asked_for(file: Path) -> None:
    for path, limit, code in (
        (file, 10, codes.FILE_TOO_LARGE),
        (file.parent / "absent", 10, codes.FILE_NOT_FOUND),
        (file.parent, 10, codes.IS_A_DIRECTORY),
    ):
        with reading.reading(path, limit) as found:
            for ask in (found.data, found.sha256):
                with pytest.raises(HpbuildError) as caught:
                    ask()
                assert caught.value.code is code


def test_lack_of_memory_is_raised_where_it_is_asked_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, limit: int) -> bytes:
        raise MemoryError

    monkeypatch.setattr(reading, "read_file", full)
    with reading.reading(file, 1 << 20) as found, pytest.raises(MemoryError):
        found.data()


def test_without_a_thread_it_is_read_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with reading.reading(file, 1 << 20) as found:
        content = file.read_bytes()
        file.unlink()
        assert (found.data(), found.sha256()) == (content, Digest.of(content))


def test_a_package_that_cannot_be_read_leaves_no_thread(file: Path) -> None:
    before = threads()
    policy = Policy(allow_unsigned=True, limits=Limits(installed_size=1 << 20))
    result = verify(VerifyRequest(bundle=b"", name="x", policy=policy, installed=file))
    assert not result.modules
    assert threads() == before
