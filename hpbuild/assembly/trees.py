"""Pairing the files of two release trees by relative path."""

import os
from pathlib import Path

from hpbuild.codes import plan as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError


@dataclass(frozen=True, slots=True)
class FilePair:
    """One module: its path in the release, '/'-separated, and where both builds of it lie."""

    path: str
    baseline: Path
    fixed: Path


@dataclass(frozen=True, slots=True)
class Release:
    """What two releases consist of: pairs to compare, and paths of byte-identical PE files."""

    pairs: tuple[FilePair, ...]
    unchanged: tuple[str, ...]
    tree: bool


def pair_files(baseline: Path, fixed: Path) -> Release:
    """Pair two files, or all PE files of two directories. Files of a tree that are no PE files do not
    count. Raises HpbuildError: a file against a directory, a PE file that only the fixed tree has."""
    if baseline.is_dir() != fixed.is_dir():
        raise HpbuildError(
            codes.FILE_AND_TREE, f"{baseline}, {fixed}", "one is a directory, the other is not"
        )
    if not baseline.is_dir():
        return Release((FilePair(baseline.name, baseline, fixed),), (), tree=False)
    ours, theirs = _images(fixed), _images(baseline)
    added = sorted(ours.keys() - theirs.keys())
    if added:
        raise HpbuildError(codes.FILE_ADDED, added[0], f"{len(added)} PE files only in {fixed.name}")
    pairs, unchanged = [], []
    for path in sorted(ours):
        if _same(theirs[path], ours[path]):
            unchanged.append(path)
        else:
            pairs.append(FilePair(path, theirs[path], ours[path]))
    return Release(tuple(pairs), tuple(unchanged), tree=True)


def _images(root: Path) -> dict[str, Path]:
    """Relative path -> file, for regular files that begin with the DOS mark; links are not followed."""
    found = {}
    for folder, folders, names in os.walk(root, followlinks=False, onerror=_unreadable):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as stream:
                if stream.read(2) == b"MZ":
                    found[path.relative_to(root).as_posix()] = path
    return found


def _unreadable(error: OSError) -> None:
    """A folder that cannot be listed may hold modules; a release without them would look complete."""
    raise error


def _same(left: Path, right: Path) -> bool:
    if left.stat().st_size != right.stat().st_size:
        return False
    with left.open("rb") as one, right.open("rb") as two:
        while block := one.read(1 << 20):
            if block != two.read(1 << 20):
                return False
    return True
