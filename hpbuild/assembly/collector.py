"""Python's collector of reference cycles, put aside while an image is analysed.

Analysing makes a million small objects that all live to its end and form no cycles; the collector looks at
them again and again and finds nothing. Reference counting goes on.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_aside() -> Iterator[None]:
    """No search for cycles within; afterwards as before."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
