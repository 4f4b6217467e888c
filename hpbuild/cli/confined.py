"""Reading files from elsewhere in a child process with bounds; the parent's side.

Everything in a package or an image is hostile. Whatever a reader does with it, runs out of memory, never
ends, crashes inside a library, happens in a child that the system holds to ``Bounds``. It answers with one
JSON document, which is bounded and read as strictly as the manifest of a package; nothing else that it prints
reaches the terminal but escaped, as the cause of a finding.

Where processes can be forked the child is a fork, which costs milliseconds and needs no second start.
Elsewhere a fresh interpreter runs the same command line up to the same piece of work.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from hpbuild.cli.bounds import Bounds
from hpbuild.cli.child import Channel, serve
from hpbuild.cli.piece import CHILD_VARIABLE
from hpbuild.codes import cli as codes
from hpbuild.codes import find_code
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.interruption import interruption_held
from hpbuild.manifest.readers import root
from hpbuild.manifest.strict_json import JsonLimits, parse

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from typing import IO, Any

    Document = dict[str, Any]
else:
    Document = dict

ANSWER = JsonLimits(size=256 << 20, depth=32, values=20_000_000, text=16 << 20)
"""The largest answer: the findings of a package with the most that a policy allows."""
LOG_SIZE = 4096
"""Bytes of what the child printed that are kept, the last ones."""
_PIECE = 1 << 16
_LONGEST_WAIT = 600
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.005
"""Seconds between two looks at whether a child that said all has ended."""


@dataclass(slots=True)
class _Heard:
    """What came from the child so far. ``excess``: its answer is larger than any answer."""

    answer: bytearray = field(default_factory=bytearray)
    log: bytearray = field(default_factory=bytearray)
    excess: bool = False

    def take(self, data: bytes, *, log: bool) -> None:
        if log:
            self.log += data
            del self.log[:-LOG_SIZE]
        elif len(self.answer) + len(data) > ANSWER.size:
            self.excess = True
        else:
            self.answer += data


def confined(
    work: Callable[[], Document],
    bounds: Bounds,
    subject: str,
    number: int = 0,
    *,
    fork: bool | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Document:
    """The document that ``work`` gives, made in a child process within ``bounds``. ``subject`` names what is
    read, ``number`` this piece of work among those of the command line. ``fork``: None for what the system
    has. ``meanwhile`` is done here while the child works: imports of what shows its document, for one.

    Raises HpbuildError: HP9016 memory, HP9017 processor time, HP9018 time by the clock, HP9019 a child that
    ended without an answer, HP9020 an unusable answer, and whatever ``work`` raises, as its finding.
    """
    meant = os.environ.get(CHILD_VARIABLE)
    if meant is not None:
        if meant != str(number):
            return {}
        serve(work, bounds, Channel(answer=os.dup(1), log=2))
    heard, ended = _Heard(), "in time"
    if hasattr(os, "fork") if fork is None else fork:
        with _forked(work, bounds) as child:
            if meanwhile is not None:
                meanwhile()
            ended = _listen(child, heard, time.monotonic() + bounds.seconds)
            status = child.end()
    else:
        status, ended = _fresh(number, heard, bounds)
    if ended == "late":
        raise HpbuildError(codes.CHILD_CLOCK, subject, f"more than {bounds.seconds} s")
    if heard.excess:
        raise HpbuildError(codes.CHILD_ANSWER, subject, f"more than {ANSWER.size} bytes")
    if status != 0:
        raise _crash(status, bytes(heard.log), bounds, subject)
    return _document(bytes(heard.answer), bounds, subject)


@dataclass(slots=True)
class _Child:
    """A forked child and the parent's ends of its pipes."""

    pid: int
    answer: int
    log: int
    reaped: int | None = None

    def has_ended(self) -> bool:
        """True when it has, or has been reaped."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self.reaped is not None or os.waitid(os.P_PID, self.pid, flags) is not None

    def end(self) -> int:
        """Kill the child and its group, wait for it, and give its exit status, below 0 the signal."""
        if self.reaped is None:
            # Before it is waited for: until then nobody else can have its number.
            for kill in (os.killpg, os.kill):
                with suppress(ProcessLookupError, PermissionError):
                    kill(self.pid, signal.SIGKILL)
            self.reaped = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.reaped


@contextmanager
def _forked(work: Callable[[], Document], bounds: Bounds) -> Iterator[_Child]:
    """Fork the child that does ``work``. At the end, however that comes, it is gone, with its group."""
    opened: list[int] = []
    child: _Child | None = None
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # as inherited: no child could be waited for
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        for _ in range(3):
            opened += os.pipe()
        answer, answer_end, log, log_end, life_end, _ = opened
        with interruption_held(), warnings.catch_warnings():
            # The progress bar has a thread. The child uses nothing of it, and no lock that it could hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
            if pid == 0:
                serve(work, bounds, Channel(answer_end, log_end, life_end))
            child = _Child(pid, answer, log)
        with suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)  # the child does the same: whoever comes first
        for end in (answer_end, log_end, life_end):
            os.close(end)
            opened.remove(end)
        yield child
    finally:
        if child is not None:
            child.end()
        for descriptor in opened:
            os.close(descriptor)


def _listen(child: _Child, heard: _Heard, deadline: float) -> str:
    """Read both pipes until they end and the child has; 'late' when ``deadline`` comes first."""
    import select

    waiting = select.poll()
    there = {child.answer, child.log}
    for descriptor in there:
        waiting.register(descriptor, select.POLLIN)
    while there and not heard.excess:
        left = deadline - time.monotonic()
        if left <= 0:
            return "late"
        for descriptor, _ in waiting.poll(1000 * min(left, _LONGEST_WAIT)):
            data = os.read(descriptor, _PIECE)
            heard.take(data, log=descriptor == child.log)
            if not data:
                waiting.unregister(descriptor)
                there.discard(descriptor)
    pause = _SHORTEST_PAUSE
    while not (child.has_ended() or heard.excess):
        if time.monotonic() > deadline:
            return "late"
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    return "in time"


def _fresh(number: int, heard: _Heard, bounds: Bounds) -> tuple[int, str]:
    """Run the command line once more in a fresh interpreter, which does only this piece of work. Its exit
    status, and 'late' when it had to be ended."""
    import subprocess
    import threading

    group: dict[str, Any] = (
        {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        if sys.platform == "win32"
        else {"start_new_session": True}
    )
    process = subprocess.Popen(  # noqa: S603 - this interpreter and this command line
        [sys.executable, "-P", "-m", "hpbuild.cli.fresh", str(number), *sys.argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Modules come from where they came from here: -m alone would look into the current folder first.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        **group,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [
        threading.Thread(target=_drain, args=(process.stdout, heard, False), daemon=True),
        threading.Thread(target=_drain, args=(process.stderr, heard, True), daemon=True),
    ]
    ended = "in time"
    try:
        for reader in readers:
            reader.start()
        process.wait(bounds.seconds)
    except subprocess.TimeoutExpired:
        ended = "late"
    finally:
        process.kill()
        process.wait()
    for reader in readers:
        reader.join(bounds.seconds)
    return process.returncode, ended


def _drain(stream: IO[bytes], heard: _Heard, log: bool) -> None:
    with stream:
        while data := stream.read1(_PIECE) if hasattr(stream, "read1") else stream.read(_PIECE):
            heard.take(data, log=log)


def _crash(status: int, log: bytes, bounds: Bounds, subject: str) -> HpbuildError:
    """Why the child ended with ``status`` and without an answer."""
    printed = log.decode("utf-8", "replace").strip()
    if -status == getattr(signal, "SIGXCPU", None):
        return HpbuildError(codes.CHILD_PROCESSOR, subject, f"more than {bounds.cpu} s of processor time")
    if "bad_alloc" in printed or "MemoryError" in printed:
        return _too_much_memory(bounds, subject)
    cause = f"exit status {status}"
    if status < 0:
        known = {item.value: item.name for item in signal.Signals}
        cause = f"ended by signal {known.get(-status, -status)}"
    return HpbuildError(codes.CHILD_CRASHED, subject, f"{cause}: {printed}" if printed else cause)


def _too_much_memory(bounds: Bounds, subject: str) -> HpbuildError:
    return HpbuildError(codes.CHILD_MEMORY, subject, f"more than {bounds.memory >> 20} MiB")


def _document(answer: bytes, bounds: Bounds, subject: str) -> Document:
    """The document in an answer; raises the error in it instead when it holds one."""
    try:
        fields = root(parse(answer, "answer", ANSWER), "answer").fields(set(), {"document", "error"})
        told = fields["error"].fields({"code", "place", "cause"}) if "error" in fields else None
    except HpbuildError as error:
        raise HpbuildError(codes.CHILD_ANSWER, subject, str(error)) from None
    if told is not None:
        raise _told({name: str(node.value) for name, node in told.items()}, bounds, subject)
    document = fields["document"].value if "document" in fields else None
    if not isinstance(document, dict):
        raise HpbuildError(codes.CHILD_ANSWER, subject, "it holds neither a document nor an error")
    return document


def _told(error: dict[str, str], bounds: Bounds, subject: str) -> HpbuildError:
    """The error that the child reports."""
    code = find_code(error["code"])
    if code is None:
        return HpbuildError(codes.CHILD_ANSWER, subject, "its error has no known code")
    if code is codes.CHILD_MEMORY:
        return _too_much_memory(bounds, subject)
    return HpbuildError(code, error["place"], error["cause"])
