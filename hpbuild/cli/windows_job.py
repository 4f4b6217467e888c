"""Bounds of a process on Windows: a job object that the process puts itself into.

Source: JOBOBJECT_EXTENDED_LIMIT_INFORMATION and SetInformationJobObject (winnt.h, jobapi2.h), 64 bit.
"""

import ctypes
from typing import Any

from hpbuild.cli.bounds import Bounds

EXTENDED_LIMIT_INFORMATION = 9
LIMIT_PROCESS_TIME, LIMIT_ACTIVE_PROCESS, LIMIT_PROCESS_MEMORY = 0x2, 0x8, 0x100
TICKS = 10_000_000
"""Units of 100 ns in a second."""


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION, with its basic part and its counters spread out."""

    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set", ctypes.c_uint64),
        ("most_working_set", ctypes.c_uint64),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_uint64),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
        ("counters", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_uint64),
        ("job_memory", ctypes.c_uint64),
        ("peak_process_memory", ctypes.c_uint64),
        ("peak_job_memory", ctypes.c_uint64),
    )


def limits_of(bounds: Bounds) -> ExtendedLimits:
    """The limits that hold a process to ``bounds``, and to itself: it may start no other."""
    return ExtendedLimits(
        process_time=bounds.cpu * TICKS,
        flags=LIMIT_PROCESS_TIME | LIMIT_ACTIVE_PROCESS | LIMIT_PROCESS_MEMORY,
        active_processes=1,
        process_memory=bounds.memory,
    )


def limit_this_process(bounds: Bounds) -> None:
    """Hold this process to ``bounds``. OSError when Windows refuses."""
    loader: Any = ctypes
    kernel = loader.WinDLL("kernel32", use_last_error=True)
    kernel.CreateJobObjectW.restype = ctypes.c_void_p
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    job = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
    limits = limits_of(bounds)
    size = ctypes.sizeof(limits)
    done = kernel.SetInformationJobObject(job, EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), size)
    done = done and kernel.AssignProcessToJobObject(job, ctypes.c_void_p(kernel.GetCurrentProcess()))
    if not done:
        raise loader.WinError(loader.get_last_error())
