"""How much of the machine the reading of files from elsewhere may take, and the options that say so."""

import os
from dataclasses import dataclass
from typing import Annotated

import typer

MIB = 1024 * 1024
MOST_MEMORY = 16 * 1024
"""MiB: a package of 1 GiB against a file of 2 GiB, both at the policy's limits, stays below."""
LEAST_MEMORY = 1024
"""MiB that are allowed on any machine; the interpreter and its libraries alone reserve some hundred."""
CPU_SECONDS = 600
CLOCK_SECONDS = 1800

_PANEL = "Limits"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one child process: ``memory`` in bytes of address space, ``cpu`` in seconds of processor
    time, ``seconds`` by the clock."""

    memory: int
    cpu: int
    seconds: int


def bounds(max_memory: int | None, max_cpu: int, max_seconds: int) -> Bounds:
    """The bounds that the options describe; ``max_memory`` in MiB, None for what suits the machine."""
    return Bounds((default_memory() if max_memory is None else max_memory) * MIB, max_cpu, max_seconds)


def default_memory() -> int:
    """MiB of address space: three quarters of the machine's memory, within fixed bounds."""
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB
    except (AttributeError, OSError, ValueError):
        return MOST_MEMORY  # a system that does not tell
    return min(MOST_MEMORY, max(LEAST_MEMORY, physical * 3 // 4))


MaxMemoryOption = Annotated[
    int | None,
    typer.Option(
        "--max-memory",
        metavar="MIB",
        min=64,
        envvar="HPBUILD_MAX_MEMORY",
        show_default="three quarters of the machine's, at most 16384",
        rich_help_panel=_PANEL,
        help="Memory that reading the files may take.",
    ),
]
MaxCpuOption = Annotated[
    int,
    typer.Option(
        "--max-cpu",
        metavar="SECONDS",
        min=1,
        envvar="HPBUILD_MAX_CPU",
        rich_help_panel=_PANEL,
        help="Processor time that reading the files may take.",
    ),
]
MaxSecondsOption = Annotated[
    int,
    typer.Option(
        "--max-seconds",
        metavar="SECONDS",
        min=1,
        envvar="HPBUILD_MAX_SECONDS",
        rich_help_panel=_PANEL,
        help="Time by the clock that reading the files may take; with several packages, each one.",
    ),
]
