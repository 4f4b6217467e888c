import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hpbuild.codes import servicing as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.servicing import open_state, view_state
from hpbuild.values import Digest
from hpbuild.verify.line import Accepted

ACCEPT = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from hpbuild.servicing import open_state
from hpbuild.values import Digest
from hpbuild.verify.line import Accepted
for turn in range(int(sys.argv[3])):
    with open_state(Path(sys.argv[1]), 600) as state:
        number = len(state.lines.of("Codec").packages) + 1
        name = f"{sys.argv[2]}-{number}"
        state.accept("Codec", Accepted(
            id=name, sequence=number, statement=Digest.of(name.encode()).hex, supersedes=(), reverts=None,
            time=datetime.now(UTC),
        ))
    print(number, flush=True)
"""


def package(number: int) -> Accepted:
    return Accepted(
        id=f"KB-{number}", sequence=number, statement=Digest.of(str(number).encode()).hex, supersedes=(),
        reverts=None, time=datetime(2026, 1, 31, tzinfo=UTC),
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state file with two records."""
    made = tmp_path / "state"
    with open_state(made) as state:
        for number in (1, 2):
            state.accept("Codec", package(number))
    return made


def key(path: Path) -> Path:
    return path.with_name("state.key")


def sequences(path: Path) -> list[int]:
    with open_state(path) as state:
        return [item.sequence for item in state.lines.of("Codec").packages]


def refusal(path: Path) -> Code:
    with pytest.raises(HpbuildError) as caught, open_state(path):
        pass
    return caught.value.code


def test_it_remembers(path: Path) -> None:
    assert sequences(path) == [1, 2]
    with open_state(path) as state:
        state.accept("Other", package(9))
        assert state.lines.of("Other").highest == 9
    assert sequences(path) == [1, 2]
    assert view_state(path).lines.of("Other").packages == (package(9),)


def test_what_is_remembered_is_not_added_again(path: Path) -> None:
    before = path.read_bytes()
    with open_state(path) as state:
        state.accept("Codec", package(1))
    assert path.read_bytes() == before


def test_nothing_is_made_before_the_first_acceptance(tmp_path: Path) -> None:
    with open_state(tmp_path / "state") as state:
        assert not state.exists
    assert {item.name for item in tmp_path.iterdir()} == {"state.lock"}


def test_a_run_that_records_nothing_sees_its_own_acceptances(path: Path) -> None:
    before = path.read_bytes(), key(path).read_bytes()
    with open_state(path, record=False) as state:
        state.accept("Codec", package(3))
        assert state.lines.of("Codec").highest == 3
    assert (path.read_bytes(), key(path).read_bytes()) == before


def test_an_old_copy_is_noticed(path: Path) -> None:
    old = path.read_bytes()
    with open_state(path) as state:
        state.accept("Codec", package(3))
    path.write_bytes(old)
    assert refusal(path) is codes.STATE_ROLLED_BACK


def test_a_removed_file_is_noticed(path: Path) -> None:
    path.unlink()
    assert refusal(path) is codes.STATE_ROLLED_BACK


def test_an_old_key_is_noticed(path: Path) -> None:
    old = key(path).read_bytes()
    with open_state(path) as state:
        state.accept("Codec", package(3))
        state.accept("Codec", package(4))
    key(path).write_bytes(old)
    assert refusal(path) is codes.STATE_ROLLED_BACK


def test_a_stop_between_the_two_files_is_mended(path: Path) -> None:
    old = key(path).read_bytes()
    with open_state(path) as state:
        state.accept("Codec", package(3))
    key(path).write_bytes(old)  # as if the machine had stopped before the key was replaced
    assert sequences(path) == [1, 2, 3]
    with open_state(path) as state:
        state.accept("Codec", package(4))
    assert sequences(path) == [1, 2, 3, 4]


def test_a_key_of_its_own(path: Path, tmp_path: Path) -> None:
    key(path).unlink()
    assert refusal(path) is codes.KEY_MISSING
    (tmp_path / "other").mkdir()
    with open_state(tmp_path / "other" / "state") as state:
        state.accept("Codec", package(1))
        state.accept("Codec", package(2))
    (tmp_path / "other" / "state.key").rename(key(path))
    assert refusal(path) is codes.STATE_ALTERED


def test_an_altered_file(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"KB-2", b"KB-7"))
    assert refusal(path) is codes.STATE_ALTERED


def test_a_file_that_is_cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])
    assert refusal(path) is codes.STATE_TRUNCATED


def test_another_file(path: Path) -> None:
    path.write_bytes(b"MZ")
    assert refusal(path) is codes.STATE_FORMAT


def test_a_folder_is_no_file(path: Path) -> None:
    path.unlink()
    path.mkdir()
    assert refusal(path) is codes.STATE_UNWRITABLE


def test_a_large_file(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(33 << 20)
    assert refusal(path) is codes.STATE_LIMIT


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
@pytest.mark.usefixtures("mortal")
def test_what_cannot_be_written_is_not_accepted(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with open_state(path) as state, pytest.raises(HpbuildError) as caught:
            state.accept("Codec", package(3))
        assert caught.value.code is codes.STATE_UNWRITABLE
        assert sequences(path) == [1, 2]
    finally:
        path.parent.chmod(0o700)


def test_runs_at_once_take_turns(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "state"
    command = [sys.executable, "-c", ACCEPT, str(path)]
    runs = [
        subprocess.Popen([*command, name, "8"], cwd=root, text=True, stdout=subprocess.PIPE)
        for name in ("a", "b", "c")
    ]
    numbers = [int(line) for run in runs for line in run.communicate()[0].split()]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert sorted(numbers) == list(range(1, 25))
    assert sequences(path) == list(range(1, 25))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_run_leaves_the_old_file_or_the_new_one(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "state"
    chance = random.Random(5)
    reached = 0
    for turn in range(12):
        run = subprocess.Popen(
            [sys.executable, "-c", ACCEPT, str(path), f"t{turn}", "100000"], cwd=root, text=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        with run:
            assert run.stdout is not None
            said = run.stdout.readline()
            time.sleep(chance.random() / 20)
            run.send_signal(signal.SIGKILL)
            rest = run.stdout.read().split("\n")
        told = max(int(line) for line in [said, *rest[:-1]] if line.strip())
        found = sequences(path)
        assert found == list(range(1, len(found) + 1))
        assert len(found) in (told, told + 1)
        assert len(found) > reached
        reached = len(found)
