"""The structure that bounds a process on Windows has the layout that winnt.h gives it on 64 bit."""

import ctypes

from hpbuild.cli.bounds import Bounds
from hpbuild.cli.windows_job import ExtendedLimits, limits_of


def test_layout() -> None:
    assert ctypes.sizeof(ExtendedLimits) == 144
    assert ExtendedLimits.counters.offset == 64
    assert ExtendedLimits.process_memory.offset == 112


def test_limits() -> None:
    limits = limits_of(Bounds(memory=5 << 30, cpu=7, seconds=9))
    assert (limits.process_memory, limits.process_time, limits.active_processes) == (5 << 30, 70_000_000, 1)
    assert limits.flags == 0x10A
