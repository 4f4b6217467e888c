"""The test programs of real libraries, with patched copies of these, do what they do with the fixed DLL."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hpbuild.bundle.reader import read_bundle
from hpbuild.manifest.codec import decode
from hpbuild.pe.reader import read_image
from tests.live.packages import NO_PACKAGE, Packages, patched, reverted
from tests.live.programs import PAIRS, PROBES, UNREACHED, WITHOUT_PACKAGE, Pair, place_probe
from tests.live.scenes import answers
from tests.live.wine import Wine

INT3 = b"\xcc"


def _trapped(package: bytes, copy: Path, output: Path) -> Path:
    """A patched copy whose carried functions all begin with a breakpoint."""
    (module,) = decode(read_bundle(package).manifest).modules
    image = read_image(copy)
    data = bytearray(image.data.whole())
    for row in module.redirections:
        entry = module.functions[row.function].patch[0].start
        section = image.section_at(entry)
        assert section is not None
        offset = section.raw_offset + entry - section.rva
        data[offset : offset + 1] = INT3
    output.mkdir()
    output.joinpath(copy.name).write_bytes(data)
    return output / copy.name


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.name}-{pair.build}")
def test_programs_with_a_patched_copy(
    wine: Wine, packages: Packages, unpacked: Callable[[str], Path], tmp_path: Path, pair: Pair
) -> None:
    folder = unpacked(pair.name)
    baseline, fixed = pair.library(folder, "baseline"), pair.library(folder, "fixed")
    package = packages.build(baseline, fixed, pair.symbols)
    copy, original = tmp_path / baseline.name, tmp_path / "original.dll"
    patched(package, baseline, copy)
    reverted(package, copy, original)
    assert original.read_bytes() == baseline.read_bytes()
    trapped = _trapped(package, copy, tmp_path / "trapped")
    reached = False
    for number, program in enumerate(pair.programs(folder)):
        runs = tmp_path / str(number)
        wanted = program.run(wine, fixed, runs / "fixed")
        assert program.recorded in (None, wanted), program.name
        assert (program.run(wine, baseline, runs / "baseline") != wanted) is program.differs, program.name
        assert program.run(wine, copy, runs / "patched") == wanted, program.name
        reached |= program.run(wine, trapped, runs / "trapped") != wanted
    if commands := PROBES.get(pair.name):
        said = []
        for number, library in enumerate((baseline, fixed, copy)):
            where = place_probe(folder, library, tmp_path / f"probe{number}")
            with wine.host(where, library.name) as host:
                said.append(answers(host, commands))
        assert said[0] != said[1] == said[2]
        reached = True
    assert reached is ((pair.name, pair.build) not in UNREACHED)


@pytest.mark.parametrize("name", WITHOUT_PACKAGE)
@pytest.mark.parametrize("build", ["zig", "gcc"])
def test_no_package_can_be_built(
    packages: Packages, unpacked: Callable[[str], Path], name: str, build: str
) -> None:
    pair, folder = Pair(name, build, "none"), unpacked(name)
    sides = (pair.library(folder, side) for side in ("baseline", "fixed"))
    assert packages.build(*sides, pair.symbols) == NO_PACKAGE
