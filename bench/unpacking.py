"""The pairs of a patch corpus: folders, or archives that are unpacked once, with nothing but the builds."""

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

BUILDS = ("zig", "gcc")
SUFFIX = ".tar.xz"
_TRIES = 10
STAMP = ".archive.sha256"
MAX_FILES, MAX_BYTES = 10_000, 2 << 30
"""Most that one archive may unpack to."""


class CorpusError(Exception):
    """A corpus that cannot be used: the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class BuiltPair:
    """One pair in one build: the two images and the file that says what differs."""

    name: str
    build: str
    baseline: Path
    fixed: Path
    truth: Path


def built_pairs(corpus: Path, work: Path, only: str = "") -> list[BuiltPair]:
    """Every build of every pair in *corpus* whose name contains *only*, by name. Archives are unpacked into
    *work* unless the same archive was before. Raises CorpusError."""
    if not corpus.is_dir():
        raise CorpusError(f"{corpus}: no such folder")
    folders = {path.name: path for path in corpus.iterdir() if path.is_dir() and _has_build(path)}
    archives = {path.name.removesuffix(SUFFIX): path for path in corpus.glob(f"*{SUFFIX}")}
    found = []
    for name in sorted(folders.keys() | archives.keys()):
        if only in name:
            folder = folders.get(name) or unpack(archives[name], name, work)
            found += [pair for build in BUILDS for pair in _pairs(folder, name, build)]
    if not found:
        raise CorpusError(f"{corpus}: no pair" + (f" whose name contains {only!r}" if only else ""))
    return found


def _has_build(folder: Path) -> bool:
    return any((folder / build / "truth.json").is_file() for build in BUILDS)


def _pairs(folder: Path, name: str, build: str) -> Iterator[BuiltPair]:
    truth = folder / build / "truth.json"
    if not truth.is_file():
        return
    images = sorted((folder / build / "baseline").glob("*.dll"))
    for baseline in images:
        fixed = folder / build / "fixed" / baseline.name
        if len(images) != 1 or not fixed.is_file():
            raise CorpusError(f"{folder / build}: one DLL of the same name on each side is expected")
        yield BuiltPair(name, build, baseline, fixed, truth)


def unpack(archive: Path, name: str, work: Path) -> Path:
    """The folder *name* of *archive* below *work*, complete or not at all, with the builds and their truth
    alone. It is left as it is when the archive it came from had the same bytes. Raises CorpusError."""
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    target = work / name
    if _is_of(target, digest):
        return target
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".partial-{name}-", dir=work) as partial:
        folder = Path(partial) / name
        try:
            with tarfile.open(archive) as stream:
                members = list(_wanted(stream, archive, name))
                stream.extractall(partial, members, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise CorpusError(f"{archive}: {error}") from error
        if not _has_build(folder):
            raise CorpusError(f"{archive}: it has no folder {name} with a truth.json below a build")
        (folder / STAMP).write_text(digest + "\n")
        _put(folder, target, digest)
    return target


def _put(folder: Path, target: Path, digest: str) -> None:
    """Make ``folder`` the ``target``, unless another process was faster with the same archive."""
    for _ in range(_TRIES):
        if _is_of(target, digest):
            return
        shutil.rmtree(target, ignore_errors=True)
        try:
            folder.rename(target)
        except OSError:  # somebody else's is there: it has its stamp by now
            continue
        return
    raise CorpusError(f"{target}: it changes while it is replaced")


def _is_of(target: Path, digest: str) -> bool:
    """Whether the folder was unpacked from the archive with this digest. Folder and stamp appear at once."""
    stamp = target / STAMP
    return stamp.is_file() and stamp.read_text().strip() == digest


def _wanted(stream: tarfile.TarFile, archive: Path, name: str) -> Iterator[tarfile.TarInfo]:
    """The regular files of the builds; programs and data of a pair's own tests are not needed."""
    size = 0
    for number, member in enumerate(stream):
        size += member.size
        if number >= MAX_FILES or size > MAX_BYTES:
            raise CorpusError(f"{archive}: more than {MAX_FILES} files or {MAX_BYTES} bytes")
        parts = PurePosixPath(member.name).parts
        if member.isfile() and parts[:1] == (name,) and parts[1:2] in {(build,) for build in BUILDS}:
            yield member
