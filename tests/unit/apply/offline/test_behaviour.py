"""A patched copy does what the fixed DLL does, at its own base and moved, run in an emulated processor.

The copy is mapped as a loader maps it, from nothing but the file: sections, base relocations. Calls and the
processor are those of the tests of patched behaviour.
"""

import importlib.util
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.values import Interval

from .conftest import Packaged

MOVED = 0x7FF600000000


@pytest.fixture(scope="module")
def emulation(root: Path) -> ModuleType:
    path = root / "tests" / "unit" / "test_patched_behaviour.py"
    spec = importlib.util.spec_from_file_location("emulation_for_apply", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def loaded(image: Image, base: int) -> bytes:
    """The image at ``base``, its base relocations applied."""
    memory = bytearray(image.memory.tobytes())
    for site in relocation_sites(image).tolist():
        (value,) = struct.unpack_from("<Q", memory, site)
        struct.pack_into("<Q", memory, site, value + base - image.image_base)
    return bytes(memory)


def outcome(
    emulation: ModuleType, image: Image, base: int, watched: Interval, stem: str
) -> tuple[object, int]:
    machine = emulation.Machine(image, base, {0: loaded(image, base)}, watched)
    results = list(emulation.CALLS[stem](machine))
    return (results, machine.log), machine.executed


@pytest.mark.parametrize("stem", ["codec", "throwing"])
@pytest.mark.parametrize("moved", [False, True])
def test_it_does_what_the_fixed_image_does(
    emulation: ModuleType, built: Callable[[str], Packaged], binaries: Path, stem: str, moved: bool
) -> None:
    item = built(stem)
    fixed = read_image(binaries / "fixed" / f"{stem}.dll")
    wanted, _ = outcome(emulation, fixed, fixed.image_base, Interval(0, 1), stem)
    image = parse_image(item.copy().data, "copy")
    base = MOVED if moved else image.image_base
    found, executed = outcome(emulation, image, base, item.patch.range, stem)
    assert executed > 0
    assert found == wanted
    before, _ = outcome(emulation, item.baseline, base, Interval(0, 1), stem)
    assert before != wanted
