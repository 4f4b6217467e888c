"""An image as LIEF reads it: the second implementation that our own answers have to agree with.

LIEF's native code calls back into Python, while it is imported above all, and takes an exception from there,
KeyboardInterrupt too, for a reason to abort the whole process. So Ctrl-C waits while it is at work.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any


@contextmanager
def read_by_lief(data: bytes) -> Iterator[tuple[ModuleType, Any]]:
    """LIEF and its reading of the PE file ``data``, without the parts that no signature needs; None in its
    place when LIEF cannot read it. Ctrl-C waits until the block is left, so do in it only what needs LIEF."""
    with interruption_held():
        import lief

        # It writes remarks to standard error as it parses; the answer is all that counts here.
        lief.logging.disable()
        config = lief.PE.ParserConfig()
        for part in ("exceptions", "exports", "imports", "reloc", "rsrc", "arm64x_binary"):
            setattr(config, f"parse_{part}", False)
        yield lief, lief.PE.parse(data, config)


@contextmanager
def interruption_held() -> Iterator[None]:
    """What SIGINT would do is done when the block is left, once. Outside of the main thread, where Python
    handles no signals, and under a handler that is not Python's, nothing is to be held."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    pressed: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        pressed.append(number)

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            before(signal.SIGINT, None)
