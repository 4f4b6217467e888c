"""Opening files safely, mapping, and the cross-check with pefile."""

import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hpbuild.codes import pe as codes
from hpbuild.pe import reader
from hpbuild.pe.reader import parse_image, read_file, read_image


def test_real_file(binaries):
    path = binaries / "baseline" / "codec.dll"
    image = read_image(path)
    assert (image.name, image.data) == ("codec.dll", path.read_bytes())
    text = image.sections[0]
    assert image.read(text.rva, 16) == image.data[text.raw_offset : text.raw_offset + 16]
    assert not image.memory.flags.writeable


def test_missing_file(tmp_path, refuses):
    refuses(codes.FILE_NOT_FOUND, read_image, tmp_path / "none.dll")
    refuses(codes.FILE_NOT_FOUND, read_image, Path("a\0b"))
    (tmp_path / "file").write_bytes(b"x")
    refuses(codes.FILE_NOT_FOUND, read_image, tmp_path / "file" / "below")


def test_directory(tmp_path, refuses):
    refuses(codes.IS_A_DIRECTORY, read_image, tmp_path)


def test_empty_file(tmp_path, refuses):
    (tmp_path / "empty.dll").touch()
    refuses(codes.EMPTY_FILE, read_image, tmp_path / "empty.dll")


def test_too_large(tmp_path, refuses):
    with (tmp_path / "huge.dll").open("wb") as stream:
        stream.truncate(reader.MAX_FILE + 1)
    refuses(codes.FILE_TOO_LARGE, read_image, tmp_path / "huge.dll")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_refused_without_waiting(tmp_path, refuses):
    os.mkfifo(tmp_path / "pipe")
    refuses(codes.SPECIAL_FILE, read_image, tmp_path / "pipe")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no device files")
def test_device(refuses):
    refuses(codes.SPECIAL_FILE, read_image, Path("/dev/zero"))


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_no_permission(tmp_path):
    path = tmp_path / "secret.dll"
    path.write_bytes(b"MZ")
    path.chmod(0)
    # A process of its own, because root must drop its rights first.
    script = (
        "import os, sys, pathlib\n"
        "from hpbuild.errors import HpbuildError\n"
        "from hpbuild.pe.reader import read_file\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: read_file(pathlib.Path('secret.dll'))\n"
        "except HpbuildError as error: print(error.code.id)\n"
    )
    paths = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stdout.strip() == codes.NO_PERMISSION.id, run.stderr


@pytest.mark.skipif(os.name != "posix", reason="symbolic links need no privilege on POSIX")
def test_unreadable_for_another_reason(tmp_path, refuses):
    (tmp_path / "loop").symlink_to("loop")
    refuses(codes.READ_FAILED, read_image, tmp_path / "loop")


@pytest.mark.parametrize("change", ["grow", "shrink", "touch"])
def test_file_that_changes_while_it_is_read(tmp_path, refuses, monkeypatch, change):
    path = tmp_path / "busy.dll"
    path.write_bytes(b"x" * 1000)
    plain_read = os.read
    done = threading.Event()

    def read_and_change(descriptor, size):
        data = plain_read(descriptor, size)
        if not done.is_set():
            done.set()
            if change == "touch":
                os.utime(path, ns=(1, 1))
            else:
                path.write_bytes(b"y" * (2000 if change == "grow" else 10))
        return data

    monkeypatch.setattr(os, "read", read_and_change)
    refuses(codes.FILE_CHANGED, read_file, path)


def test_mapping(pe):
    pe.section(b".data", b"\xaa" * 0x1200, size=0x10)
    pe.section(b".bss", b"", size=0x2000)
    image = pe.image()
    assert image.memory.shape == (image.size_of_image,) == (0x5000,)
    assert image.read(0, 2) == b"MZ"
    assert image.read(0x400, 0xC00) == bytes(0xC00)
    assert image.read(0x1000, 0x1000) == b"\xcc" * 0x1000
    assert image.read(0x2000, 0x1000) == b"\xaa" * 0x1000
    assert not np.any(image.memory[0x3000:])


def test_ambiguous_image(pe, refuses):
    # pefile gives up at a section whose empty raw data lie outside the file; the loader does not care.
    pe.section(b".bss", b"", size=0x1000)
    data = bytearray(pe.build())
    struct.pack_into("<I", data, 0x188 + 40 + 20, 0xFFFFFF01)
    error = refuses(codes.AMBIGUOUS_IMAGE, parse_image, bytes(data), "x")
    assert "sections" in error.finding.cause


def test_dotnet_assembly(pe, refuses):
    pe.table(14, struct.pack("<IHHIII", 72, 2, 5, 0, 0, 1) + b"\0" * 52)
    refuses(codes.DOTNET_ONLY, parse_image, pe.build(), "x")


def portable_assembly(pe, flags):
    """A 32-bit image whose CLR header has ``flags``: what compilers make for any processor."""
    rva = pe.section(b".clr", struct.pack("<IHHIII", 72, 2, 5, 0, 0, flags) + b"\0" * 52)
    data = bytearray(pe.build(machine=0x14C, magic=0x10B))
    struct.pack_into("<I", data, 0x98 + 92, 16)
    struct.pack_into("<II", data, 0x98 + 96 + 8 * 14, rva, 72)
    return bytes(data)


def test_dotnet_assembly_for_any_processor(pe, refuses):
    data = portable_assembly(pe, 1)
    refuses(codes.DOTNET_ONLY, parse_image, data, "x")
    for end in range(0x98 + 112, 0x400):
        refuses(codes.MACHINE_32_BIT, parse_image, data[:end], "x")


def test_mixed_32_bit_assembly(pe, refuses):
    refuses(codes.MACHINE_32_BIT, parse_image, portable_assembly(pe, 0x10), "x")


def test_mixed_assembly_is_accepted(pe):
    pe.table(14, struct.pack("<IHHIII", 72, 2, 5, 0, 0, 0x10) + b"\0" * 52)
    assert pe.image().machine == 0x8664


def test_arm64ec(pe, refuses):
    config = bytearray(0x140)
    struct.pack_into("<I", config, 0, 0x140)
    struct.pack_into("<Q", config, 0xC8, 0x180001000)
    pe.table(10, bytes(config))
    refuses(codes.ARM64_HYBRID, parse_image, pe.build(), "x")


def test_importing_the_reader_loads_no_parser():
    script = "import hpbuild.pe.reader, sys; print([m for m in ('lief', 'pefile') if m in sys.modules])"
    paths = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
    run = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == "[]"
