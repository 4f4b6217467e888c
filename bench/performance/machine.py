"""What the measurement ran on, and how busy that was."""

import os
import platform
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench.performance.race import Document

PACKAGES = ("hpbuild", "iced-x86", "capstone", "numpy", "pefile", "lief")
LOOK = 2.0
"""Seconds for which the processors are watched before anything is measured."""
BUSY = 0.1
"""Share of the processors' time that others may take before figures are called provisional."""


def machine() -> Document:
    """Processor, memory, versions, and the share of the time that others use before the measurement."""
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "others": round(others(), 3),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(name: str) -> str:
    if name == "hpbuild":
        from hpbuild import __version__

        return __version__
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def others() -> float:
    """The share of all processors' time, 0 to 1, that is not idle while this process sleeps."""
    before = _ticks()
    time.sleep(LOOK)
    after = _ticks()
    total, idle = (late - early for late, early in zip(after, before, strict=True))
    return 1 - idle / total if total else 0.0


def _ticks() -> tuple[int, int]:
    """All and idle time of all processors since the start, proc(5): user nice system idle iowait ..."""
    values = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return sum(values), values[3] + values[4]
