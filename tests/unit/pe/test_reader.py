"""Mapping, and the cross-check with pefile."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

from hpbuild.codes import pe as codes
from hpbuild.pe.reader import parse_image, read_image


def test_real_file(binaries):
    path = binaries / "baseline" / "codec.dll"
    image = read_image(path)
    assert (image.name, image.data) == ("codec.dll", path.read_bytes())
    text = image.sections[0]
    assert image.read(text.rva, 16) == image.data[text.raw_offset : text.raw_offset + 16]
    assert not image.memory.flags.writeable


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
