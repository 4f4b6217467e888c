import os
import stat
from pathlib import Path

import pytest

from hpbuild.codes import servicing as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.servicing.key_file import StateKey, key_path, new_key, read_key, write_key

posix = pytest.mark.skipif(os.name != "posix", reason="permission bits")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "state.key"
    write_key(made, StateKey(bytes(range(32)), 7))
    return made


def refusal(path: Path) -> Code:
    with pytest.raises(HpbuildError) as caught:
        read_key(path)
    return caught.value.code


def test_what_is_written_is_read_back(path: Path) -> None:
    assert read_key(path) == StateKey(bytes(range(32)), 7)
    assert key_path(path.with_name("state")) == path


def test_keys_differ_and_do_not_show() -> None:
    one, two = new_key(), new_key()
    assert one.secret != two.secret
    assert len(one.secret) == 32
    assert one.secret.hex() not in repr(one)


def test_a_missing_key_is_none(tmp_path: Path) -> None:
    assert read_key(tmp_path / "none") is None


@posix
def test_only_its_owner_reads_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_key(path, new_key())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601, 0o777])
def test_a_key_that_others_can_reach_fails(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert refusal(path) is codes.KEY_EXPOSED


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_key_of_another_user_fails(path: Path) -> None:
    os.chown(path, 12345, -1)
    assert refusal(path) is codes.KEY_EXPOSED


@posix
@pytest.mark.usefixtures("mortal")
def test_a_key_that_cannot_be_read_is_missing(path: Path) -> None:
    path.chmod(0)
    assert refusal(path) is codes.KEY_MISSING


@posix
def test_links_pipes_and_folders_are_no_keys(path: Path, tmp_path: Path) -> None:
    link, pipe, folder = tmp_path / "link", tmp_path / "pipe", tmp_path / "folder"
    link.symlink_to(path)
    os.mkfifo(pipe, 0o600)
    folder.mkdir(0o700)
    assert refusal(link) is codes.KEY_MISSING
    assert refusal(pipe) is codes.KEY_FORMAT
    assert refusal(folder) in (codes.KEY_FORMAT, codes.KEY_MISSING)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"\n",
        lambda data: data.replace(b"state-key:1", b"state-key:2"),
        lambda data: data.replace(b"00010203", b"000102"),
        lambda data: data.replace(b'"count":7', b'"count":-1'),
        lambda data: data.replace(b'"count":7', b'"count":7.0'),
        lambda data: data.replace(b'{"count"', b'{ "count"'),
        lambda data: data.replace(b'"count":7', b'"count":7,"more":1'),
        lambda data: data * 100,
    ],
)
def test_another_file_is_no_key(path: Path, change: object) -> None:
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    assert refusal(path) is codes.KEY_FORMAT


@posix
@pytest.mark.usefixtures("mortal")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(HpbuildError) as caught:
        write_key(tmp_path / "k", new_key())
    assert caught.value.code is codes.STATE_UNWRITABLE
