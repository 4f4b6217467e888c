"""Files that are no baseline: each with its code and exit status, and never with an output."""

import ctypes
import hashlib
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PE = 0x78
"""Offset of the PE signature in the images that lld links."""
MACHINE, OPTIONAL = PE + 4, PE + 24
CLR = OPTIONAL + 112 + 8 * 14
I386, ARM64 = 0x14C, 0xAA64

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def with_machine(machine: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        assert struct.unpack_from("<H", data, MACHINE) == (0x8664,)
        struct.pack_into("<H", changed, MACHINE, machine)
        return bytes(changed)

    return change


def as_32_bit(data: bytes) -> bytes:
    """The headers of a 32-bit image around the same sections."""
    changed = bytearray(with_machine(I386)(data))
    struct.pack_into("<H", changed, OPTIONAL, 0x10B)
    return bytes(changed)


def as_assembly(data: bytes) -> bytes:
    """With a CLR header that says that there is no native code, in the place of the DOS program."""
    changed = bytearray(data)
    rva, offset = struct.unpack_from("<I4xI", data, OPTIONAL + 240 + 40 + 12)
    struct.pack_into("<IHHIII", changed, offset, 72, 2, 5, 0, 0, 1)
    struct.pack_into("<II", changed, CLR, rva, 72)
    return bytes(changed)


BAD: dict[str, tuple[Callable[[bytes], bytes], str, int]] = {
    "empty": (lambda data: b"", "HP1005", 4),
    "text": (lambda data: b"no image at all\n" * 40, "HP1010", 4),
    "script": (lambda data: b"#!/bin/sh\n" + data, "HP1010", 4),
    "dos-only": (lambda data: data[:PE] + b"NE" + data[PE + 2 :], "HP1010", 4),
    "archive": (lambda data: b"PK\3\4" + data[4:], "HP1010", 4),
    "cut-in-dos-header": (lambda data: data[:40], "HP1011", 4),
    "cut-in-headers": (lambda data: data[: OPTIONAL + 8], "HP1011", 4),
    "cut-in-section-table": (lambda data: data[: OPTIONAL + 240 + 30], "HP1011", 4),
    "cut-in-first-section": (lambda data: data[:0x500], "HP1011", 4),
    "cut-by-one-byte": (lambda data: data[:-1], "HP1011", 4),
    "32-bit": (as_32_bit, "HP1012", 2),
    "arm64": (with_machine(ARM64), "HP1013", 2),
    "itanium": (with_machine(0x200), "HP1014", 2),
    "assembly": (as_assembly, "HP1017", 2),
}


def build(hpbuild: Any, baseline: Path, fixed: Path, folder: Path, **how: Any) -> Any:
    """Build into an own folder, which must be empty afterwards."""
    folder.mkdir()
    out = ("-o", folder / "x.hpb", "--id", "T", "--sequence", 1, "--format", "json")
    run = hpbuild("build", baseline, fixed, *out, **how)
    assert not list(folder.iterdir())
    return run


@pytest.mark.parametrize("name", BAD)
def test_bad_files(hpbuild: Any, work: Any, name: str) -> None:
    change, code, status = BAD[name]
    bad = work.folder / "bad" / "codec.dll"
    bad.parent.mkdir()
    bad.write_bytes(change(work.baseline.read_bytes()))
    run = build(hpbuild, bad, work.fixed, work.folder / "out")
    assert run.error() == (status, code)
    error = run.document()["error"]
    assert error["place"] in (str(bad), bad.name)
    assert error["cause"]
    assert error["remedy"]


@pytest.mark.parametrize("name", ["text", "cut-by-one-byte", "arm64", "assembly"])
def test_bad_fixed_files_in_text(hpbuild: Any, work: Any, name: str) -> None:
    change, code, status = BAD[name]
    work.fixed.write_bytes(change(work.fixed.read_bytes()))
    run = hpbuild("diff", work.baseline, work.fixed)
    assert run.status == status
    assert run.out == ""
    assert run.err.startswith(f"error: {code} ")
    assert f"hpbuild explain {code}" in run.err


def test_a_directory_against_a_file(hpbuild: Any, work: Any) -> None:
    run = build(hpbuild, work.baseline.parent, work.fixed, work.folder / "out")
    assert run.error() == (2, "HP3030")


def test_directories_without_images(hpbuild: Any, work: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text(name)
    run = build(hpbuild, tmp_path / "a", tmp_path / "b", tmp_path / "out")
    assert run.error() == (3, "HP9011")


def test_a_broken_image_inside_a_tree(hpbuild: Any, work: Any) -> None:
    work.fixed.write_bytes(work.fixed.read_bytes()[:-1])
    run = build(hpbuild, work.baseline.parent, work.fixed.parent, work.folder / "out")
    assert run.error() == (4, "HP1011")


def test_a_missing_file(hpbuild: Any, work: Any) -> None:
    run = build(hpbuild, work.folder / "absent.dll", work.fixed, work.folder / "out")
    assert run.error() == (2, "HP1001")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe(hpbuild: Any, work: Any) -> None:
    pipe = work.folder / "pipe.dll"
    os.mkfifo(pipe)
    assert build(hpbuild, pipe, work.fixed, work.folder / "out").error() == (2, "HP1004")


@pytest.fixture
def plain_account() -> dict[str, Any]:
    """Arguments for a process that has no right to read what its permissions forbid."""
    if sys.platform == "win32":
        pytest.skip("permissions work otherwise on Windows")
    if os.geteuid() != 0:
        return {}
    if sys.platform != "linux":
        pytest.skip("the superuser may read everything")
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def drop() -> None:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")

    return {"preexec_fn": drop}


def test_no_permission_to_read(hpbuild: Any, work: Any, plain_account: dict[str, Any]) -> None:
    work.fixed.chmod(0)
    run = build(hpbuild, work.baseline, work.fixed, work.folder / "out", **plain_account)
    assert run.error() == (2, "HP1003")
    work.package.chmod(0)
    run = hpbuild("verify", work.package, "--key", work.public, **plain_account)
    assert run.status == 2
    assert "HP4803" in run.out
    trust = ("--key", work.public, "--format", "json")
    run = hpbuild("inspect", work.package, "--format", "json", **plain_account)
    assert run.error() == (2, "HP9004")
    work.package.chmod(0o600)
    work.baseline.chmod(0)
    run = hpbuild("verify", work.package, *trust, "--installed", work.baseline, **plain_account)
    assert run.status in (2, 6)
    work.key.chmod(0)
    run = hpbuild("sign", work.package, "--key", f"file:{work.key}", "--format", "json", **plain_account)
    status, code = run.error()
    assert status in (2, 6)
    assert code.startswith(("HP4", "HP5"))


def test_no_permission_inside_a_tree(hpbuild: Any, work: Any, plain_account: dict[str, Any]) -> None:
    for side in (work.baseline.parent, work.fixed.parent):
        shutil.copytree(side, side / "locked")
    (work.fixed.parent / "locked").chmod(0)
    try:
        run = build(hpbuild, work.baseline.parent, work.fixed.parent, work.folder / "out", **plain_account)
    finally:
        (work.fixed.parent / "locked").chmod(0o755)
    assert run.error() == (2, "HP9004")


def test_no_permission_to_write(hpbuild: Any, work: Any, plain_account: dict[str, Any]) -> None:
    locked = work.folder / "locked"
    locked.mkdir(mode=0o555)
    out = ("-o", locked / "x.hpb", "--id", "T", "--sequence", 1, "--format", "json")
    run = hpbuild("build", work.baseline, work.fixed, *out, **plain_account)
    assert run.error() == (2, "HP4803")
    assert not list(locked.iterdir())


REPLACE = """
import os, pathlib, sys
target, first, second = map(pathlib.Path, sys.argv[1:4])
contents = first.read_bytes(), second.read_bytes()
parts = [part for whole in contents for part in (whole[: len(whole) // 2], whole)]
print("ready", flush=True)
while True:
    for content in contents if sys.argv[4] == "rename" else parts:
        if sys.argv[4] == "rename":
            other = target.with_suffix(".new")
            other.write_bytes(content)
            os.replace(other, target)
        else:
            target.write_bytes(content)
"""


@pytest.mark.parametrize("manner", ["rename", "rewrite"])
def test_a_file_that_is_being_replaced(hpbuild: Any, work: Any, manner: str) -> None:
    """Replaced by renaming: one of the two files, or a code. Rewritten in place: a code or a result."""
    busy = work.folder / "busy.dll"
    sources = (work.baseline, work.fixed)
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in sources}
    shutil.copy(work.baseline, busy)
    writer = subprocess.Popen(
        [sys.executable, "-c", REPLACE, str(busy), *map(str, sources), manner],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        runs = [hpbuild("inspect", busy, "--format", "json") for _ in range(6)]
        built = build_or_nothing(hpbuild, busy, work.fixed, work.folder / "out")
    finally:
        writer.kill()
        writer.communicate()
    for run in runs:
        if run.status == 0:
            assert manner == "rewrite" or run.document()["pin"]["sha256"] in hashes
        else:
            status, code = run.error()
            assert status in (2, 4, 6)
            assert code.startswith(("HP1", "HP9"))
    assert built.status in (0, 1, 2, 3, 4, 6)


def build_or_nothing(hpbuild: Any, baseline: Path, fixed: Path, folder: Path) -> Any:
    """Build into an own folder, which afterwards holds a package when the status is 0, else nothing."""
    folder.mkdir()
    out = ("-o", folder / "x.hpb", "--id", "T", "--sequence", 1, "--format", "json")
    run = hpbuild("build", baseline, fixed, *out)
    assert [path.name for path in folder.iterdir()] == (["x.hpb"] if run.status == 0 else [])
    return run
