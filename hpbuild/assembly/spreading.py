"""Jobs over an executor: large modules first, results in the order of the jobs."""

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from pathlib import Path

from hpbuild.assembly.cluster import trouble
from hpbuild.assembly.examining import Progress
from hpbuild.assembly.jobs import Job, Result, do, file_digest
from hpbuild.cache.container import decode, encode
from hpbuild.cache.engine import engine_digest
from hpbuild.cache.forms import pack, unpack
from hpbuild.cache.store import open_store
from hpbuild.codes import work as codes
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import Finding, HpbuildError
from hpbuild.pe.pdb.file import AUTO, NONE

TICK = 0.5
"""Seconds between two looks at the clock while nothing is finished."""
_NAME = "answer"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a job gave elsewhere: its result or its refusal, and the SHA-256 of the two files as they are
    there ('' when they were not asked for)."""

    result: Result | None
    finding: Finding | None
    files: tuple[str, str] = ("", "")


def answer(job: Job, engine: str = "") -> bytes:
    """Do the job in another process. ``engine`` is the sender's when that may be another machine: the job is
    done only by the same one, with the cache of the machine that it is done on."""
    if engine and engine != engine_digest():
        finding = Finding(
            codes.CLUSTER_DIFFERS, job.pair.path, "a worker has another hpbuild, library or Python"
        )
        return _encoded(_Answer(None, finding))
    files = ("", "")
    if engine:
        files = file_digest(job.pair.baseline), file_digest(job.pair.fixed)
        if job.store is not None:
            job = replace(job, store=open_store(job.store.folder, job.store.limit, engine)[0])
    try:
        return _encoded(_Answer(do(job, lambda stage, subject, done, total: None), None, files))
    except HpbuildError as error:
        return _encoded(_Answer(None, error.finding, files))


def _encoded(found: _Answer) -> bytes:
    return encode(_NAME, pack(_Answer, found))


def spread(
    jobs: Sequence[Job], executor: Executor, progress: Progress, *, at_once: int, elsewhere: bool = False
) -> list[Result]:
    """The results of ``jobs`` in their order. ``at_once`` is how many the executor works on at a time, as far
    as is known; ``elsewhere`` that it may be other machines, which see the files under the same absolute
    paths.

    Raises of several failures the one of the first job in the order of ``jobs``: HpbuildError as ``do``, and
    HP9021 to HP9024 for workers that are lost or do not fit.
    """
    order = sorted(range(len(jobs)), key=lambda number: (-_size(jobs[number]), number))
    engine = engine_digest() if elsewhere else ""
    pending: dict[Future[bytes], int] = {}
    for number in order:
        job = _absolute(jobs[number]) if elsewhere else jobs[number]
        pending[executor.submit(answer, job, engine)] = number
    results: dict[int, Result] = {}
    failures: dict[int, BaseException] = {}
    told = -1
    while pending:
        for future in wait(pending, timeout=TICK, return_when=FIRST_COMPLETED).done:
            number = pending.pop(future)
            _settle(future, number, jobs[number], elsewhere, results, failures)
        if failures:
            pending = _needed(pending, min(failures))
        elif len(results) > told or not results:
            told = len(results)
            subject = next((jobs[number].pair.path for number in order if number not in results), "")
            progress("examine", subject, told, len(jobs))
    if failures:
        running = [number for number in order if number not in results][:at_once]
        raise _refusal(min(failures), failures, jobs, running) from None
    return [results[number] for number in range(len(jobs))]


def _settle(
    future: Future[bytes],
    number: int,
    job: Job,
    elsewhere: bool,
    results: dict[int, Result],
    failures: dict[int, BaseException],
) -> None:
    """Put what a job gave where it belongs."""
    error = CancelledError() if future.cancelled() else future.exception()
    if error is not None:
        failures[number] = error
        return
    found: _Answer = unpack(_Answer, decode(future.result(), _NAME))
    refused = found.finding
    if elsewhere and (refused is None or refused.code is not codes.CLUSTER_DIFFERS):
        own = file_digest(job.pair.baseline), file_digest(job.pair.fixed)
        if found.files != own:
            refused = Finding(
                codes.CLUSTER_DIFFERS, job.pair.path, "a worker reads other bytes under its path"
            )
    if refused is not None or found.result is None:
        assert refused is not None
        failures[number] = HpbuildError(refused.code, refused.place, refused.cause)
        return
    diff = found.result.diff
    if diff is not None:
        diff = replace(diff, baseline=str(job.pair.baseline), fixed=str(job.pair.fixed))
    results[number] = replace(found.result, diff=diff)


def _needed(pending: dict[Future[bytes], int], failed: int) -> dict[Future[bytes], int]:
    """What may still fail before job ``failed``; the rest is cancelled."""
    for future, number in pending.items():
        if number > failed:
            future.cancel()
    return {future: number for future, number in pending.items() if number < failed}


def _refusal(
    first: int, failures: Mapping[int, BaseException], jobs: Sequence[Job], running: Sequence[int]
) -> BaseException:
    """The failure to raise: that of the job ``first``; when its process died, that of one of the jobs that
    were ``running`` then."""
    error = failures[first]
    if isinstance(error, BrokenExecutor):
        paths = sorted(jobs[number].pair.path for number in running)
        cause = f"a process ended while this was worked on: {', '.join(paths[:8])}"
        return HpbuildError(codes.WORKER_LOST, paths[0], cause)
    found = trouble(error)
    return error if found is None else HpbuildError(found[0], jobs[first].pair.path, found[1])


def _size(job: Job) -> int:
    """Bytes to work on; 0 for files that cannot be asked, which is told when they are read."""
    try:
        return job.pair.baseline.stat().st_size + job.pair.fixed.stat().st_size
    except (OSError, ValueError):
        return 0


def _absolute(job: Job) -> Job:
    pair = replace(job.pair, baseline=job.pair.baseline.absolute(), fixed=job.pair.fixed.absolute())
    symbols = job.symbols if job.symbols in (AUTO, NONE) else str(Path(job.symbols).absolute())
    return replace(job, pair=pair, symbols=symbols)
