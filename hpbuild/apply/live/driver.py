"""A session with the live agent of one process: order in, answer out.

The courier is started with the session and ends with it. It puts the resident into the process at the first
command that needs it; the resident stays there. Whatever happens to this program or to the courier, the
process is left wholly old or wholly new (``hpbuild.apply.live.journal`` tells which).
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType

from hpbuild.apply.live.binaries import Binaries, find_binaries
from hpbuild.apply.live.courier import Courier
from hpbuild.apply.live.host import Host, host_of
from hpbuild.apply.live.order import Order, encode
from hpbuild.apply.live.protocol import Reply, parse_reply
from hpbuild.codes.driver import COURIER_FAILED
from hpbuild.codes.process import PROCESS_GONE as NO_MEMORY_ANY_MORE
from hpbuild.errors import HpbuildError
from hpbuild.pe.processes import Process

LONGEST_WAIT = 120.0
"""Seconds that one command may take; the agent's own limits are well below."""
MOST_STARTS = 3
EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
EVERY_PACKAGE = "*"
"""What ``Session.revert`` takes for all packages."""


class Session:
    """Works on one process until it is closed; a context manager. One command at a time."""

    def __init__(
        self,
        windows_pid: int,
        host: Host,
        binaries: Binaries,
        limit: float = LONGEST_WAIT,
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        """Start the courier. ``ended`` tells whether the process has ended. Raises HpbuildError HP7353 when
        the courier does not run."""
        self._limit = limit
        self._ended = ended
        self._host = host
        self._folder = _private_folder(host)
        self._orders = 0
        try:
            self._courier = Courier(binaries.courier, [str(windows_pid)], host)
        except HpbuildError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def courier_pid(self) -> int:
        """The courier's process id on this system."""
        return self._courier.pid

    def hello(self) -> Reply:
        """Who answers. Raises as ``apply``."""
        return self._command("hello")

    def apply(self, order: Order) -> Reply:
        """Carry out ``order``: all of it or nothing.

        Raises HpbuildError: the agent's codes (HP73xx) with module and function as place, HP7353 and HP7354
        when the courier gave no answer, HP7323 when the process has ended."""
        self._orders += 1
        path = self._folder / f"{self._orders}.order"
        with os.fdopen(os.open(path, EXCLUSIVE, 0o600), "wb") as file:
            file.write(encode(order))
        if self._host.user is not None:
            os.chown(path, self._host.user, -1)
        try:
            return self._command(f"apply {self._host.path_inside(path)}")
        finally:
            path.unlink(missing_ok=True)

    def revert(self, package: str) -> Reply:
        """Put the old bytes of package ``package`` back, of every package for ``*``. Raises as ``apply``."""
        return self._command(f"revert {package}")

    def status(self) -> Reply:
        """What the agent says of itself. Raises as ``apply``."""
        return self._command("status")

    def close(self) -> None:
        """End the courier; the process stays as it is."""
        self._courier.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _command(self, line: str) -> Reply:
        if "\n" in line or "\r" in line:
            raise HpbuildError(COURIER_FAILED, "courier", f"{line!r} is not one line")
        reply = parse_reply(self._courier.ask(line, self._limit, self._ended))
        if not reply.ok:
            finding = reply.finding("the process")
            raise HpbuildError(finding.code, finding.place, finding.cause or reply.error)
        return reply


def open_session(process: Process, limit: float = LONGEST_WAIT) -> Session:
    """A session with the agent in ``process``, whose courier has said hello. Raises HpbuildError: HP7350 to
    HP7355, and the agent's codes."""
    binaries = find_binaries()
    ended = partial(has_ended, process)
    return greeted(partial(Session, process.windows_pid, host_of(process), binaries, limit, ended))


def has_ended(process: Process) -> bool:
    """Whether a process has ended: then it has no memory, and is told apart from one that has none there."""
    try:
        process.memory.read(0, 1)
    except HpbuildError as error:
        return error.code is NO_MEMORY_ANY_MORE
    return False


def greeted(start: Callable[[], Session]) -> Session:
    """A session whose courier has said hello. One that ends before that has done nothing yet and is started
    again: about one in 3,000 starts of Wine 8 fails, when the system has put the loader's heap where Wine
    wants to have shared data. Raises as ``open_session``."""
    starts = 1
    while True:
        session = start()
        try:
            session.hello()
        except HpbuildError as error:
            session.close()
            if error.code is not COURIER_FAILED or starts == MOST_STARTS:
                raise
            starts += 1
        else:
            return session


def _private_folder(host: Host) -> Path:
    """A folder for orders. It stays ours where the process is another user's: in a folder of that user
    somebody could lay a link in the way of what we write. That user may pass through it to the file."""
    folder = Path(tempfile.mkdtemp(prefix="hpbuild-"))
    if host.user is not None:
        folder.chmod(0o711)
    return folder
