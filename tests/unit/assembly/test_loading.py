"""Reading both images of a pair, in one process or two."""

import pickle
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpbuild.assembly import loading
from hpbuild.assembly.loading import PARALLEL_SIZE, Pair, load_pair
from hpbuild.assembly.start import Start
from hpbuild.cache.store import open_store
from hpbuild.code.lengths import Piece
from hpbuild.code.program import load_program
from hpbuild.codes.pe import NOT_A_PE, PDATA_SIZE, RELOCATION_BLOCK
from hpbuild.errors import HpbuildError
from hpbuild.match.sides import bearings
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.reader import read_image
from hpbuild.pe.symbols import load_symbols

TWO_PROCESSES = """
import pickle, sys
from pathlib import Path
from hpbuild.assembly import analysing, loading
loading.PARALLEL_SIZE = 0
analysing.FIRST_SHARE = float(sys.argv[3])
told = []
pair = loading.load_pair(Path(sys.argv[1]), Path(sys.argv[2]), "auto", lambda *row: told.append(row))
sys.stdout.buffer.write(pickle.dumps((pair, told)))
"""

AFTER_A_START = """
import pickle, sys
from pathlib import Path
from hpbuild.assembly import loading, start
from tests.children import await_end, children
loading.PARALLEL_SIZE = start.SMALLEST = 0
told = []

def decoded(content):
    found = begun.decoded(content)
    told.append(sum(len(piece.lengths) for piece in found))
    return found

paths = Path(sys.argv[1]), Path(sys.argv[2])
with start.started(*paths) as begun:
    await_end(children()[0])
    watched = start.Start(begun.read, decoded)
    pair = loading.load_pair(
        *paths, "auto", lambda *row: None, start=watched, begun=lambda: told.append(len(children()))
    )
sys.stdout.buffer.write(pickle.dumps((pair, told)))
"""


def test_both_sides_are_where_they_belong(binaries: Path) -> None:
    told: list[tuple[str, str, int, int]] = []
    paths = [binaries / side / "codec.dll" for side in ("baseline", "fixed")]
    pair = load_pair(*paths, "auto", lambda *row: told.append(row))
    assert pair.baseline.image.data == paths[0].read_bytes()
    assert pair.fixed.image.data == paths[1].read_bytes()
    assert (pair.baseline.symbols.source, pair.fixed.symbols.source) == ("pdb", "pdb")
    assert {row[0] for row in told} == {"decode"}


def test_no_symbols_are_read_when_none_are_wanted(binaries: Path) -> None:
    pair = load_pair(binaries / "baseline/codec.dll", binaries / "fixed/codec.dll", "none", lambda *_: None)
    assert (pair.baseline.symbols.source, pair.fixed.symbols.source) == ("none", "none")


def test_a_symbol_file_is_the_baseline_s(binaries: Path) -> None:
    symbols = str(binaries / "baseline/codec.pdb")
    pair = load_pair(binaries / "baseline/codec.dll", binaries / "fixed/codec.dll", symbols, lambda *_: None)
    assert (pair.baseline.symbols.source, pair.fixed.symbols.source) == ("pdb", "pdb")


def test_fail_a_symbol_file_of_another_build(binaries: Path) -> None:
    symbols = str(binaries / "fixed/codec.pdb")
    with pytest.raises(HpbuildError):
        load_pair(binaries / "baseline/codec.dll", binaries / "fixed/codec.dll", symbols, lambda *_: None)


def _equal(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray):
        return bool(np.array_equal(left, right))
    if isinstance(left, FileBytes):  # pieces may be others
        return left == right
    if isinstance(left, tuple) and isinstance(right, tuple) and not hasattr(left, "_fields"):
        return len(left) == len(right) and all(map(_equal, left, right))
    if hasattr(left, "__dataclass_fields__"):
        return type(left) is type(right) and all(
            _equal(getattr(left, name), getattr(right, name)) for name in left.__dataclass_fields__
        )
    return bool(left == right)


def _with_bearings(pair: Pair) -> Pair:
    """As two processes find a small pair."""
    one, two = (
        bearings(program, contents.atoms)
        for program, contents in zip((pair.baseline, pair.fixed), pair.contents, strict=True)
    )
    return replace(pair, bearings=(one, two))


@pytest.mark.parametrize("name", ["codec.dll", "throwing.dll"])
def test_a_pair_is_what_its_images_are_alone(binaries: Path, name: str) -> None:
    """What is taken over from the baseline changes nothing."""
    paths = [binaries / side / name for side in ("baseline", "fixed")]
    pair = load_pair(*paths, "auto", lambda *_: None)
    for path, program in zip(paths, (pair.baseline, pair.fixed), strict=True):
        image = read_image(path)
        assert _equal(program, load_program(image, load_symbols(image, path)))


@pytest.mark.parametrize("broken", [("baseline",), ("fixed",), ("baseline", "fixed")])
def test_fail_large_files_that_are_no_images(tmp_path: Path, binaries: Path, broken: tuple[str, ...]) -> None:
    """They are read at once; of two errors the first image's is raised."""
    paths = [tmp_path / f"{side}.dll" for side in ("baseline", "fixed")]
    for path in paths:
        content = (binaries / path.stem / "codec.dll").read_bytes()
        path.write_bytes((bytes(64) if path.stem in broken else content).ljust(PARALLEL_SIZE, b"\0"))
    with pytest.raises(HpbuildError) as caught:
        load_pair(*paths, "none", lambda *_: None)
    assert caught.value.code is NOT_A_PE
    assert caught.value.finding.place == f"{broken[0]}.dll"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")
