"""Processes that end with the work they were started for, however that ends."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.queues import SimpleQueue

from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError


@contextmanager
def process_pool(jobs: int, place: str = "hpbuild") -> Iterator[Executor]:
    """An executor of ``jobs`` processes; forked on Linux, where that is sound and quick. When the block is
    left by an exception (Ctrl-C is one) they are ended at once.

    Raises HpbuildError HP9021 at ``place`` when a process dies and the block does not say so itself.
    """
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    started: SimpleQueue[int] = context.SimpleQueue()
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(started,))
    try:
        yield pool
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        _end(started)
        if isinstance(error, BrokenProcessPool):
            cause = "the process that analysed it was ended from outside"
            raise HpbuildError(codes.WORKER_LOST, place, cause) from None
        raise
    pool.shutdown()


def _end(started: "SimpleQueue[int]") -> None:
    """End the processes that said they had started; one that has not yet finds nothing to do."""
    numbers = set()
    while not started.empty():
        numbers.add(started.get())
    for child in active_children():
        if child.pid in numbers:
            child.kill()


def _start(started: "SimpleQueue[int]") -> None:
    """In each process: Ctrl-C is the parent's to handle, and nobody outlives the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started.put(os.getpid())
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
