"""The program under test: node.exe in Wine, with a prefix of its own."""

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("server.js")
OPTIONS = ("--experimental-permission", "--allow-fs-read=*")
PATIENCE = 120.0
"""Seconds that Wine gets to start something on a busy machine."""


@dataclass(frozen=True, slots=True)
class Server:
    """``pid`` is the Linux process id of node.exe."""

    pid: int
    port: int
    process: subprocess.Popen[bytes]

    def state(self) -> str:
        """What ``/state`` answers: JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/state", timeout=60) as answer:
            return str(answer.read().decode())

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None


def wine_environment(prefix: Path) -> dict[str, str]:
    """The environment for Wine with ``prefix``, which is made on first use. Node.js wants Windows 10."""
    if shutil.which("wine") is None:
        raise SystemExit("Wine is not installed (Debian: the packages wine and wine64)")
    environment = {**os.environ, "WINEPREFIX": str(prefix.resolve()), "WINEDEBUG": "-all"}
    if not (prefix / "system.reg").exists():
        for command in (["wineboot", "-i"], ["wine", "winecfg", "-v", "win10"], ["wineserver", "-w"]):
            subprocess.run(command, env=environment, check=True, timeout=PATIENCE, capture_output=True)
    return environment


@contextmanager
def serving(program: Path, port: int, environment: Mapping[str, str], log: Path) -> Iterator[Server]:
    """Run the server until the block ends. Raises SystemExit when it does not come up."""
    with log.open("wb") as stream:
        command = ["wine", str(program), *OPTIONS, str(SCRIPT), str(port)]
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while b"listening" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{program} does not serve: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield Server(_windows_program(process.pid, program), port, process)
    finally:
        process.kill()
        process.wait()
        subprocess.run(["wineserver", "-k"], env=dict(environment), check=False, capture_output=True)


def _windows_program(pid: int, program: Path) -> int:
    """The process that became the program: the one that was started, or a child of it."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    if str(program.resolve()) in maps:
        return pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        return _windows_program(int(child), program)
    raise SystemExit(f"process {pid} has not loaded {program}")
