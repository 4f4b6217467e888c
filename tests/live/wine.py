"""Programs under Wine: a prefix of the test run's own, and the processes in it that get patched."""

import contextlib
import fcntl
import functools
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

LIMIT = 600.0
"""Seconds that a program, or one answer of it, may take; tests beside it may keep all processors busy."""
LINGER = 60
"""Seconds that the Wine server outlives its last process: a test run that is killed leaves nothing behind."""
QUIET = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml=;winedbg.exe,winemenubuilder.exe=d"}
WITHOUT = ("DISPLAY", "WAYLAND_DISPLAY", "WINEPREFIX", "WINEARCH", "WINESERVER", "WINELOADER")


@functools.cache
def still() -> tuple[str, ...]:
    """What runs a program without address space randomisation; nothing where that is not permitted.

    With it about one start in 3,000 of Wine 8 fails: the system puts the loader's heap where Wine wants to
    have the data that it shares with its server, and Wine ends with status 1."""
    command = ("setarch", "--addr-no-randomize")
    try:
        tried = subprocess.run([*command, "true"], stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return ()
    return command if tried.returncode == 0 else ()


@dataclass(frozen=True, slots=True)
class Finished:
    """What a program did: exit status, and standard output and error in the order of writing."""

    code: int
    output: bytes


@dataclass(frozen=True, slots=True)
class Wine:
    """One Wine prefix. ``binaries``: the folder with `host.exe` and `launcher.exe`."""

    prefix: Path
    binaries: Path

    @property
    def unpacked(self) -> Path:
        """A folder for what is large; it is removed together with the prefix."""
        return self.prefix / "unpacked"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every program: this prefix, no display, no messages of Wine itself."""
        kept = {name: value for name, value in os.environ.items() if name not in WITHOUT}
        return {**kept, **QUIET, "WINEPREFIX": str(self.prefix)}

    def server(self, *arguments: str) -> None:
        """Run `wineserver`."""
        subprocess.run(["wineserver", *arguments], env=self.environment, check=False, timeout=LIMIT)

    def run(self, *command: str | Path, folder: Path, limit: float = LIMIT) -> Finished:
        """Run a program to its end in ``folder``; one that takes longer is killed, and the test fails.

        The output goes to a file: a pipe would stay open in the services that Wine starts beside it."""
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [*still(), "wine", *map(str, command)],
                env=self.environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=limit,
                check=False,
            )
            output.seek(0)
            return Finished(done.returncode, output.read())

    def start(self, *command: str | Path, folder: Path) -> subprocess.Popen[bytes]:
        """Start a program in ``folder`` with pipes; its pid is that of the Windows process here on Linux."""
        return subprocess.Popen(
            [*still(), "wine", *map(str, command)],
            env=self.environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def host(self, folder: Path, *libraries: str) -> "Host":
        """`host.exe` in ``folder`` with these DLLs of the folder loaded; to be used in a `with`."""
        return Host(self.start(self.binaries / "host.exe", *libraries, folder=folder))

    def held(self, folder: Path, program: str, *arguments: str) -> "Held":
        """A program of ``folder`` that stands at its first instruction; to be used in a `with`."""
        output = folder.parent / f"{folder.name}.output"
        command = (self.binaries / "launcher.exe", windows_path(output), program, *arguments)
        return Held(self.start(*command, folder=folder), output, folder / program)


def windows_path(path: Path) -> str:
    """The name that Wine has for a path of this machine."""
    return "Z:" + str(path.resolve()).replace("/", "\\")


class Conversation:
    """A process that answers a line to every line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(LIMIT if kind is None else 1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(LIMIT)
            if kind is None:
                raise
        finally:
            self.process.stdout.close()

    def send(self, line: str) -> None:
        """Say something without waiting for the answer."""
        self.process.stdin.write(line.encode("ascii") + b"\n")

    def said(self) -> bool:
        """Whether an answer, or a part of one, has come."""
        return bool(self._pending) or bool(select.select([self.process.stdout], [], [], 0.0)[0])

    def answer(self, limit: float = LIMIT) -> str:
        """The next line that the process says."""
        end = time.monotonic() + limit
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError(f"no answer within {limit} s")
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            if not more:
                raise EOFError(f"the process has ended with status {self.process.wait(LIMIT)}")
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8").rstrip("\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the threads of a group have done: calls, and how many gave each of the allowed results."""

    calls: int
    wrong: int
    raised: int
    longest_us: int
    first_wrong: int
    each: tuple[int, ...]


class Host(Conversation):
    """`host.exe`; its commands are described at the top of `testdata/src/host/host.c`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(process)
        self.windows_pid = int(self._expect("ready ", self.answer()))

    @property
    def pid(self) -> int:
        """The process id on Linux."""
        return self.process.pid

    @staticmethod
    def _expect(beginning: str, answer: str) -> str:
        assert answer.startswith(beginning), answer
        return answer.removeprefix(beginning)

    def ask(self, command: str, limit: float = LIMIT) -> str:
        """The answer to a command, as it is: `ok ...`, `raised CODE` or `error WHY`."""
        self.send(command)
        return self.answer(limit)

    def do(self, command: str, limit: float = LIMIT) -> str:
        """What stands behind `ok` in the answer to a command, which must succeed."""
        return self._expect("ok", self.ask(command, limit)).strip()

    def call(self, call: str) -> str:
        """Result of `TYPE NAME VALUE...`, or `raised CODE`."""
        answer = self.ask(f"call {call}")
        assert answer.startswith(("ok ", "raised ")), answer
        return answer.removeprefix("ok ")

    def calls(self, calls: Sequence[str]) -> list[str]:
        """The answers to several calls."""
        return [self.call(call) for call in calls]

    def number(self, command: str) -> int:
        """The number that a command answers with."""
        return int(self.do(command), 0)

    def start(self, threads: int, call: str, allowed: Sequence[str | int]) -> int:
        """Threads that make a call again and again; returns the group's number."""
        return int(self.do(f"start {threads} {call} -> {' '.join(map(str, allowed))}"))

    def _counts(self, command: str) -> Counts:
        fields = dict(re.findall(r"(\w+)=(\S+)", self.do(command)))
        each = tuple(int(number) for number in fields.pop("each", "").split(",") if number)
        return Counts(each=each, **{name: int(value, 0) for name, value in fields.items()})

    def counts(self, group: int) -> Counts:
        """The counts while the threads go on."""
        return self._counts(f"counts {group}")

    def stop(self, group: int) -> Counts:
        """End the threads of a group; its counts."""
        return self._counts(f"stop {group}")


class Held(Conversation):
    """A program that stands at its first instruction until it is told to go."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, program: Path) -> None:
        super().__init__(process)
        answer = self.answer()
        assert answer.startswith("held "), answer
        self.windows_pid = int(answer.removeprefix("held "))
        self.output = output
        self.pid = _process_of(program)

    def go(self, limit: float = LIMIT) -> Finished:
        """Let the program run to its end."""
        self.send("go")
        code = self.answer(limit)
        assert code.startswith("exit "), code
        return Finished(int(code.removeprefix("exit ")), self.output.read_bytes())


def _process_of(program: Path) -> int:
    """The process that runs ``program``, which must be the only one; its file is mapped there."""
    wanted = str(program.resolve())
    found = []
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if any(line.endswith(wanted) for line in maps.read_text().splitlines()):
                found.append(int(maps.parent.name))
    assert len(found) == 1, found
    return found[0]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Holds the lock of the test run; gives the file that counts the workers which use Wine."""
    with folder.joinpath("wine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / "wine.users"


@contextlib.contextmanager
def shared_prefix(folder: Path, binaries: Path) -> Iterator[Wine]:
    """The prefix of all workers of a test run in ``folder``: the first makes it, the last one removes it."""
    wine = Wine(folder / "wine", binaries)
    with _locked(folder) as users:
        if not wine.prefix.exists():
            wine.unpacked.mkdir(parents=True)
            wine.server(f"-p{LINGER}")
            command = ["wineboot", "--init"]
            subprocess.run(
                command, env=wine.environment, check=True, timeout=5 * LIMIT, stdout=subprocess.DEVNULL
            )
        users.write_text(str(_users(users) + 1))
    try:
        # As long as one program runs, Wine's own services do, and the next program need not start them.
        with wine.host(folder):
            yield wine
    finally:
        with _locked(folder) as users:
            users.write_text(str(_users(users) - 1))
            if not _users(users):
                wine.server("-k")
                wine.server("-w")
                shutil.rmtree(wine.prefix, ignore_errors=True)


def _users(file: Path) -> int:
    return int(file.read_text()) if file.exists() else 0
