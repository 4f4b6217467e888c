"""What is begun with two files before anything looks at them."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpbuild.assembly import start as module
from hpbuild.assembly.start import all_cores, started
from hpbuild.code.lengths import pieces
from hpbuild.codes import pe as codes
from hpbuild.errors import HpbuildError
from hpbuild.pe.files import read_file
from tests.children import await_end, children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALLEST", 1)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process, no thread, no file."""
    files, threads = _files(), threading.active_count()
    yield
    assert not children()
    assert (_files(), threading.active_count()) == (files, threads)


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - asked for before anything else is open


@pytest.fixture
def pair(binaries: Path, tmp_path: Path) -> tuple[Path, Path]:
    """With so much behind the image that they are read to where they are mapped."""
    files = tmp_path / "baseline.dll", tmp_path / "fixed.dll"
    for file in files:
        file.write_bytes((binaries / file.stem / "codec.dll").read_bytes() + bytes(1 << 16))
    return files


def test_the_baseline_is_decoded_meanwhile(pair: tuple[Path, Path]) -> None:
    with started(*pair) as start:
        (child,) = children()
        await_end(child)
        baseline, fixed = map(start.read, pair)
        assert (baseline, fixed) == tuple(map(read_file, pair))
        assert baseline.mapped is not None
        assert not start.decoded(fixed), "it is of the baseline"
        assert not start.decoded(read_file(pair[0])), "it is of the very bytes that were decoded"
        assert start.decoded(baseline) == tuple(pieces(baseline.mapped.memory))


def test_who_asks_does_not_wait(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(memory: memoryview) -> Iterator[object]:
        yield next(iter(pieces(memory)))
        time.sleep(600)

    monkeypatch.setattr("hpbuild.code.lengths.pieces", slow)
    with started(*pair) as start:
        baseline = start.read(pair[0])
        assert len(start.decoded(baseline)) <= 1
        assert not start.decoded(baseline), "it has ended"


def test_nobody_has_to_ask(pair: tuple[Path, Path]) -> None:
    with pytest.raises(KeyError), started(*pair):
        raise KeyError


def test_the_same_file_may_be_both(pair: tuple[Path, Path]) -> None:
    with started(pair[0], pair[0]) as start:
        one, other = start.read(pair[0]), start.read(pair[0])
        assert one is not other
        assert one == other


@pytest.mark.parametrize("limit", ["SMALLEST", "LARGEST"])
def test_not_with_small_files_nor_with_very_large_ones(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    size = pair[0].stat().st_size
    monkeypatch.setattr(module, limit, size + 1 if limit == "SMALLEST" else size - 1)
    with started(*pair) as start:
        assert not children()
        assert not start.decoded(start.read(pair[0]))


def test_not_with_what_is_no_image(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"no image")
    with started(file, file) as start:
        assert not children()
        assert start.read(file) == b"no image"


def test_not_where_no_process_is_to_be_had(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", none)
    with started(*pair) as start:
        assert not start.decoded(start.read(pair[0]))


def test_fail_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with started(tmp_path / "none", tmp_path / "none") as start:
        for _ in range(2):
            with pytest.raises(HpbuildError) as caught:
                start.read(tmp_path / "none")
            assert caught.value.code is codes.FILE_NOT_FOUND


def test_not_with_one_process(pair: tuple[Path, Path]) -> None:
    with started(*pair, processes=1) as start:
        assert not children()
        assert not start.decoded(start.read(pair[0]))


def test_all_cores_are_those_of_this_process() -> None:
    assert 1 <= all_cores() <= (os.cpu_count() or 1)
