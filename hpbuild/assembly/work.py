"""How the modules of a release are worked on: here, over processes, over a cluster, or over any executor.

What comes out does not depend on it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpbuild.assembly.examining import Progress
from hpbuild.assembly.jobs import Job, Result, do
from hpbuild.assembly.start import HERE, Start
from hpbuild.dataclass import dataclass, replace

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from hpbuild.cache.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """``jobs`` processes at a time, 1 for all in this one; None is 1 with a second process for the other
    image of a large pair. ``store`` is the cache, None for none. ``executor`` is used instead of processes of
    our own, and so is the cluster with its scheduler at ``dask`` ('' for none). ``start`` is what was begun
    with the files where the work is done in this process."""

    jobs: int | None = None
    store: "Store | None" = None
    executor: "Executor | None" = None
    dask: str = ""
    start: Start = HERE


def run_jobs(jobs: Sequence[Job], work: Work, progress: Progress) -> list[Result]:
    """Do all jobs; the results in their order.

    Raises HpbuildError: that of the first job that fails, in the order of ``jobs``; HP9021 for processes that
    died; HP9022 to HP9024 for a cluster.
    """
    jobs = [job if job.given is not None else replace(job, store=work.store) for job in jobs]
    with _executor(work, len(jobs)) as executor:
        if executor is None:
            processes = 1 if work.jobs == 1 else 2
            return [do(replace(job, processes=processes, start=work.start), progress) for job in jobs]
        from hpbuild.assembly.spreading import spread

        jobs = [replace(job, processes=1) for job in jobs]
        at_once = len(jobs) if work.jobs is None else work.jobs
        return spread(jobs, executor, progress, at_once=at_once, elsewhere=bool(work.dask))


@contextmanager
def _executor(work: Work, count: int) -> "Iterator[Executor | None]":
    """The executor for ``count`` jobs, None when they are to be done here."""
    if work.executor is not None:
        yield work.executor
    elif work.dask and count:
        from hpbuild.assembly.cluster import cluster

        with cluster(work.dask) as found:
            yield found
    elif work.jobs is None or min(work.jobs, count) < 2:
        yield None
    else:
        from hpbuild.assembly.pool import process_pool

        with process_pool(min(work.jobs, count)) as pool:
            yield pool
