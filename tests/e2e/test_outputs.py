"""Outputs appear whole or not at all, on full disks, wrong paths, closed streams and interruptions."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

STAGES = ("decode", "compare", "link", "prove codec.dll 2/", "prove codec.dll 7/")
"""Lines of the build's log (-vv), early to late."""
POSIX = pytest.mark.skipif(os.name != "posix", reason="limits, signals and streams of POSIX")
BUILD = ("--id", "T", "--sequence", 1)


def limit_file_size() -> None:
    """In the child: no file may grow beyond 4 KiB, as on a full disk; Python ignores the signal."""
    import resource  # absent on Windows

    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


ON_A_FULL_DISK: dict[str, Any] = {
    "preexec_fn": limit_file_size,
    "env": {"PYTHONDONTWRITEBYTECODE": "1"},  # a module's cut short would break every later process
}


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below the folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@POSIX
def test_build_into_a_full_disk(hpbuild: Any, work: Any) -> None:
    out = work.folder / "out"
    out.mkdir()
    arguments = ("build", work.baseline, work.fixed, "-o", out / "x.hpb", *BUILD, "--format", "json")
    assert hpbuild(*arguments, **ON_A_FULL_DISK).error() == (5, "HP4805")
    assert not list(out.iterdir())


@POSIX
def test_sign_on_a_full_disk_leaves_the_package(hpbuild: Any, work: Any) -> None:
    before = contents(work.folder)
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", work.folder.parent / "n").status == 0
    arguments = ("sign", work.package, "--key", f"file:{work.folder.parent / 'n.key'}", "--format", "json")
    assert hpbuild(*arguments, **ON_A_FULL_DISK).error() == (5, "HP4805")
    assert contents(work.folder) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 KiB."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if sys.platform != "linux" or os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("only the superuser of Linux can make a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run([umount, str(folder)], check=True)


def test_build_and_keys_onto_a_small_disk(hpbuild: Any, work: Any, small_disk: Path) -> None:
    arguments = ("build", work.baseline, work.fixed, "-o", small_disk / "x.hpb", *BUILD, "--format", "json")
    assert hpbuild(*arguments).error() == (5, "HP4805")
    assert not list(small_disk.iterdir())
    (small_disk / "filler").write_bytes(b"x" * 8192)
    arguments = ("keys", "generate", "--no-passphrase", "-o", small_disk / "k", "--format", "json")
    assert hpbuild(*arguments).error() == (5, "HP4805")
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_results_onto_a_full_disk(hpbuild: Any, release: Any) -> None:
    with Path("/dev/full").open("w") as full:
        for form in ("text", "json"):
            run = hpbuild("verify", release.package, "--key", release.public, "--format", form, stdout=full)
            assert run.status == 5
    run = hpbuild("build", release.baseline, release.fixed, "-o", "/dev/full", *BUILD, "--format", "json")
    assert run.error() == (2, "HP4802")


def test_output_paths_that_cannot_be(hpbuild: Any, work: Any) -> None:
    build = ("build", work.baseline, work.fixed, *BUILD, "--format", "json", "-o")
    before = contents(work.folder)
    assert hpbuild(*build, work.baseline.parent).error() == (2, "HP4802")
    assert hpbuild(*build, work.folder / "absent" / "x.hpb").error() == (2, "HP4801")
    assert hpbuild(*build, work.package / "x.hpb").error() == (2, "HP4801")
    assert hpbuild(*build, work.fixed).error() == (2, "HP9001")
    sign = ("sign", work.package, "--key", f"file:{work.key}", "--format", "json", "-o")
    status, code = hpbuild(*sign, work.folder / "absent" / "x.hpb").error()
    assert status in (1, 2)
    assert code.startswith("HP")
    keys = ("keys", "generate", "--no-passphrase", "--format", "json", "-o")
    assert hpbuild(*keys, work.folder / "absent" / "k").error() == (2, "HP4801")
    status, code = hpbuild(*keys, work.key.with_suffix("")).error()
    assert code == "HP4807"
    assert contents(work.folder) == before


def close(*numbers: int) -> Callable[[], None]:
    def in_child() -> None:
        for number in numbers:
            os.close(number)

    return in_child


@POSIX
@pytest.mark.parametrize("numbers", [(1,), (0, 1, 2)])
def test_closed_streams_keep_the_status(hpbuild: Any, work: Any, numbers: tuple[int, ...]) -> None:
    closed = {"preexec_fn": close(*numbers)}
    verify = ("verify", work.package, "--key", work.public, "--installed")
    assert hpbuild(*verify, work.fixed, **closed).status == 3
    assert hpbuild("diff", "absent", "absent", "--format", "json", **closed).status == 2
    out = work.folder / "closed.hpb"
    build = ("build", work.baseline, work.fixed, "-o", out, "--advisory", "CVE-2024-0001")
    assert hpbuild(*build, "--id", "T-1", "--sequence", 1, **closed).status == 0
    assert hpbuild("compare", out, work.package).status == 0


@POSIX
def test_ctrl_c_during_build(start: Any, hpbuild: Any, work: Any) -> None:
    """At every stage HP9002 and no package; a whole one when the build was quicker than the signal."""
    whole = work.folder / "whole.hpb"
    assert hpbuild("build", work.baseline, work.fixed, "-o", whole, *BUILD).status == 0
    interrupted, number = 0, 0
    while number < len(STAGES) or not interrupted:
        stage = STAGES[number % len(STAGES)]
        assert number < 20 * len(STAGES), "the build is always quicker"
        folder = work.folder / f"out-{number}"
        folder.mkdir()
        number += 1
        log = ""
        with start("build", work.baseline, work.fixed, "-o", folder / "x.hpb", *BUILD, "-vv") as running:
            try:
                for line in running.stderr:
                    log += line
                    if stage in line:
                        running.send_signal(signal.SIGINT)
                        break
                _, rest = running.communicate(timeout=900)
            finally:
                running.kill()
        left = [path.name for path in folder.iterdir()]
        if left == ["x.hpb"]:
            assert (folder / "x.hpb").read_bytes() == whole.read_bytes(), stage
            assert running.returncode in (0, 1), (stage, log + rest)
            continue
        assert (running.returncode, left) == (1, []), (stage, log + rest)
        assert "HP9002" in log + rest
        assert "Traceback" not in log + rest
        interrupted += 1
    assert interrupted


def test_colours(hpbuild: Any, release: Any) -> None:
    verify = ("verify", release.package, "--key", release.public)
    assert "\x1b" not in hpbuild(*verify).out
    assert "\x1b" in hpbuild(*verify, "--color", "always").out
    assert "\x1b" not in hpbuild(*verify, "--color", "never").out


def all_of(master: int) -> bytes:
    """What was shown on a terminal that nobody has open any more; it comes in parts."""
    shown = b""
    while True:
        try:
            part = os.read(master, 1 << 16)
        except OSError:  # how Linux tells that the other side is closed
            return shown
        if not part:
            return shown
        shown += part


@POSIX
@pytest.mark.parametrize(("value", "coloured"), [("", True), ("1", False)])
def test_no_color_on_a_terminal(hpbuild: Any, release: Any, value: str, coloured: bool) -> None:
    master, terminal = os.openpty()
    try:
        env = {"NO_COLOR": value, "TERM": "xterm"}
        verify = ("verify", release.package, "--key", release.public)
        assert hpbuild(*verify, env=env, stdout=terminal).status == 0
        os.close(terminal)
        shown = all_of(master)
    finally:
        os.close(master)
    assert b"verified" in shown
    assert (b"\x1b[" in shown) is coloured
