"""How much of the machine the reading of files from elsewhere may take."""

import os

from hpbuild.dataclass import dataclass

MIB = 1024 * 1024
MOST_MEMORY = 16 * 1024
"""MiB: a package of 1 GiB against a file of 2 GiB, both at the policy's limits, stays below."""
LEAST_MEMORY = 1024
"""MiB that are allowed on any machine; the interpreter and its libraries alone reserve some hundred."""
CPU_SECONDS = 600
CLOCK_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one child process: ``memory`` in bytes of address space, ``cpu`` in seconds of processor
    time, ``seconds`` by the clock."""

    memory: int
    cpu: int
    seconds: int


def bounds(
    max_memory: int | None = None, max_cpu: int = CPU_SECONDS, max_seconds: int = CLOCK_SECONDS
) -> Bounds:
    """The bounds that the options describe; ``max_memory`` in MiB, None for what suits the machine."""
    return Bounds((default_memory() if max_memory is None else max_memory) * MIB, max_cpu, max_seconds)


def default_memory() -> int:
    """MiB of address space: three quarters of the machine's memory, within fixed bounds."""
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB
    except (AttributeError, OSError, ValueError):
        return MOST_MEMORY  # a system that does not tell
    return min(MOST_MEMORY, max(LEAST_MEMORY, physical * 3 // 4))
