"""Patch images in the eyes of pefile, LIEF, llvm-objdump and our own tables of relocations and unwinding."""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import lief
import pefile

from hpbuild.patchimage.link import LinkedImage
from hpbuild.pe.reader import parse_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.unwind import runtime_functions


def test_pefile_finds_everything(sample: LinkedImage) -> None:
    with pefile.PE(data=sample.data) as image:
        assert image.verify_checksum()
        sites = [
            entry.rva for block in image.DIRECTORY_ENTRY_BASERELOC for entry in block.entries if entry.type
        ]
        assert sites == list(sample.fixups.addr64)
        assert [row.struct.BeginAddress for row in image.DIRECTORY_ENTRY_EXCEPTION] == list(
            sample.chunk_rvas[:2]
        )
        assert all(row.unwindinfo.CountOfCodes == 1 for row in image.DIRECTORY_ENTRY_EXCEPTION)
        assert not image.get_overlay()


def test_lief_finds_everything(sample: LinkedImage) -> None:
    image = lief.PE.parse(list(sample.data))
    assert image is not None
    config = image.load_configuration
    assert config is not None
    hotpatch = next(section for section in image.sections if section.name == ".hotp")
    assert config.hotpatch_table_offset == hotpatch.virtual_address + config.size
    assert image.optional_header.checksum == image.compute_checksum()
    sites = sorted(
        entry.address for block in image.relocations for entry in block.entries if int(entry.type) != 0
    )
    assert sites == list(sample.fixups.addr64)
    assert not image.has_imports
    assert not image.has_exports
    assert not image.has_tls


def test_our_own_readers_find_everything(sample: LinkedImage) -> None:
    image = parse_image(sample.data, "sample")
    assert relocation_sites(image).tolist() == list(sample.fixups.addr64)
    assert runtime_functions(image).begin.tolist() == list(sample.chunk_rvas[:2])


def test_llvm_objdump_shows_code_at_baseline_addresses(
    sample: LinkedImage, require_tool: Callable[[str], str]
) -> None:
    tool = require_tool("llvm-objdump")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "patch.dll"
        path.write_bytes(sample.data)
        shown = subprocess.run([tool, "-p", "-d", str(path)], capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    base = parse_image(sample.data, "sample").image_base
    lines = {line.split(":")[0].strip(): line for line in shown.stdout.splitlines() if ":" in line}
    assert "callq" in lines[f"{base + sample.chunk_rvas[0]:x}"]
    assert f"0x{base + sample.chunk_rvas[0]:x}" in lines[f"{base + sample.chunk_rvas[1] + 7:x}"]  # the jump
    assert "int3" in lines[f"{base + sample.chunk_rvas[0] + 32:x}"]  # filler
    assert "SizeOfImage" in shown.stdout
