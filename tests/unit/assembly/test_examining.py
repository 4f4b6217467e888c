"""One module examined: what is left of it in memory afterwards."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

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


LATER = ("hpbuild.match.comparison", "hpbuild.plan.planner")
WHAT_IS_IMPORTED = f"""
import sys
from pathlib import Path
from hpbuild.assembly import loading
from hpbuild.pipeline import DiffOptions, diff_modules

def told(*row):
    seen.append((row[0], sum(name in sys.modules for name in {LATER})))

seen = []
loading.PARALLEL_SIZE = int(sys.argv[3])
diff_modules(Path(sys.argv[1]), Path(sys.argv[2]), DiffOptions(), told)
print(*dict.fromkeys(seen))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")
def test_what_comes_later_is_imported_when_the_second_process_has_begun(binaries: Path, root: Path) -> None:
    paths = [str(binaries / side / "codec.dll") for side in ("baseline", "fixed")]
    seen = [
        subprocess.run(
            [sys.executable, "-c", WHAT_IS_IMPORTED, *paths, size],
            cwd=root,
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for size in ("0", "1000000")
    ]
    assert seen[0] == "('analyse', 0) ('decode', 2) ('compare', 2) ('plan', 2)"
    assert seen[1] == "('decode', 0) ('compare', 2) ('plan', 2)"
