"""One part of the proof in a process of its own, while the other parts go on here."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import current_process, get_all_start_methods, get_context
from multiprocessing.connection import Connection
from typing import TypeVar

from hpbuild.errors import HpbuildError
from hpbuild.interruption import interruption_held

T = TypeVar("T")


@contextmanager
def aside(work: Callable[[], T], worth: bool) -> Iterator[Callable[[], T]]:
    """Begin with ``work`` at once if that is ``worth`` a process, and give a function for its result, to be
    called once. The result can be sent to another process; it raises what ``work`` raises.

    The process has all values from here, without copying them. Where there are no such processes, or when it
    dies, ``work`` is done here: the result does not depend on it.
    """
    if not worth or "fork" not in get_all_start_methods() or current_process().daemon:
        yield work
        return
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, work), daemon=True)
    try:
        with interruption_held():  # until the process is deaf to it by itself
            process.start()
            sender.close()
        yield partial(_receive, receiver, work)
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        receiver.close()
        sender.close()


def _send(sender: Connection, work: Callable[[], object]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process ends this one
    try:
        answer: tuple[object, HpbuildError | None] = (work(), None)
    except HpbuildError as error:
        answer = (None, error)
    with suppress(BrokenPipeError):
        sender.send(answer)


def _receive(receiver: Connection, work: Callable[[], T]) -> T:
    try:
        result, error = receiver.recv()
    except (EOFError, OSError):  # it died before its answer, or in the middle of it
        return work()
    if error is not None:
        raise error
    found: T = result
    return found
