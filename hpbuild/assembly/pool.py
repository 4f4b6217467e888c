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
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError
from hpbuild.interruption import interruption_held


@contextmanager
def process_pool(jobs: int, place: str = "hpbuild") -> Iterator[Executor]:
    """An executor of ``jobs`` processes; forked on Linux, where that is sound and quick. When the block is
    left by an exception (Ctrl-C is one) they are ended at once.

    Raises HpbuildError HP9021 at ``place`` when a process dies and the block does not say so itself.
    """
    context = _Context(get_context("fork" if sys.platform == "linux" else "spawn"))
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start)  # type: ignore[call-overload]
    try:
        with interruption_held():  # forked processes all begin with the first work, and are deaf to it then
            pool.submit(_nothing)
        yield pool
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        context.end()
        if isinstance(error, BrokenProcessPool):
            cause = "the process that analysed it was ended from outside"
            raise HpbuildError(codes.WORKER_LOST, place, cause) from None
        raise
    pool.shutdown()


class _Context:
    """A context of multiprocessing that knows the processes it has made. One that has not begun its work yet
    would take some from the queue, and the end of this process would wait for it."""

    def __init__(self, context: BaseContext) -> None:
        self._context = context
        self._made: list[BaseProcess] = []

    def Process(self, *arguments: Any, **named: Any) -> BaseProcess:  # noqa: N802 - as multiprocessing has it
        process: BaseProcess = self._context.Process(*arguments, **named)  # type: ignore[attr-defined]
        self._made.append(process)
        return process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def end(self) -> None:
        """End every process that runs."""
        running = set(active_children())
        for process in self._made:
            if process in running:
                process.kill()


def _nothing() -> None:
    """The first work of all."""


def _start() -> None:
    """In each process: Ctrl-C is the parent's to handle, and nobody outlives the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
