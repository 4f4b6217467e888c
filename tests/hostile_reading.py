"""Reading hostile images under limits: what each of them costs, and what refuses it.

``python -m tests.hostile_reading [PART-OF-A-NAME...]`` prints that, each read in a process of its own.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from hpbuild.errors import HpbuildError
from hpbuild.pe.reader import parse_image
from tests.fuzz.image_readers import IMAGE_READERS
from tests.hostile_images import HOSTILE, MIB, Hostile

MEMORY = 300 << 20
"""Bytes that reading one of them may take at most, everything included."""
CPU_SECONDS = 120
"""Far above the two seconds that they are meant for: a busy machine must not fail a test."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What reading one took: ``codes`` of all refusals, CPU seconds, peak of resident bytes; ``failure`` is
    anything else that came out."""

    codes: tuple[str, ...]
    seconds: float
    peak: int
    failure: str


class Reader:
    """Reads images with every reader, each in a process that may not take more than MEMORY beyond the
    interpreter and its modules, nor CPU_SECONDS. One process loads the modules and forks for each image."""

    def __init__(self, folder: Path) -> None:
        # One thread: each has an address space of its own, which would count.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._path = folder / "hostile.dll"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile_reading", "serve"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env=environment, cwd=Path(__file__).resolve().parent.parent,
        )  # fmt: skip

    def read(self, hostile: Hostile) -> Cost:
        """What reading it takes."""
        self._path.write_bytes(hostile.make())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{hostile.mapped} {self._path}\n")
        self._process.stdin.flush()
        document = json.loads(self._process.stdout.readline())
        return Cost(tuple(document["codes"]), document["seconds"], document["peak"], document["failure"])

    def close(self) -> None:
        """End the process."""
        self._process.communicate("")


def _serve() -> None:
    """In the process that forks: one line in for each image, one out."""
    import pefile  # noqa: F401 - not what an image costs

    for line in sys.stdin:
        mapped, path = line.rstrip("\n").split(" ", 1)
        end, other = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(end)
            with os.fdopen(other, "w") as stream:
                stream.write(json.dumps(_read(path, int(mapped))))
            os._exit(0)
        os.close(other)
        with os.fdopen(end) as stream:
            said = stream.read()
        _, status = os.waitpid(child, 0)
        ended = {"codes": [], "seconds": 0, "peak": 0, "failure": f"the process ended with status {status}"}
        _say(said or json.dumps(ended))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _read(path: str, mapped: int) -> dict[str, object]:
    """In the child: limits, then every reader."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY + mapped
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    began = time.process_time()
    met: set[str] = set()
    failure = ""
    try:
        image = parse_image(Path(path).read_bytes(), "hostile.dll")
        for reader in IMAGE_READERS:
            try:
                reader(image)
            except HpbuildError as error:
                met.add(error.code.id)
    except HpbuildError as error:
        met.add(error.code.id)
    except Exception as error:  # noqa: BLE001 - it is what the test is about
        failure = "".join(traceback.format_exception(error))[-600:]
    spent = round(time.process_time() - began, 3)
    return {"codes": sorted(met), "seconds": spent, "peak": _peak(), "failure": failure}


def _peak() -> int:
    """Most bytes that were resident in this process."""
    text = Path("/proc/self/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024


def main() -> None:
    """Print what each of them costs; ``serve`` is for the tests."""
    if sys.argv[1:] == ["serve"]:
        _serve()
        return
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(Path(folder))
        for name, hostile in HOSTILE.items():
            if not any(part in name for part in sys.argv[1:] or [""]):
                continue
            cost = reader.read(hostile)
            wanted = hostile.code.id if hostile.code else "-"
            refused = hostile.code is None or hostile.code.id in cost.codes
            verdict = cost.failure or ("" if refused else f"NOT REFUSED {cost.codes}")
            _say(f"{wanted:<7} {cost.seconds:6.2f} s {cost.peak / MIB:6.1f} MiB  {name} {verdict}")
        reader.close()


if __name__ == "__main__":
    main()
