import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpbuild.codes import servicing as codes
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.servicing.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from hpbuild.servicing.lock import locked
with locked(Path(sys.argv[1]), 0):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_it_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(3):
        with locked(tmp_path / "lock", 0):
            pass


@pytest.mark.parametrize("killed", [False, True])
def test_one_at_a_time(tmp_path: Path, root: Path, killed: bool) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=root, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HpbuildError) as caught, locked(path, 0.05):
            pass
        assert caught.value.code is codes.STATE_LOCKED
        assert caught.value.code.exit is ExitStatus.UNAVAILABLE
        if killed:
            holder.kill()
        else:
            holder.communicate("\n")
        holder.wait()
    with locked(path, 0):
        pass


def test_a_place_that_cannot_be_locked(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "lock", tmp_path, Path(f"{tmp_path}/a\0b")):
        with pytest.raises(HpbuildError) as caught, locked(path, 0):
            pass
        assert caught.value.code is codes.STATE_UNWRITABLE


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HpbuildError) as caught, locked(tmp_path / "lock", 0):
        pass
    assert caught.value.code is codes.STATE_UNWRITABLE
    assert not (tmp_path / "elsewhere").exists()
