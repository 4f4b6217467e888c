"""Columns out of the memory of another process on Linux: copied once, into room that this process mostly has
used before. A file between the two would all be new memory, which takes longer to get than to fill.

Source: process_vm_readv(2). A process may read its children's memory unless the system forbids that to all.
"""

import ctypes

import numpy as np

from hpbuild.code.model import U8


class _Run(ctypes.Structure):
    """``struct iovec``: a run of memory."""

    _fields_ = (("address", ctypes.c_void_p), ("size", ctypes.c_size_t))


def place_of(octets: memoryview) -> tuple[int, int]:
    """Address and size of bytes in this process."""
    address: int = np.asarray(octets).ctypes.data
    return address, octets.nbytes


def copied(process: int, places: list[tuple[int, int]]) -> list[U8]:
    """The bytes at ``places`` (address, size) of ``process``. Raises OSError where they cannot be read: the
    process has ended, or the system forbids it."""
    read = getattr(ctypes.CDLL(None, use_errno=True), "process_vm_readv", None)
    if read is None:
        raise OSError("the system's library cannot read another process")
    read.restype = ctypes.c_ssize_t
    found = []
    for address, size in places:
        column, done = np.empty(size, dtype=np.uint8), 0
        while done < size:
            ours = _Run(column.ctypes.data + done, size - done)
            theirs = _Run(address + done, size - done)
            one = ctypes.c_ulong(1)
            count = read(process, ctypes.byref(ours), one, ctypes.byref(theirs), one, ctypes.c_ulong(0))
            if count <= 0:
                raise OSError(ctypes.get_errno(), "another process cannot be read")
            done += count
        found.append(column)
    return found
