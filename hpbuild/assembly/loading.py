"""Reading both images of a pair into programs, two processes at a time when they are large. What was analysed
before comes out of the cache."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hpbuild.assembly.collector import collector_aside
from hpbuild.assembly.pool import process_pool
from hpbuild.assembly.symbol_files import Sought, choices, sought
from hpbuild.cache.store import Store
from hpbuild.code.model import Program
from hpbuild.code.program import load_program
from hpbuild.errors import HpbuildError
from hpbuild.match.sides import Contents, contents
from hpbuild.pe.evidence import Build, Evidence, load_evidence
from hpbuild.pe.image import Image
from hpbuild.pe.reader import read_image
from hpbuild.pe.symbols import Symbols
from hpbuild.plan.builds import Builds
from hpbuild.values import Digest

Progress = Callable[[str, str, int, int], None]
_Program = tuple[Program, Contents]
PARALLEL_SIZE = 4 << 20
"""File bytes above which a second process pays for its start."""


@dataclass(frozen=True, slots=True)
class Source:
    """What the analysis of one image depends on: the SHA-256 of the image in hexadecimal, its symbol files,
    and what was there of these before they were read."""

    digest: str
    sought: Sought
    state: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Both programs of one module, what comparing needs of each alone (``contents``, baseline first), and how
    they were made. ``sources`` only with a cache, and only when what they name can be read."""

    baseline: Program
    fixed: Program
    contents: tuple[Contents, Contents]
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
    store: Store | None = None,
    *,
    processes: int = 2,
) -> Pair:
    """Read and analyse both images. ``symbols`` is 'auto', 'none' or the path of a symbol file of the
    baseline (the fixed image then uses 'auto'). With 1 of the ``processes`` all is done in this one.
    Raises HpbuildError from the pe stage."""
    one, two = (
        _Side.of(read_image(path), path, choice, store)
        for path, choice in zip((baseline, fixed), choices(symbols), strict=True)
    )
    evidence = one.evidence(), two.evidence()
    found = _programs(one, two, evidence, progress, processes)
    for side, part, (program, parts) in zip((one, two), evidence, found, strict=True):
        side.keep(Analysed(program, parts, part.build))
    sources = (one.source, two.source) if one.source and two.source else None
    (baseline_program, baseline_contents), (fixed_program, fixed_contents) = found
    return Pair(
        baseline_program,
        fixed_program,
        (baseline_contents, fixed_contents),
        Builds(evidence[0].build, evidence[1].build),
        sources,
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One image on its way: ``known`` when the cache has it, ``source`` None without a cache."""

    image: Image
    path: Path
    choice: str
    store: Store | None
    source: Source | None
    known: Analysed | None

    @classmethod
    def of(cls, image: Image, path: Path, choice: str, store: Store | None) -> "_Side":
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
    return Source(Digest.of(image.data).hex, files, state) if state else None


def _key(store: Store, source: Source) -> str:
    return store.key("image", source.digest, source.state)


def _programs(
    one: _Side, two: _Side, evidence: tuple[Evidence, Evidence], progress: Progress, processes: int
) -> tuple[_Program, _Program]:
    """Both programs; two processes when both are to be made and large."""
    small = min(len(side.image.data) for side in (one, two)) < PARALLEL_SIZE
    if small or processes < 2 or one.known is not None or two.known is not None:
        first = _program(one, evidence[0], progress)
        return first, _program(two, evidence[1], progress)
    progress("analyse", one.image.name, 0, 0)
    with process_pool(1, two.image.name) as pool:
        other = pool.submit(_columns, two.image, evidence[1].symbols)
        first = _program(one, evidence[0], progress)
        program, parts = other.result()
        return first, (replace(program, image=two.image, symbols=evidence[1].symbols), parts)


def _program(side: _Side, evidence: Evidence, progress: Progress) -> _Program:
    if side.known is not None:
        return side.known.program, side.known.contents
    name = side.image.name
    program = load_program(
        side.image, evidence.symbols, lambda done, total: progress("decode", name, done, total)
    )
    return program, contents(program)


def _columns(image: Image, symbols: Symbols) -> _Program:
    """The program without what the parent has already: the image's bytes and the symbols."""
    with collector_aside():
        program = load_program(image, symbols)
        parts = contents(program)
    bare = replace(image, data=b"", memory=np.zeros(0, dtype=np.uint8))
    return replace(program, image=bare, symbols=replace(symbols, items=())), parts
