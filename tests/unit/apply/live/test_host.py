"""How a program is started beside a process."""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hpbuild.apply.live.host import Host, host_of, native_host, wine_host
from hpbuild.codes import driver as codes
from hpbuild.codes.process import PROCESS_GONE
from hpbuild.errors import HpbuildError
from hpbuild.pe.processes import LoadedModule, Process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Wine on Linux")


class Nothing:
    """A memory that is never read."""

    def read(self, address: int, size: int) -> bytes:
        raise AssertionError(f"{size} bytes at {address:#x}")


def process(pid: int, environment: Mapping[str, str]) -> Process:
    modules: tuple[LoadedModule, ...] = ()
    return Process(pid=pid, windows_pid=32, memory=Nothing(), modules=modules, environment=environment)


@pytest.fixture
def loader(tmp_path: Path) -> Path:
    path = tmp_path / "wine"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_courier_gets_the_process_own_wine(
    tmp_path: Path, loader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINEPREFIX", "/elsewhere")
    monkeypatch.setenv("WINEARCH", "win32")
    theirs = {"WINELOADER": str(loader), "HOME": "/home/x", "WINEDLLPATH": "/dlls", "WINELOADERNOEXEC": "1"}
    host = host_of(process(os.getpid(), {**theirs, "WINEPREFIX": str(tmp_path)}))
    assert host.loader == (str(loader),)
    assert host.environment["WINEPREFIX"] == str(tmp_path)
    assert host.environment["HOME"] == "/home/x"
    assert host.environment["WINEDLLPATH"] == "/dlls"
    assert "WINEARCH" not in host.environment
    assert "WINELOADERNOEXEC" not in host.environment
    assert (host.user, host.group) == (None, None)
    assert host.drives == tmp_path / "dosdevices"
    without = host_of(process(os.getpid(), theirs))
    assert "WINEPREFIX" not in without.environment
    assert without.drives == Path("/home/x/.wine/dosdevices")


@pytest.mark.parametrize("theirs", [{"TMPDIR": "/theirs"}, {}])
def test_the_courier_meets_the_server_where_the_process_does(
    loader: Path, monkeypatch: pytest.MonkeyPatch, theirs: dict[str, str]
) -> None:
    monkeypatch.setenv("TMPDIR", "/ours")
    host = host_of(process(os.getpid(), {"WINELOADER": str(loader), **theirs}))
    assert host.environment.get("TMPDIR") == theirs.get("TMPDIR")


def test_paths_by_drive_letter_and_without(tmp_path: Path) -> None:
    drives = tmp_path / "dosdevices"
    (tmp_path / "drive_c" / "deep").mkdir(parents=True)
    drives.mkdir()
    (drives / "c:").symlink_to("../drive_c")
    (drives / "d:").symlink_to("../gone")
    (drives / "com1").symlink_to("/dev/null")
    host = Host(loader=("wine",), environment={}, drives=drives)
    assert host.path_inside(tmp_path / "drive_c" / "deep" / "a.order") == r"C:\deep\a.order"
    assert host.path_inside(Path("/x/a.order")) == r"\\?\unix\x\a.order"
    (drives / "z:").symlink_to("/")
    assert host.path_inside(Path("/x/a.order")) == r"Z:\x\a.order"
    assert host.path_inside(tmp_path / "drive_c" / "a") == r"C:\a"
    assert Host(loader=("wine",), environment={}).path_inside(Path("/x")) == r"\\?\unix\x"
    assert native_host().path_inside(Path("/x/a.order")) == "/x/a.order"


def test_no_wine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WINELOADER", raising=False)
    for find in (wine_host, lambda: host_of(process(os.getpid(), {}))):
        with pytest.raises(HpbuildError) as caught:
            find()
        assert caught.value.code is codes.WINE_MISSING


def test_wine_for_a_new_program(loader: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WINELOADER", raising=False)
    monkeypatch.setenv("WINELOADERNOEXEC", "1")
    host = wine_host()
    assert host.loader == (str(loader),)
    assert "WINELOADERNOEXEC" not in host.environment


def test_a_process_that_is_gone() -> None:
    with pytest.raises(HpbuildError) as caught:
        host_of(process(2**22 + 1, {}))
    assert caught.value.code is PROCESS_GONE


def test_on_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(HpbuildError) as caught:
        host_of(process(os.getpid(), {}))
    assert caught.value.code is codes.SYSTEM_UNSUPPORTED


def _as_nobody(loader: str, answers: "multiprocessing.SimpleQueue[str]") -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        host_of(process(1, {"WINELOADER": loader}))
    except HpbuildError as error:
        answers.put(error.code.id)
    else:
        answers.put("accepted")


def test_another_users_process(loader: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    child = context.Process(target=_as_nobody, args=(str(loader), answers))
    child.start()
    child.join(30)
    assert answers.get() == codes.FOREIGN_USER.id