@pytest.mark.parametrize("share", ["0", "0.6", "1"])
def test_two_processes_find_what_one_does(binaries: Path, root: Path, share: str) -> None:
    """Whichever part of the code each of them decodes."""
    paths = [binaries / side / "codec.dll" for side in ("baseline", "fixed")]
    run = subprocess.run(
        [sys.executable, "-c", TWO_PROCESSES, *map(str, paths), share],
        cwd=root,
        capture_output=True,
        check=True,
    )
    pair, told = pickle.loads(run.stdout)
    assert ("analyse", "codec.dll", 0, 0) in told
    alone = load_pair(*paths, "auto", lambda *_: None)
    assert alone.bearings == (None, None)
    assert _equal(pair, _with_bearings(alone))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")
def test_two_processes_find_it_with_what_was_decoded_before(
    binaries: Path, tmp_path: Path, root: Path
) -> None:
    paths = [tmp_path / side / "codec.dll" for side in ("baseline", "fixed")]
    for path in paths:
        path.parent.mkdir()
        # With so much behind the image that it is read to where it is mapped.
        path.write_bytes((binaries / path.parent.name / path.name).read_bytes() + bytes(1 << 16))
    run = subprocess.run(
        [sys.executable, "-c", AFTER_A_START, *map(str, paths)], cwd=root, capture_output=True, check=True
    )
    pair, (instructions, processes) = pickle.loads(run.stdout)
    assert instructions > 500
    assert processes == 1, "the second one has begun"
    assert _equal(pair, _with_bearings(load_pair(*paths, "auto", lambda *_: None)))


def test_fail_what_was_decoded_of_other_memory_than_the_image_has(binaries: Path, tmp_path: Path) -> None:
    """Not even asked for, though the file is the same."""
    file = tmp_path / "codec.dll"
    file.write_bytes((binaries / "baseline/codec.dll").read_bytes() + bytes(1 << 16))
    image, found = read_image(file), (Piece(b"", b""),)
    start = Start(decoded=lambda content: found)
    assert loading._decoded(image, start) == found
    assert loading._decoded(replace(image, memory=image.memory.copy()), start) == ()
    assert loading._decoded(replace(image, data=FileBytes.of(file.read_bytes())), start) == ()


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("name", ["codec.dll", "throwing.dll"])
def test_the_cache_gives_back_what_was_analysed(
    binaries: Path, tmp_path: Path, name: str, symbols: str
) -> None:
    store, why = open_store(tmp_path / "cache", 1 << 28, "engine")
    assert store is not None, why
    paths = binaries / "baseline" / name, binaries / "fixed" / name
    told: list[tuple[str, str, int, int]] = []
    fresh = load_pair(*paths, symbols, lambda *_: None)
    assert not _equal(fresh, load_pair(*reversed(paths), symbols, lambda *_: None))
    first = load_pair(*paths, symbols, lambda *_: None, store)
    second = load_pair(*paths, symbols, lambda *row: told.append(row), store)
    assert told == []
    for pair in (first, second):
        for part in ("baseline", "fixed", "contents", "builds"):
            assert _equal(getattr(pair, part), getattr(fresh, part))
        assert pair.baseline.image.data == paths[0].read_bytes()
    for side in (second.baseline, second.fixed):
        assert list(side.names.items()) == list(
            (fresh.baseline if side is second.baseline else fresh.fixed).names.items()
        )


FIRST_ERROR = """
import sys
from pathlib import Path
from hpbuild.assembly import loading
from hpbuild.errors import HpbuildError
loading.PARALLEL_SIZE = int(sys.argv[3])
try:
    loading.load_pair(Path(sys.argv[1]), Path(sys.argv[2]), "none", lambda *row: None)
except HpbuildError as error:
    print(error.code.id, error.finding.place)
"""
EXCEPTION, BASERELOC = 3, 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")
@pytest.mark.parametrize("parallel_size", [0, 1 << 30])
def test_fail_what_is_wrong_with_the_baseline_is_said_first(
    tmp_path: Path, binaries: Path, root: Path, parallel_size: int
) -> None:
    """Although what is wrong with the fixed image, its exception directory, is looked at earlier than the
    base relocations."""
    paths = [tmp_path / f"{side}.dll" for side in ("baseline", "fixed")]
    for path, directory in zip(paths, (BASERELOC, EXCEPTION), strict=True):
        content = bytearray((binaries / path.stem / "codec.dll").read_bytes())
        (header,) = struct.unpack_from("<I", content, 0x3C)
        size = header + 24 + 112 + 8 * directory + 4
        struct.pack_into("<I", content, size, struct.unpack_from("<I", content, size)[0] - 2)
        path.write_bytes(content)
    command = [sys.executable, "-c", FIRST_ERROR, *map(str, paths), str(parallel_size)]
    found = subprocess.run(command, cwd=root, capture_output=True, check=True, text=True).stdout
    assert found == f"{RELOCATION_BLOCK.id} baseline.dll\n"
    swapped = [sys.executable, "-c", FIRST_ERROR, *map(str, reversed(paths)), str(parallel_size)]
    found = subprocess.run(swapped, cwd=root, capture_output=True, check=True, text=True).stdout
    assert found == f"{PDATA_SIZE.id} fixed.dll\n"
