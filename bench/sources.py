"""Pairs of binaries to compare: examples, the patch corpus beside the checkout, releases of programs."""

import hashlib
import itertools
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "testdata" / "bin"
PATCHES = ROOT.parent / "shared" / "corpus"
SUFFIXES = (".dll", ".exe", ".pyd")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two files to compare. ``truth`` is the number of functions known to be changed, None if unknown."""

    group: str
    name: str
    baseline: Path
    fixed: Path
    truth: int | None = None

    @property
    def same_bytes(self) -> bool:
        """Whether the two files are equal, so that there is nothing to learn from them."""
        return _digest(self.baseline) == _digest(self.fixed)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def examples(folder: Path = EXAMPLES) -> Iterator[Pair]:
    """The committed example binaries."""
    for baseline in sorted(folder.rglob("baseline/*.dll")):
        parent = baseline.parent.parent
        name = baseline.stem if parent == folder else parent.name
        yield Pair("examples", name, baseline, parent / "fixed" / baseline.name)


def patches(folder: Path = PATCHES, unpacked: Path = ROOT / "build" / "patches") -> Iterator[Pair]:
    """Security patches of C and C++ libraries, each built twice; archives are unpacked once."""
    names = sorted(path.name.removesuffix(".tar.xz") for path in folder.glob("*.tar.xz"))
    for build, name in itertools.product(("zig", "gcc"), names):
        if not (unpacked / name).is_dir():
            _unpack(folder / f"{name}.tar.xz", name, unpacked)
        side = unpacked / name / build
        truth = json.loads((side / "truth.json").read_text())
        for baseline in sorted((side / "baseline").glob("*.dll")):
            fixed = side / "fixed" / baseline.name
            yield Pair(f"patches, {build}", name, baseline, fixed, len(truth["functions"]["changed"]))


def _unpack(archive: Path, name: str, target: Path) -> None:
    """Unpack *archive*, which holds the folder *name*, so that it is there complete or not at all."""
    partial = target / f".partial-{name}"
    partial.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as stream:
        stream.extractall(partial, filter="data")
    (partial / name).rename(target / name)
    partial.rmdir()


def releases(folder: Path) -> Iterator[Pair]:
    """Consecutive releases of programs: the files that both have under the same path and that differ."""
    for package in sorted(path for path in folder.glob("*") if path.is_dir()):
        for baseline in sorted((package / "baseline").rglob("*")):
            relative = baseline.relative_to(package / "baseline")
            fixed = package / "fixed" / relative
            if baseline.suffix.lower() in SUFFIXES and fixed.is_file():
                yield Pair(package.name, relative.as_posix(), baseline, fixed)


def all_pairs(only: str, corpus: Path) -> list[Pair]:
    """Every pair at hand whose group or name contains *only*; pairs of equal files are left out."""
    found = itertools.chain(examples(), patches(), releases(corpus / "pairs"))
    return [pair for pair in found if only in f"{pair.group}/{pair.name}" and not pair.same_bytes]
