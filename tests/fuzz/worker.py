"""One fuzzer in a process of its own: ``python -m tests.fuzz.worker TARGET FOLDER SECONDS [OPTION...]``, with
libFuzzer's options.

An exception is written down with its input and the fuzzer goes on; only what no exception can tell (too slow,
too much memory, a crash of the interpreter) ends the process. ``FOLDER``/status.json is kept up to date.
"""

import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hpbuild"]):
    from hpbuild.errors import HpbuildError
    from tests.fuzz.mutators import MUTATORS
    from tests.fuzz.seeds import seeds
    from tests.fuzz.targets import TARGETS, guarded

_STATUS_EVERY = 256
_WORN_OUT = 512 << 20
"""Resident bytes; what is left up to the limit is for one input."""


@dataclass(slots=True)
class _Worker:
    run: Callable[[bytes], None]
    folder: Path
    seconds: float
    executions: int = 0
    slowest: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)

    def one(self, data: bytes) -> None:
        """One execution."""
        began = time.process_time()
        try:
            guarded(self.run, data)
        except HpbuildError as error:
            self.report(data, error)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            self.report(data, error)
        spent = time.process_time() - began
        self.executions += 1
        if spent > self.slowest:
            self.slowest = spent
            (self.folder / "slowest").write_bytes(data)
        if self.executions % _STATUS_EVERY == 0:
            self.write()
            # Atheris never frees what an instrumented comparison of arrays gives: a new process goes on.
            if time.process_time() > self.seconds or _resident() > _WORN_OUT:
                os._exit(0)

    def report(self, data: bytes, error: Exception) -> None:
        """A finding, once for each place that raises it."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{type(error).__name__} {Path(frames[-1].filename).name}:{frames[-1].lineno}"
        own = [frame for frame in frames if "hpbuild" in frame.filename]
        if own:
            place += f" from {Path(own[-1].filename).name}:{own[-1].lineno}"
        if place in self.findings:
            return
        name = f"crash-{hashlib.sha256(data).hexdigest()[:16]}"
        self.findings[place] = name
        (self.folder / name).write_bytes(data)
        (self.folder / f"{name}.txt").write_text("".join(traceback.format_exception(error)))

    def write(self) -> None:
        """The figures so far."""
        status = {
            "executions": self.executions, "cpu_seconds": round(time.process_time(), 1),
            "slowest_seconds": round(self.slowest, 3), "findings": self.findings,
        }  # fmt: skip
        (self.folder / "status.json").write_text(json.dumps(status))


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Fuzz until the CPU time is spent."""
    name, folder, seconds = sys.argv[1:4]
    target = TARGETS[name]
    worker = _Worker(target.run, Path(folder), float(seconds))
    # Modules that are imported late and constants made at first use are not what an input costs.
    for data in seeds(name).values():
        guarded(target.run, data)

    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        return MUTATORS[name](data, largest, seed, atheris.Mutate)

    options = [f"-max_len={target.largest}", *sys.argv[4:]]
    atheris.Setup([sys.argv[0], *options], worker.one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
