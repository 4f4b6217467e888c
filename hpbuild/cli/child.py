"""The side of the child process: take the bounds on, do the work, answer in JSON, end.

A child that was forked shares everything with its parent but what it gives up here: descriptors, standard
streams, the terminal's signals. It never returns into the code that called it.
"""

from __future__ import annotations

import errno
import faulthandler
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from hpbuild.cli.bounds import Bounds
from hpbuild.cli.outcome import finding_of
from hpbuild.codes.cli import CHILD_MEMORY
from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from typing import Any, NoReturn

    Document = dict[str, Any]
else:
    Document = dict

OUT_OF_MEMORY = json.dumps({"error": {"code": CHILD_MEMORY.id, "place": "", "cause": ""}}).encode()
"""Made beforehand: without memory nothing can be encoded any more."""
_SURROGATE = "[\ud800-\udfff]"
_NO_MEMORY_TEXTS = ("Cannot allocate memory", "failed to map segment")
"""Words of the dynamic loader when a library does not fit (glibc, dl-load.c)."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Descriptors of the child: where the ``answer`` goes, where whatever else is printed goes (``log``),
    and a pipe of which the parent holds the other end for as long as it lives (``life``; -1 for none)."""

    answer: int
    log: int
    life: int = -1


def serve(work: Callable[[], Document], bounds: Bounds, channel: Channel) -> NoReturn:
    """Do ``work`` within ``bounds``, write its answer and end this process."""
    status = 1
    try:
        _leave_parent(channel)
        _take_on(bounds)
        _write(channel.answer, answer_of(work))
        status = 0
    finally:
        # Nothing of the parent's may run here: no handlers at exit, no buffers that it had filled.
        os._exit(status)


def answer_of(work: Callable[[], Document]) -> bytes:
    """What ``work`` gives, or the finding of what it raises, as JSON. ``{"document": …}`` or
    ``{"error": {"code", "place", "cause"}}``."""
    try:
        return _encode({"document": work()})
    except MemoryError:
        return OUT_OF_MEMORY
    except Exception as error:  # noqa: BLE001 - as in main: an error becomes a finding
        if _lacks_memory(error):
            return OUT_OF_MEMORY
        finding: Finding = finding_of(error)
        return _encode({"error": {"code": finding.code.id, "place": finding.place, "cause": finding.cause}})


def _encode(document: Document) -> bytes:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    if not text.isascii():
        # Bytes of file names that are not UTF-8 are lone surrogates in Python. JSON has none: spelled out.
        text = re.sub(_SURROGATE, lambda found: f"\\\\u{ord(found.group()):04x}", text)
    return text.encode()


def _lacks_memory(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, ImportError) and any(text in str(error) for text in _NO_MEMORY_TEXTS)


def _leave_parent(channel: Channel) -> None:
    """Give up what is the parent's: the terminal's signals, standard streams, every other descriptor."""
    if hasattr(os, "setpgid"):
        with suppress(PermissionError):  # a leader of a session has a group of its own already
            os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    faulthandler.disable()  # it would write to a number that is another file by then
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor, not a path, is needed
        os.dup2(nothing.fileno(), 0)
    os.dup2(channel.log, 1)
    os.dup2(channel.log, 2)
    kept = sorted({channel.answer, channel.life} - {-1, 0, 1, 2})
    for low, high in zip([2, *kept], [*kept, _descriptor_limit()], strict=True):
        os.closerange(low + 1, high)
    _end_with_parent(channel.life)


def _descriptor_limit() -> int:
    try:
        return min(os.sysconf("SC_OPEN_MAX"), 1 << 20)
    except (AttributeError, OSError, ValueError):
        return 1 << 12


def _end_with_parent(life: int) -> None:
    """Have the system send SIGIO, which ends a process that does not handle it, when the parent is gone:
    the other end of ``life`` is closed then (fcntl(2), O_ASYNC)."""
    if life < 0:
        return
    import fcntl

    if hasattr(fcntl, "F_SETOWN") and hasattr(os, "O_ASYNC"):
        fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)


def _take_on(bounds: Bounds) -> None:
    """Let the system hold this process to ``bounds``; the clock is the parent's business."""
    if sys.platform == "win32":
        from hpbuild.cli.windows_job import limit_this_process

        limit_this_process(bounds)
        return
    import resource

    wanted = [(resource.RLIMIT_CORE, 0, 0)]
    # At the first number of seconds the process gets a signal that tells why, at the second SIGKILL.
    wanted.append((resource.RLIMIT_CPU, bounds.cpu, bounds.cpu + 2))
    if sys.platform != "darwin":  # which has the number and does not hold anybody to it
        wanted.append((resource.RLIMIT_AS, bounds.memory, bounds.memory))
    for what, soft, hard in wanted:
        given = resource.getrlimit(what)[1]
        most = hard if given == resource.RLIM_INFINITY else min(given, hard)
        resource.setrlimit(what, (min(soft, most), most))


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
