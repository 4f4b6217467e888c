"""The images that laws are drawn over: committed ones, and larger real ones where they are at hand.

Settings (environment): LAWS_DRAWS, draws of each law over all images (30 unless told; committed images alone
are used below 500); LAWS_SEED, any text; LAWS_ONLY, a part of the identifier of one draw, to repeat it;
LAWS_RELEASES, the folder of `make corpus`.
"""

import os
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from bench.sources import EXAMPLES, PATCHES, ROOT
from bench.unpacking import CorpusError, built_pairs
from hpbuild.code.model import Program
from hpbuild.code.program import load_program
from hpbuild.pe.reader import read_image
from hpbuild.pe.symbols import load_symbols

DRAWS = int(os.environ.get("LAWS_DRAWS") or "30")
SEED = os.environ.get("LAWS_SEED") or "1"
ONLY = os.environ.get("LAWS_ONLY", "")
RELEASES = Path(os.environ.get("LAWS_RELEASES") or ROOT / "corpus") / "pairs"
FULL = DRAWS >= 500
SMALLEST, LARGEST = 40_000, 1_000_000
"""File sizes of the larger images, bytes."""
MOST_RELEASES = 12
"""Images of one package of releases, at most; spread over all sizes."""


@dataclass(frozen=True, slots=True)
class Specimen:
    """An image with or without its symbols; ``symbols`` as in ``load_symbols``."""

    name: str
    path: Path
    symbols: str

    @property
    def identifier(self) -> str:
        return f"{self.name}-{self.symbols}"

    def program(self) -> Program:
        """The image, analysed."""
        return _program(self.path, self.symbols)


@lru_cache(maxsize=4)
def _program(path: Path, symbols: str) -> Program:
    image = read_image(path)
    return load_program(image, load_symbols(image, path, symbols))


def _committed() -> list[tuple[str, Path]]:
    paths = [
        EXAMPLES / side / f"{name}.dll" for name in ("codec", "throwing") for side in ("baseline", "fixed")
    ]
    paths += [EXAMPLES / "variants" / name / "fixed" / "gadget.dll" for name in ("constant_table", "tls")]
    paths += [EXAMPLES / "traps" / name / "baseline" / "snare.dll" for name in ("constructor", "thread_use")]
    return [("/".join(path.relative_to(EXAMPLES).with_suffix("").parts), path) for path in paths]


def _patches() -> list[tuple[str, Path]]:
    """One image of each program and build of the patch corpus, small enough for many draws."""
    try:
        pairs = built_pairs(PATCHES, ROOT / "build" / "accuracy")
    except CorpusError:
        return []
    first = {(pair.baseline.stem, pair.build): pair for pair in reversed(pairs)}
    return [
        (f"{stem}-{build}", pair.baseline)
        for (stem, build), pair in sorted(first.items())
        if SMALLEST <= pair.baseline.stat().st_size <= LARGEST
    ]


def _releases() -> list[tuple[str, Path]]:
    """Images of the programs of `make corpus`, AMD64 alone."""
    chosen: list[tuple[str, Path]] = []
    for package in sorted(RELEASES.glob("*")):
        found = sorted(
            (path.stat().st_size, path)
            for path in (package / "baseline").rglob("*")
            if path.suffix in (".dll", ".pyd") and path.is_file() and is_amd64(path)
        )
        fitting = [path for size, path in found if SMALLEST <= size <= LARGEST]
        step = max(1, len(fitting) // MOST_RELEASES)
        chosen += [(f"{package.name}/{path.stem}", path) for path in fitting[::step][:MOST_RELEASES]]
    return chosen


def is_amd64(path: Path) -> bool:
    """Whether the machine of a PE file is AMD64."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    at = int.from_bytes(head[0x3C:0x40], "little")
    return head[at : at + 6] == b"PE\0\0\x64\x86"


@cache
def images() -> tuple[tuple[str, Path], ...]:
    """(name, path) of every image at hand."""
    return tuple(_committed() + (_patches() + _releases() if FULL else []))


@cache
def specimens() -> tuple[Specimen, ...]:
    """Every image at hand, with its symbols and without."""
    return tuple(Specimen(name, path, symbols) for name, path in images() for symbols in ("auto", "none"))


def absent() -> str:
    """Why larger images are not used, '' when they are."""
    if not FULL:
        return "fewer than 500 draws use the committed images alone: make test-property"
    missing = [str(place) for place, found in ((PATCHES, _patches()), (RELEASES, _releases())) if not found]
    return f"nothing in {' and '.join(missing)}" if missing else ""
