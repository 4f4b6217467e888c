"""Patched copies of the example libraries do what the fixed ones do, run by a real loader."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.live.packages import Packages, patched, reverted
from tests.live.scenes import EXAMPLES, STAGE, Example, answers, with_symbols
from tests.live.wine import Wine

EVERY = list(with_symbols(EXAMPLES))
NAMES = [f"{example.folder.removeprefix('.')}/{example.library}-{example.symbols}" for example in EVERY]
STAGE_EXAMPLE = next(example for example in EXAMPLES if example.library == "stage")


def _said(wine: Wine, library: Path, commands: Sequence[str]) -> list[str]:
    with wine.host(library.parent, library.name) as host:
        return answers(host, commands)


def _patched(packages: Packages, binaries: Path, example: Example, folder: Path) -> Path:
    baseline = example.file(binaries, "baseline")
    package = packages.build(baseline, example.file(binaries, "fixed"), example.symbols)
    assert package
    copy = folder / baseline.name
    patched(package, baseline, copy)
    original = folder / "original.dll"
    reverted(package, copy, original)
    assert original.read_bytes() == baseline.read_bytes()
    return copy


@pytest.mark.parametrize("example", EVERY, ids=NAMES)
def test_a_patched_copy_does_what_the_fixed_library_does(
    wine: Wine, packages: Packages, binaries: Path, tmp_path: Path, example: Example
) -> None:
    before = _said(wine, example.file(binaries, "baseline"), example.calls)
    after = _said(wine, example.file(binaries, "fixed"), example.calls)
    assert not [answer for answer in after if answer.startswith("error")]
    assert (before == after) is example.unseen
    assert _said(wine, _patched(packages, binaries, example, tmp_path), example.calls) == after


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("scene", STAGE)
def test_scene(
    wine: Wine, packages: Packages, binaries: Path, tmp_path: Path, scene: str, symbols: str
) -> None:
    example = Example(STAGE_EXAMPLE.folder, STAGE_EXAMPLE.library, STAGE[scene], symbols)
    after = _said(wine, example.file(binaries, "fixed"), example.calls)
    assert _said(wine, example.file(binaries, "baseline"), example.calls) != after
    assert _said(wine, _patched(packages, binaries, example, tmp_path), example.calls) == after
