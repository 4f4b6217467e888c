"""Packages to write into files, and files of other shapes than the example binaries have."""

import importlib.util
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hpbuild.apply.offline.copy import PatchedCopy, patched_copy
from hpbuild.apply.offline.result import OfflineRequest
from hpbuild.bundle.reader import read_bundle
from hpbuild.manifest.codec import decode
from hpbuild.manifest.model import Module
from hpbuild.patchimage.read import PatchImage, read_patch_image
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image
from hpbuild.pipeline import BuildRequest, assemble, build
from hpbuild.verify import Policy

UNSIGNED = Policy(allow_unsigned=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """A module of a package, its patch image, and a file that it may be written into."""

    bundle: bytes
    module: Module
    patch: PatchImage
    baseline: Image
    sequence: int

    def copy(self) -> PatchedCopy:
        return patched_copy(self.module, self.baseline, self.patch)

    def request(self, installed: Path, output: Path, **how: Any) -> OfflineRequest:
        return OfflineRequest(
            **{"bundle": self.bundle, "name": "p.hpb", "policy": UNSIGNED, **how},
            installed=installed,
            output=output,
        )


def packaged(bundle: bytes, baseline: bytes) -> Packaged:
    """The first module of a bundle."""
    opened = read_bundle(bundle)
    manifest = decode(opened.manifest)
    module = manifest.modules[0]
    member = module.image.member
    return Packaged(
        bundle=bundle,
        module=module,
        patch=read_patch_image(opened.members[member], member, module.baseline.size_of_image),
        baseline=parse_image(baseline, module.baseline.file_name),
        sequence=manifest.sequence,
    )


@pytest.fixture(scope="session")
def making(root: Path) -> ModuleType:
    """How the tests of the verifier make packages without the pipeline."""
    path = root / "tests" / "unit" / "verify" / "conftest.py"
    spec = importlib.util.spec_from_file_location("packages_for_apply", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def package_for(
    making: ModuleType, binaries: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Packaged]:
    """A package made for the given bytes of a codec.dll or throwing.dll: (bytes, name) -> packaged."""

    def make(data: bytes, name: str = "codec.dll", **fields: Any) -> Packaged:
        folder = tmp_path_factory.mktemp("release")
        release = making.make_release([name], folder, binaries, ())
        fixed = parse_image((binaries / "fixed" / name).read_bytes(), name)
        module, image = making.make_module(name, parse_image(data, name), fixed)
        release = release.with_manifest(modules=(module,), **fields)
        release.images[module.image.member] = image
        return packaged(release.bundle(signers=()), data)

    return make


@pytest.fixture(scope="session")
def built(binaries: Path) -> Callable[[str], Packaged]:
    """The package that the pipeline builds for a pair of example binaries: their stem -> packaged."""
    made: dict[str, Packaged] = {}

    def make(stem: str) -> Packaged:
        if stem not in made:
            baseline = binaries / "baseline" / f"{stem}.dll"
            request = BuildRequest(
                baseline=baseline, fixed=binaries / "fixed" / f"{stem}.dll", id="T-1", sequence=3,
                product="test", advisories=(), created="", symbols="auto",
            )  # fmt: skip
            made[stem] = packaged(assemble(build(request, lambda *_: None)), baseline.read_bytes())
        return made[stem]

    return make


@pytest.fixture(scope="session")
def codec(binaries: Path) -> bytes:
    """The baseline codec.dll."""
    return (binaries / "baseline" / "codec.dll").read_bytes()


@pytest.fixture(scope="session")
def throwing(binaries: Path) -> bytes:
    """The baseline throwing.dll, which has a load configuration."""
    return (binaries / "baseline" / "throwing.dll").read_bytes()


def optional_header(data: bytes) -> int:
    """File offset of the optional header."""
    return struct.unpack_from("<I", data, 0x3C)[0] + 24


def section_table(data: bytes) -> int:
    """File offset of the section table."""
    optional = optional_header(data)
    return optional + struct.unpack_from("<H", data, optional - 4)[0]


def put(data: bytes, layout: str, offset: int, *values: int) -> bytes:
    """``data`` with other fields at ``offset``."""
    changed = bytearray(data)
    struct.pack_into("<" + layout, changed, offset, *values)
    return bytes(changed)


def signed(data: bytes, behind: bytes = b"") -> bytes:
    """``data`` with something like a certificate table, and ``behind`` it other bytes."""
    data += bytes(-len(data) % 8)
    table = struct.pack("<IHH", 0x108, 0x200, 2) + bytes(range(256))
    directory = optional_header(data) + 112 + 8 * 4
    return put(data, "II", directory, len(data), len(table)) + table + behind


def crowded(data: bytes, making: ModuleType, count: int) -> bytes:
    """``data`` with ``count`` more sections of one page each, so that the headers have less room."""
    for index in range(count):
        image = parse_image(data, "x")
        row = making.Section(
            name=f".x{index}", rva=image.size_of_image, virtual_size=0x10, raw_offset=0, raw_size=0x200,
            characteristics=0x40000040,
        )  # fmt: skip
        data = making.with_sections(data, [(row, bytes(0x200))], image.size_of_image + 0x1000)
    return data
