"""Fetch consecutive releases of well-known programs and unpack their PE files into pairs.

    python -m bench.corpus [--into corpus] [--from DIR] [--only NAME]

Wheels are taken with pip from the package index that pip is set up for, or from ``--from``; each must
have the SHA-256 of ``corpus.toml``. Result: ``INTO/pairs/NAME/{baseline,fixed}/`` with the paths of the
wheel. Every step appears complete or not at all, and what is there already is not made again.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

LIST = Path(__file__).with_name("corpus.toml")
SUFFIXES = (".dll", ".exe", ".pyd", ".pdb")
SIDES = ("baseline", "fixed")
STAMP = ".sha256"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One release: its version, the name of its wheel and the SHA-256 of that."""

    version: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Package:
    """Two consecutive releases of one project."""

    name: str
    about: str
    baseline: Wheel
    fixed: Wheel


def packages(path: Path = LIST) -> tuple[Package, ...]:
    """Read the list of packages."""
    rows = tomllib.loads(path.read_text())["package"]
    return tuple(
        Package(
            name=row["name"],
            about=row["about"],
            baseline=Wheel(**row["baseline"]),
            fixed=Wheel(**row["fixed"]),
        )
        for row in rows
    )


def has_digest(path: Path, sha256: str) -> bool:
    """Whether the file *path* exists and has this SHA-256 (hex)."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == sha256


def downloaded(name: str, wheel: Wheel, folder: Path) -> Path:
    """Fetch *wheel* with pip into *folder*; returns its path. Raises SystemExit for another file."""
    target = folder / wheel.file
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--platform", "win_amd64", "--python-version", "3.11", "--dest", scratch]
        subprocess.run([*command, f"{name}=={wheel.version}"], check=True)
        got = Path(scratch) / wheel.file
        if not has_digest(got, wheel.sha256):
            raise SystemExit(
                f"{name} {wheel.version}: the index gave another file than {wheel.file} of the list"
            )
        got.replace(target)
    return target


def obtained(name: str, wheel: Wheel, folder: Path, source: Path | None) -> Path:
    """The verified wheel: from *folder* if it is there, else from below *source*, else from the index."""
    if has_digest(folder / wheel.file, wheel.sha256):
        return folder / wheel.file
    for path in sorted(source.rglob(wheel.file)) if source else ():
        if has_digest(path, wheel.sha256):
            return path
    print(f"fetching {wheel.file}", flush=True)
    return downloaded(name, wheel, folder)


def members(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """The PE and PDB files of a wheel; a path that leads outside is an error."""
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename)
        if path.suffix.lower() not in SUFFIXES:
            continue
        if path.is_absolute() or ".." in path.parts:
            raise SystemExit(f"{archive.filename}: unsafe path {entry.filename!r}")
        yield entry


def unpack(wheel: Path, sha256: str, target: Path) -> int:
    """Unpack the PE and PDB files of *wheel* as the folder *target*; returns how many there are."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".partial-"))
    try:
        count = 0
        with zipfile.ZipFile(wheel) as archive:
            for entry in members(archive):
                path = scratch / entry.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as stream, path.open("wb") as out:
                    shutil.copyfileobj(stream, out)
                count += 1
        (scratch / STAMP).write_text(sha256 + "\n")
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return count


def provide(package: Package, into: Path, source: Path | None) -> None:
    """Make ``pairs/NAME`` of one package complete."""
    wheels = into / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for side, wheel in zip(SIDES, (package.baseline, package.fixed), strict=True):
        target = into / "pairs" / package.name / side
        stamp = target / STAMP
        if stamp.is_file() and stamp.read_text().strip() == wheel.sha256:
            continue
        count = unpack(obtained(package.name, wheel, wheels, source), wheel.sha256, target)
        print(f"{package.name} {wheel.version}: {count} files as {side}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Fetch and unpack pairs of releases.")
    parser.add_argument("--into", type=Path, default=Path("corpus"), help="folder to fill")
    parser.add_argument("--from", type=Path, dest="source", help="folder that has the wheels already")
    parser.add_argument("--only", default="", help="packages whose name contains this")
    arguments = parser.parse_args()
    for package in packages():
        if arguments.only.lower() in package.name.lower():
            provide(package, arguments.into, arguments.source)


if __name__ == "__main__":
    main()
