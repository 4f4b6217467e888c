"""Lines of ``/proc/PID/maps``, the files behind them, and Windows paths under Wine."""

import os
from pathlib import Path

import pytest

from hpbuild.pe.processes.environment import wine_prefix
from hpbuild.pe.processes.mappings import mapped_file, parse_mappings, translated_path


def line(path: Path, start: int = 0x10000, inode: int | None = None) -> bytes:
    status = path.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    name = os.fsencode(path).replace(b"\n", b"\\012")
    head = f"{start:x}-{start + 0x1000:x} r--p 00000000 {device} {inode or status.st_ino} "
    return head.encode().ljust(73) + name


def test_lines() -> None:
    raw = (
        b"00010000-00012000 r--s 00000000 fe:00 1549903                            /usr/a b.nls\n"
        b"00022000-01120000 rw-p 00000000 00:00 0 \n"
        b"not a line\n"
        b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
    )
    found = parse_mappings(raw)
    assert [(each.start, each.end, each.flags, each.inode, each.path) for each in found] == [
        (0x10000, 0x12000, "r--s", 1549903, b"/usr/a b.nls"),
        (0x22000, 0x1120000, "rw-p", 0, b""),
        (0xFFFFFFFFFF600000, 0xFFFFFFFFFF601000, "--xp", 0, b"[vsyscall]"),
    ]
    assert [each.is_private_memory for each in found] == [False, True, False]


def test_the_file_behind_an_image(tmp_path: Path) -> None:
    for name in ("plain.dll", "line\nbreak.dll"):
        file = tmp_path / name
        file.write_bytes(b"x")
        assert mapped_file(parse_mappings(line(file)), 0x10000) == file
        assert mapped_file(parse_mappings(line(file)), 0x12000) is None
        assert mapped_file(parse_mappings(line(file, inode=file.stat().st_ino + 1)), 0x10000) is None
        assert mapped_file(parse_mappings(line(file) + b" (deleted)"), 0x10000) is None
        mapped = parse_mappings(line(file))
        file.unlink()
        assert mapped_file(mapped, 0x10000) is None


def test_prefix() -> None:
    assert wine_prefix({"WINEPREFIX": "/p", "HOME": "/h"}) == Path("/p")
    assert wine_prefix({"HOME": "/h"}) == Path("/h/.wine")
    assert wine_prefix({}) is None


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    drive = tmp_path / "drive_c" / "Program Files"
    drive.mkdir(parents=True)
    (drive / "Codec.dll").write_bytes(b"x")
    (tmp_path / "dosdevices").mkdir()
    (tmp_path / "dosdevices" / "c:").symlink_to("../drive_c")
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [r"C:\Program Files\Codec.dll", r"c:\PROGRAM FILES\codec.DLL", r"\??\C:\Program Files\Codec.dll",
     r"\\?\C:\Program Files\Codec.dll"],
)  # fmt: skip
def test_windows_paths(prefix: Path, path: str) -> None:
    assert translated_path(path, prefix) == prefix / "drive_c" / "Program Files" / "Codec.dll"


@pytest.mark.parametrize(
    "path",
    [r"C:\Program Files", r"C:\none.dll", r"D:\Codec.dll", r"Codec.dll", r"C:Codec.dll",
     r"\\server\share\x.dll", r"C:\..\..\x", "", "C:\\a\0b", "C:\\" + "x" * 5000],
)  # fmt: skip
def test_windows_paths_without_a_file(prefix: Path, path: str) -> None:
    assert translated_path(path, prefix) is None
    assert translated_path(path, None) is None


def test_two_files_that_differ_in_case(prefix: Path) -> None:
    (prefix / "drive_c" / "Program Files" / "CODEC.dll").write_bytes(b"y")
    assert translated_path(r"C:\Program Files\codec.dll", prefix) is None
    assert translated_path(r"C:\Program Files\CODEC.dll", prefix) is not None
