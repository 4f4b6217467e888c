"""Real security patches of four libraries, with the truth from the objects that the DLLs were linked from."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hpbuild.match.comparison import compare
from hpbuild.match.facts import describe
from hpbuild.match.model import Change, Difference
from hpbuild.values import Interval
from tests.comparing import BINARIES, assert_complete, program

CORPUS = BINARIES.parents[2] / "shared" / "corpus"
PAIRS = (
    "cjson--0001-add-null-checkings",
    "cjson--CVE-2025-57052",
    "yajl--CVE-2017-16516",
    "yajl--CVE-2022-24795",
)
"""The four smallest archives."""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not CORPUS.is_dir():
        pytest.skip("the binary patch corpus is not beside the checkout")
    folder = tmp_path_factory.mktemp("corpus")
    for name in PAIRS:
        with tarfile.open(CORPUS / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    return folder


def names_of(path: Path, found: Difference, change: Change) -> list[str]:
    """Names of functions with this fact by the symbols of the file that has them."""
    analysed = program(path, "auto")
    known = {}
    for item in analysed.symbols.items:
        known.setdefault(int(item.rva), item.linkage_name or item.name)
    return sorted(
        known[_entry(item.fixed or item.baseline)] for item in found.functions if item.change is change
    )


def _entry(runs: tuple[Interval, ...]) -> int:
    return runs[0].start


def truth(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "truth.json").read_text())
    return found


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("build", ["zig", "gcc"])
@pytest.mark.parametrize("pair", PAIRS)
def test_exactly_the_functions_that_the_patch_changes(
    unpacked: Path, pair: str, build: str, symbols: str
) -> None:
    folder = unpacked / pair / build
    library = f"{pair.partition('--')[0]}.dll"
    baseline, fixed = folder / "baseline" / library, folder / "fixed" / library
    assert program(baseline, "auto").symbols.source == {"zig": "pdb", "gcc": "coff"}[build]
    found = describe(compare(program(baseline, symbols), program(fixed, symbols)))
    expected = truth(folder)["functions"]
    for change, path in ((Change.CHANGED, fixed), (Change.ADDED, fixed), (Change.REMOVED, baseline)):
        assert names_of(path, found, change) == sorted(item["name"] for item in expected[change])
    assert_complete(found)
    assert not [item for item in found.data if item.kind != "rodata"], "no variable changes in these patches"


@pytest.mark.parametrize("build", ["zig", "gcc"])
def test_every_real_file_is_equal_to_itself(unpacked: Path, build: str) -> None:
    path = unpacked / PAIRS[0] / build / "fixed" / "cjson.dll"
    found = describe(compare(program(path, "none"), program(path, "none")))
    assert (found.functions, found.data) == ((), ())
    assert_complete(found)
