"""One module examined: what is left of it in memory afterwards."""

import gc
import weakref
from pathlib import Path

from hpbuild.assembly.examining import examine
from hpbuild.assembly.lists import Lists
from hpbuild.assembly.trees import FilePair


def test_programs_go_with_what_asked_for_them(binaries: Path) -> None:
    """Python looks for circles seldom; a tree of thousands of modules must not wait for it."""
    pair = FilePair("codec.dll", binaries / "baseline" / "codec.dll", binaries / "fixed" / "codec.dll")
    gc.collect()
    gc.disable()
    try:
        examined = examine(pair, "auto", lambda *_: None, Lists.of((), (), (pair.path,)), processes=1)
        sides = examined.comparison.baseline, examined.comparison.fixed
        columns = [weakref.ref(side.program.fragments.start) for side in sides]
        diff = examined.diff
        assert all(column() is not None for column in columns)
        del examined, sides
        assert [column() for column in columns] == [None, None]
    finally:
        gc.enable()
    assert diff.difference.functions
