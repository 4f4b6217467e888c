"""Reading both images of a pair into programs, in two processes when they are large. What was analysed before
comes out of the cache."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from hpbuild.assembly.analysing import Known, Second, analyse_image, analyse_pair
from hpbuild.assembly.forked import can_fork
from hpbuild.assembly.start import HERE, Start
from hpbuild.assembly.symbol_files import Sought, choices, sought
from hpbuild.code.lengths import Piece
from hpbuild.code.model import Program
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.match.sides import Bearings, Contents
from hpbuild.pe.evidence import Build, Evidence, load_evidence
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image
from hpbuild.plan.builds import Builds

if TYPE_CHECKING:
    from hpbuild.cache.store import Store

T = TypeVar("T")
Progress = Callable[[str, str, int, int], None]
PARALLEL_SIZE = 1 << 20
"""File bytes of both images from which on a second process pays for its start."""


@dataclass(frozen=True, slots=True)
class Source:
    """What the analysis of one image depends on: the SHA-256 of the image in hexadecimal, its symbol files,
    and what was there of these before they were read."""

    digest: str
    sought: Sought
    state: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Both programs of one module, what comparing needs of each alone (``contents`` and, where they are known
    already, ``bearings``, baseline first), and how they were made. ``sources`` only with a cache, and only
    when what they name can be read."""

    baseline: Program
    fixed: Program
    contents: tuple[Contents, Contents]
    bearings: tuple[Bearings | None, Bearings | None]
    builds: Builds
    sources: tuple[Source, Source] | None = None


@dataclass(frozen=True, slots=True)
class Analysed:
    """All that is known of one image alone: the unit of the cache, which keeps it without the image."""

    program: Program
    contents: Contents
    build: Build


def load_pair(
    baseline: Path,
    fixed: Path,
    symbols: str,
    progress: Progress,
    store: "Store | None" = None,
    *,
    processes: int = 2,
    start: Start = HERE,
    begun: Callable[[], None] = lambda: None,
) -> Pair:
    """Read and analyse both images. ``symbols`` is 'auto', 'none' or the path of a symbol file of the
    baseline (the fixed image then uses 'auto'). With 1 of the ``processes`` all is done in this one.
    ``start`` gives the bytes of the files. ``begun`` is called when there is a second process, which has
    begun, before this one does its part.

    Raises HpbuildError from the pe stage."""
    first, second = choices(symbols)
    large = processes > 1 and min(_size(baseline), _size(fixed)) >= PARALLEL_SIZE
    one, two = _both(
        lambda: _Side.of(parse_image(start.read(baseline), baseline.name), baseline, first, store),
        lambda: _Side.of(parse_image(start.read(fixed), fixed.name), fixed, second, store),
        large,
    )
    evidence = one.evidence(), two.evidence()
    other = Second(lambda: _decoded(one.image, start), begun) if large and can_fork() else None
    found = _programs(one, two, evidence, progress, other)
    for side, part, known in zip((one, two), evidence, found, strict=True):
        side.keep(Analysed(known.program, known.contents, part.build))
    sources = (one.source, two.source) if one.source and two.source else None
    old, new = found
    return Pair(
        old.program,
        new.program,
        (old.contents, new.contents),
        (old.bearings, new.bearings),
        Builds(evidence[0].build, evidence[1].build),
        sources,
    )


def _size(path: Path) -> int:
    """Bytes of a file, 0 when that cannot be told: reading it tells why."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def _both(one: Callable[[], T], two: Callable[[], T], large: bool) -> tuple[T, T]:
    """Read both; at once when they are ``large``, for reading and copying need no interpreter. Of two errors
    the first's is raised."""
    done: list[T] = []

    def second() -> None:
        with suppress(HpbuildError, MemoryError):  # it comes again, in its turn
            done.append(two())

    if not large:
        return one(), two()
    thread = Thread(target=second)  # no executor: to import one takes as long as to read many an image
    thread.start()
    try:
        first = one()
    finally:
        thread.join()
    return first, done[0] if done else two()


@dataclass(frozen=True, slots=True)
class _Side:
    """One image on its way: ``known`` when the cache has it, ``source`` None without a cache."""

    image: Image
    path: Path
    choice: str
    store: "Store | None"
    source: Source | None
    known: Analysed | None

    @classmethod
    def of(cls, image: Image, path: Path, choice: str, store: "Store | None") -> "_Side":
        source = None if store is None else _source(image, path, choice)
        known = None
        if store is not None and source is not None:
            known = store.recall(_key(store, source), Analysed, {Image: image})
        return cls(image, path, choice, store, source, known)

    def evidence(self) -> Evidence:
        if self.known is not None:
            return Evidence(self.known.program.symbols, self.known.build)
        return load_evidence(self.image, self.path, self.choice)

    def keep(self, made: Analysed) -> None:
        """Keep what was made, unless a symbol file was changed meanwhile."""
        if self.store is None or self.source is None or self.known is not None:
            return
        if self.source.sought.state(self.path) == self.source.state:
            self.store.keep(_key(self.store, self.source), Analysed, made, frozenset({Image}))


def _source(image: Image, path: Path, choice: str) -> Source | None:
    try:
        files = sought(image, path, choice)
    except HpbuildError:  # it comes again when the symbols are read, in its turn
        return None
    state = files.state(path)
    return Source(image.data.digest().hex, files, state) if state else None


def _decoded(image: Image, start: Start) -> tuple[Piece, ...]:
    """What was decoded of the image so far: of its very bytes, which must be mapped as they were read."""
    mapped, under = image.data.mapped, getattr(image.memory.base, "obj", None)
    return start.decoded(image.data) if mapped is not None and under is mapped.memory.obj else ()


def _key(store: "Store", source: Source) -> str:
    return store.key("image", source.digest, source.state)


def _programs(
    one: _Side, two: _Side, evidence: tuple[Evidence, Evidence], progress: Progress, other: Second | None
) -> tuple[Known, Known]:
    """Both programs, made at once when both are to be made and there is to be another process."""
    parts = (one.image, evidence[0].symbols), (two.image, evidence[1].symbols)
    if one.known is None and two.known is None:
        return analyse_pair(*parts, progress, other)
    first, second = (
        analyse_image(*part, progress)
        if side.known is None
        else Known(side.known.program, side.known.contents)
        for side, part in zip((one, two), parts, strict=True)
    )
    return first, second
