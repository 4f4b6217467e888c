"""The cache as a whole: kept, found, damaged, full, shared."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpbuild.cache.store import SUFFIX, UNFINISHED, Store, open_store

Value = tuple[int, ...]
SMALL = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found, why = open_store(tmp_path / "cache", SMALL, "engine")
    assert found is not None, why
    return found


def file_of(store: Store, key: str) -> Path:
    (path,) = store.folder.glob(f"{key}*")
    return path


def test_what_is_kept_is_found(store: Store) -> None:
    key = store.key("numbers", "a")
    assert store.recall(key, Value) is None
    store.keep(key, Value, (1, 2, 3))
    assert store.recall(key, Value) == (1, 2, 3)
    assert store.recall(store.key("numbers", "b"), Value) is None


def test_names_depend_on_engine_kind_and_parts(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "cache", SMALL, "another engine")
    keys = {
        store.key("numbers", "a", "b"),
        store.key("numbers", "ab"),
        store.key("numbers", "a", "b", ""),
        store.key("texts", "a", "b"),
        other.key("numbers", "a", "b"),
    }
    assert len(keys) == 5


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_files_are_the_user_s_alone(store: Store) -> None:
    store.keep(store.key("n"), Value, (1,))
    assert [path.stat().st_mode & 0o777 for path in store.folder.iterdir()] == [0o600]


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    "damage", [flipped, lambda data: data[:50], lambda data: b"", lambda data: data + b"x"]
)
def test_a_damaged_file_is_a_miss_and_is_replaced(store: Store, damage: Callable[[bytes], bytes]) -> None:
    key = store.key("n")
    store.keep(key, Value, (1, 2))
    path = file_of(store, key)
    path.write_bytes(damage(path.read_bytes()))
    assert store.recall(key, Value) is None
    store.keep(key, Value, (1, 2))
    assert store.recall(key, Value) == (1, 2)


def test_the_file_of_another_key_or_type_is_a_miss(store: Store) -> None:
    one, two = store.key("one"), store.key("two")
    store.keep(one, Value, (1,))
    file_of(store, one).rename(store.folder / (two + SUFFIX))
    assert store.recall(two, Value) is None
    store.keep(one, Value, (1,))
    assert store.recall(one, tuple[str, ...]) is None


def test_a_pickle_is_never_loaded(store: Store) -> None:
    key = store.key("n")
    (store.folder / (key + SUFFIX)).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert store.recall(key, Value) is None


def test_what_was_not_used_for_the_longest_time_goes_first(store: Store) -> None:
    keys = [store.key(str(number)) for number in range(6)]
    value = tuple(range(-1, 24000))
    for age, key in enumerate(keys):
        store.keep(key, Value, value)
        if age < 5:
            os.utime(file_of(store, key), (age + 1, age + 1))
        if age == 3:
            assert store.recall(keys[0], Value) is not None  # used now
    found = [store.recall(key, Value) is not None for key in keys]
    assert found == [True, False, True, True, True, True]
    assert sum(path.stat().st_size for path in store.folder.iterdir()) <= SMALL


def test_many_small_results_stay_about_within_the_limit(store: Store) -> None:
    value = tuple(range(-1, 250))
    for number in range(900):
        store.keep(store.key(str(number)), Value, value)
    sizes = [path.stat().st_size for path in store.folder.iterdir()]
    assert SMALL / 2 < sum(sizes) < SMALL * 1.25
    assert sum(sizes) < 900 * sizes[0]


def test_one_result_does_not_fill_the_cache(store: Store) -> None:
    store.keep(store.key("n"), Value, tuple(range(-1, 40000)))
    assert list(store.folder.iterdir()) == []


def test_unfinished_files_of_runs_that_died_are_removed(store: Store) -> None:
    old, new = store.folder / ("old" + UNFINISHED), store.folder / ("new" + UNFINISHED)
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    store.trim()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_that_went_away_only_means_nothing_is_kept(store: Store) -> None:
    store.folder.rmdir()
    store.keep(store.key("n"), Value, (1,))
    assert store.recall(store.key("n"), Value) is None


@pytest.mark.parametrize(("limit", "engine"), [(0, "engine"), (SMALL, "")])
def test_fail_no_room_or_no_engine(tmp_path: Path, limit: int, engine: str) -> None:
    store, why = open_store(tmp_path / "cache", limit, engine)
    assert store is None
    assert why


SHARING = """
import sys
from pathlib import Path
from hpbuild.cache.store import Store
store = Store(Path(sys.argv[1]), 1 << 18, "engine")
Value = tuple[int, ...]
seed = int(sys.argv[2])
for turn in range(150):
    number = (turn * 7 + seed) % 11
    expected = tuple(range(-1, 1500 + number))
    found = store.recall(store.key(str(number)), Value)
    assert found in (None, expected), number
    store.keep(store.key(str(number)), Value, expected)
"""


def test_runs_that_share_a_cache_find_whole_results(store: Store, root: Path) -> None:
    """Three at a time read, write and evict the same few results."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SHARING, str(store.folder), str(seed)], cwd=root, stderr=subprocess.PIPE
        )
        for seed in range(3)
    ]
    for run in runs:
        _, err = run.communicate(timeout=600)
        assert run.returncode == 0, err
    assert not list(store.folder.glob("*" + UNFINISHED))
