"""An image as LIEF reads it: the second implementation that our own answers have to agree with.

LIEF's native code calls back into Python, while it is imported above all, and takes an exception from there,
KeyboardInterrupt too, for a reason to abort the whole process. So Ctrl-C waits while it is at work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from hpbuild.interruption import interruption_held


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
