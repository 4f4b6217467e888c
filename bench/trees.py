"""Trees of modules to measure ``hpbuild diff`` on: DLLs, and copies in which a few functions return another
number.

``python -m bench.trees FOLDER DLLS [DLLS...]`` lays two trees out in FOLDER and prints the wall time with one
job and with two, and of a second run from the cache.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from hpbuild.cache.folder import FOLDER

CONSTANT = b"\xb8\x01\x00\x00\x00"
"""``mov eax, 1``"""
CHANGES = 3
SUFFIXES = (".dll", ".pyd", ".exe")
_REPOSITORY = Path(__file__).resolve().parent.parent


def lay_out(sources: Iterable[Path], folder: Path, largest: int = 1 << 62) -> int:
    """Copy the modules below ``sources``, of at most ``largest`` bytes, to ``folder/baseline``, and with
    changed functions to ``folder/fixed``. How many there are; those without a place to change are left out.
    """
    count = 0
    for source in sources:
        for path in sorted(item for item in source.rglob("*") if item.suffix.lower() in SUFFIXES):
            if not path.is_file() or path.stat().st_size > largest:
                continue
            data = path.read_bytes()
            if changed := _changed(data):
                for side, content in (("baseline", data), ("fixed", changed)):
                    target = folder / side / source.name / path.relative_to(source)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
                count += 1
    return count


def _changed(data: bytes) -> bytes:
    """The same with other numbers in ``CHANGES`` places in the middle of the code; empty without any."""
    copy, at = bytearray(data), 0x400
    for _ in range(CHANGES):
        at = data.find(CONSTANT, at)
        if at < 0:
            break
        copy[at + 1] = 2
        at += 0x1000
    return bytes(copy) if copy != data else b""


def measure_tree(baseline: Path, fixed: Path, jobs: int, cache: Path | None) -> float:
    """Seconds of wall time of ``hpbuild diff`` of two trees, in a process of its own; no cache for None.

    Raises CalledProcessError when it ends with another status than 0 or 1."""
    command = [sys.executable, "-m", "hpbuild", "diff", str(baseline), str(fixed), "--jobs", str(jobs)]
    environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY), FOLDER: str(cache or "")}
    if cache is None:
        command.append("--no-cache")
    begun = time.monotonic()
    run = subprocess.run([*command, "--format", "json"], env=environment, stdout=subprocess.PIPE, check=False)
    took = time.monotonic() - begun
    if run.returncode not in (0, 1):
        raise subprocess.CalledProcessError(run.returncode, command, run.stdout)
    return took


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure hpbuild diff of two trees.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("sources", type=Path, nargs="*")
    parser.add_argument("--largest", type=int, default=1 << 62, help="leave out larger files, bytes")
    options = parser.parse_args()
    if options.sources:
        shutil.rmtree(options.folder, ignore_errors=True)
        print(lay_out(options.sources, options.folder, options.largest), "modules")
    trees = options.folder / "baseline", options.folder / "fixed"
    size = sum(path.stat().st_size for tree in trees for path in tree.rglob("*") if path.is_file()) / 1e6
    cache = options.folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    for name, jobs, where in (
        ("1 job", 1, None),
        ("2 jobs", 2, None),
        ("2 jobs, empty cache", 2, cache),
        ("2 jobs, from the cache", 2, cache),
    ):
        took = measure_tree(*trees, jobs, where)
        print(f"{name}: {took:.2f} s, {size / took:.1f} MB/s of {size:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
