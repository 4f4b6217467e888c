"""What is to be done with one module, as a value that another process can be sent, and what comes back.

Results travel and are kept as columns (``hpbuild.cache.forms``): a row of the table of codes stays the row.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from hpbuild.assembly.examining import Examined, ModuleDiff, Progress, examine
from hpbuild.assembly.lists import Lists, Seen
from hpbuild.assembly.loading import Source
from hpbuild.assembly.start import HERE, Start
from hpbuild.assembly.symbol_files import Sought
from hpbuild.assembly.trees import FilePair
from hpbuild.dataclass import dataclass, replace
from hpbuild.manifest.model import Module
from hpbuild.prove.result import Proof

if TYPE_CHECKING:
    from hpbuild.cache.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Examine the module ``pair``; make and prove its part of a package when ``sequence`` is given. With
    ``given``, a package's module with its patch image, prove that and nothing else. ``lists`` have seen no
    module yet; ``processes`` and ``start`` as in ``load_pair``."""

    pair: FilePair
    symbols: str
    lists: Lists
    sequence: int | None = None
    given: tuple[Module, bytes] | None = None
    store: "Store | None" = None
    processes: int = 2
    start: Start = HERE


@dataclass(frozen=True, slots=True)
class Made:
    """The part of a package that one module is, with its proof."""

    module: Module
    image: bytes
    proof: Proof


@dataclass(frozen=True, slots=True)
class Result:
    """What one module gave: ``diff`` None when only a proof was asked for; ``carries`` tells whether the plan
    has functions and is not refused; ``seen`` is what the lists had of this module."""

    diff: ModuleDiff | None
    carries: bool
    seen: Seen
    made: Made | None = None
    proof: Proof | None = None


def do(job: Job, progress: Progress) -> Result:
    """Do the job in this process. Raises HpbuildError as all of its steps do."""
    if job.given is not None:
        from hpbuild.assembly.making import prove
        from hpbuild.assembly.meanwhile import Meanwhile

        module, image = job.given
        processes = job.processes
        with Meanwhile(processes=processes, pin=False) as other:
            examined = examine(
                job.pair,
                job.symbols,
                progress,
                module,
                processes=processes,
                analysed=other.begin,
                start=job.start,
            )
            proof = prove(module, image, examined, progress, other)
        return Result(None, False, job.lists.seen, proof=proof)
    if job.sequence is not None or job.store is None:
        return _examined(job, progress)[0]
    return _remembered(job, job.store, progress)


def _examined(job: Job, progress: Progress) -> tuple[Result, tuple[Source, Source] | None]:
    if job.sequence is not None:
        return _made(job, job.sequence, progress)
    examined = examine(
        job.pair, job.symbols, progress, job.lists, job.store, processes=job.processes, start=job.start
    )
    return Result(examined.diff, _carries(examined), job.lists.seen), examined.sources


def _made(job: Job, sequence: int, progress: Progress) -> tuple[Result, tuple[Source, Source] | None]:
    from hpbuild.assembly.making import make_proved
    from hpbuild.assembly.meanwhile import Meanwhile

    processes = job.processes
    with Meanwhile(processes=processes, pin=True) as other:
        examined = examine(
            job.pair,
            job.symbols,
            progress,
            job.lists,
            job.store,
            processes=processes,
            analysed=other.begin,
            start=job.start,
        )
        carries, made = _carries(examined), None
        if carries:
            made = Made(*make_proved(job.pair.path, examined, sequence, progress, other))
    return Result(examined.diff, carries, job.lists.seen, made), examined.sources


def _carries(examined: Examined) -> bool:
    return examined.decision.carries and not examined.decision.refused


@dataclass(frozen=True, slots=True)
class _Kept:
    """A result in the cache, with the symbol files that it depends on and what was there."""

    result: Result
    sought: tuple[Sought, Sought]
    states: tuple[str, str]


def _remembered(job: Job, store: "Store", progress: Progress) -> Result:
    """The facts about two files are the same each time: from the cache when they are there."""
    paths = job.pair.baseline, job.pair.fixed
    key = _key(job, store, [file_digest(path) for path in paths])
    kept: _Kept | None = store.recall(key, _Kept) if key else None
    if kept is not None and kept.result.diff is not None and _states(kept.sought, paths) == kept.states:
        diff = replace(kept.result.diff, baseline=str(paths[0]), fixed=str(paths[1]))
        return replace(kept.result, diff=diff)
    progress("read", job.pair.path, 0, 0)
    result, sources = _examined(job, progress)
    if sources is not None:
        files = sources[0].sought, sources[1].sought
        states = sources[0].state, sources[1].state
        if _states(files, paths) == states:
            key = _key(job, store, [source.digest for source in sources])
            store.keep(key, _Kept, _Kept(result, files, states))
    return result


def _states(files: tuple[Sought, Sought], paths: tuple[Path, Path]) -> tuple[str, str]:
    return files[0].state(paths[0]), files[1].state(paths[1])


def _key(job: Job, store: "Store", digests: list[str]) -> str:
    """The name of the job's result in the cache, '' when a digest is ''. The names of the files are in the
    places of findings."""
    if not all(digests):
        return ""
    lists = job.lists
    wanted = [repr((entry.text, entry.name, entry.module)) for entry in (*lists.only, *lists.explain)]
    names = job.pair.path, job.pair.baseline.name, job.pair.fixed.name
    counts = f"{len(lists.only)} {lists.alone}"
    return store.key("diff", *digests, *names, job.symbols, counts, *wanted)


def file_digest(path: Path) -> str:
    """SHA-256 of a regular file, '' when there is none to be read: reading it as an image tells why."""
    import hashlib

    try:
        if not path.is_file():
            return ""
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""
