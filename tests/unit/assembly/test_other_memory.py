"""Columns out of the memory of another process."""

import os
import sys
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np
import pytest

from hpbuild.assembly.other_memory import copied, place_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")


def _hold(connection: Connection, octets: bytes) -> None:
    """In the other process: what it has there is not what this one has at the same address."""
    column = np.frombuffer(octets, dtype=np.uint8) + np.uint8(1)
    connection.send([place_of(column.data), place_of(column[3:5].data), place_of(column[:0].data)])
    connection.recv()


def test_it_is_the_other_processs_memory() -> None:
    octets = os.urandom(3 << 20)
    context = get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_hold, args=(theirs, octets), daemon=True)
    process.start()
    places = ours.recv()
    assert process.pid is not None
    whole, part, nothing = copied(process.pid, places)
    process.kill()
    process.join()
    expected = np.frombuffer(octets, dtype=np.uint8) + np.uint8(1)
    assert np.array_equal(whole, expected)
    assert np.array_equal(part, expected[3:5])
    assert not len(nothing)
    with pytest.raises(OSError, match="cannot be read"):
        copied(process.pid, places)


def test_fail_what_is_not_there() -> None:
    with pytest.raises(OSError, match="cannot be read"):
        copied(os.getpid(), [(0, 1)])
