"""Memory that will be needed, got by a thread in time.

Memory costs most where it is touched for the first time: the system clears it, and the host of a virtual
machine may have to find it first. Comparing goes on one step after the other while a second processor has
little to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import numpy as np

from hpbuild.code.model import Program

_PIECE = 16 << 20
"""Bytes in one go, few enough to come from the heap and go back to it (``hpbuild.cli.huge_pages``)."""
_LEAST = 4 * _PIECE
_EACH = 64
"""Bytes for each reference, of what comparing needs at a time."""
_PAGE = 4096


@contextmanager
def memory_ahead(programs: tuple[Program, ...]) -> Iterator[None]:
    """While the block compares the ``programs``, get memory for that, for large ones."""
    size = _EACH * sum(len(program.references) for program in programs)
    if size < _LEAST:
        yield
        return
    thread = Thread(target=_get, args=(size,))
    with suppress(RuntimeError):  # no thread to be had: nothing is lost
        thread.start()
    try:
        yield
    finally:
        if thread.ident is not None:
            thread.join()


def _get(size: int) -> None:
    """Touch so much memory and give it back to the heap."""
    pieces = []
    with suppress(MemoryError):
        for _ in range(size // _PIECE):
            pieces.append(np.empty(_PIECE, dtype=np.uint8))
            pieces[-1][::_PAGE] = 0
