"""Copies that mean the same are found identical, and anything else is told."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.mutate import (
    DISTANCE,
    STAMP,
    CannotMutateError,
    rebased,
    resign,
    restamped,
    throw_away_key,
)
from bench.selfdiff import IDENTICAL, SelfDiff, examine, examine_apart, files, judge, table
from hpbuild.pe.reader import parse_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pipeline import DiffOptions, diff_modules

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = [path for path in files([ROOT / "testdata" / "bin"]) if path.suffix == ".dll"]
"""The programs beside them have no base relocations."""


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> tuple[Path, Path]:
    require_tool("osslsigncode")
    return throw_away_key(tmp_path_factory.mktemp("signer"), require_tool("openssl"))


@pytest.mark.parametrize(
    "path", EXAMPLES, ids=lambda path: path.relative_to(ROOT / "testdata" / "bin").as_posix()
)
def test_example_equals_its_copies(path: Path) -> None:
    outcomes = examine(path).outcomes
    assert set(outcomes) == {"itself", "re-stamped", "re-based"}
    assert set(outcomes.values()) == {IDENTICAL}


@pytest.mark.parametrize("name", ["codec.dll", "throwing.dll"])
def test_example_equals_its_signed_copy(name: str, binaries: Path, signer: tuple[Path, Path]) -> None:
    outcomes = examine(binaries / "baseline" / name, signer=signer).outcomes
    assert outcomes["re-signed"] == IDENTICAL


def test_examples_equal_their_copies_without_symbols(binaries: Path) -> None:
    assert set(examine(binaries / "baseline" / "codec.dll", "none").outcomes.values()) == {IDENTICAL}


def test_other_stamps_are_in_the_copy(binaries: Path) -> None:
    data = (binaries / "baseline" / "codec.dll").read_bytes()
    old, new = parse_image(data, "old"), parse_image(restamped(data), "new")
    assert old.time_date_stamp != new.time_date_stamp == STAMP
    assert new.u32(new.directories[0].start + 4) == STAMP
    assert new.u32(new.directories[6].start + 4) == STAMP
    assert new.checksum not in (0, old.checksum)


def test_checksum_is_that_of_pefile(binaries: Path) -> None:
    pefile = pytest.importorskip("pefile")
    for data in (restamped((binaries / "baseline" / "codec.dll").read_bytes()) + b"odd",):
        copy = pefile.PE(data=restamped(data), fast_load=True)
        assert copy.OPTIONAL_HEADER.CheckSum == copy.generate_checksum()


def test_every_relocated_address_moves_with_the_base(binaries: Path) -> None:
    data = (binaries / "baseline" / "codec.dll").read_bytes()
    old, new = parse_image(data, "old"), parse_image(rebased(data), "new")
    assert new.image_base == old.image_base + DISTANCE
    sites = relocation_sites(old).tolist()
    assert sites
    assert all(new.u64(site) == old.u64(site) + DISTANCE for site in sites)
    moved = np.flatnonzero(old.memory != new.memory)
    inside = np.searchsorted(sites, moved, side="right") - 1
    fields = moved[moved >= old.size_of_headers]
    assert np.all(fields - np.array(sites)[inside[moved >= old.size_of_headers]] < 8)


def test_file_without_relocations_has_no_moved_copy(binaries: Path, tmp_path: Path) -> None:
    data = bytearray((binaries / "baseline" / "codec.dll").read_bytes())
    (header,) = struct.unpack_from("<I", data, 0x3C)
    struct.pack_into("<Q", data, header + 24 + 112 + 8 * 5, 0)
    with pytest.raises(CannotMutateError):
        rebased(bytes(data))
    fixed = tmp_path / "fixed.dll"
    fixed.write_bytes(data)
    assert examine(fixed).outcomes["re-based"] == "skipped: no base relocations"


def test_tool_that_refuses_is_no_copy(
    tmp_path: Path, signer: tuple[Path, Path], require_tool: Callable[[str], str]
) -> None:
    text = tmp_path / "x.dll"
    text.write_text("not a PE file")
    with pytest.raises(CannotMutateError):
        resign(text, tmp_path / "y.dll", signer, require_tool("osslsigncode"))


def test_judge_tells_what_stands_against_it(binaries: Path) -> None:
    pair = (binaries / "baseline" / "codec.dll", binaries / "fixed" / "codec.dll")
    diff = diff_modules(*pair, DiffOptions(), lambda stage, subject, done, total: None)[0]
    verdict = judge(diff)
    assert verdict.startswith("hotpatchable, changed 4, added 1")
    assert "functions not identical" in verdict


def test_file_that_is_no_pe_is_declined(tmp_path: Path) -> None:
    text = tmp_path / "x.dll"
    text.write_text("not a PE file, but long enough for a header" * 8)
    result = examine(text)
    assert result.refused.startswith("HP10")
    assert not result.failed


def test_file_that_takes_too_long_has_failed(binaries: Path) -> None:
    path = binaries / "baseline" / "codec.dll"
    result = examine_apart(path, limit=0, symbols="auto", signer=None)
    assert result.outcomes == {"all": "more than 0 s"}
    assert result.failed


def test_table_begins_with_failures() -> None:
    rows = [
        SelfDiff(
            file="a", size=1, outcomes={"itself": IDENTICAL, "re-based": "skipped: no base relocations"}
        ),
        SelfDiff(file="b", size=1, refused="HP1011"),
        SelfDiff(file="c", size=1, outcomes={"itself": "hotpatchable, changed 1"}),
        SelfDiff(file="d", size=1),
    ]
    text = table(rows).splitlines()
    assert [line.split()[0] for line in text[:2]] == ["FAILED", "itself:"]
    assert text[2].startswith("FAILED")
    assert text[3].startswith("HP1011")
    assert text[-1] == "4 files: 1 identical (1 comparisons), 2 failed, 1 declined"


def test_command_writes_the_table_and_the_document(binaries: Path, tmp_path: Path) -> None:
    document = tmp_path / "out.json"
    command = [sys.executable, "-m", "bench.selfdiff", str(binaries / "baseline"), "--json", str(document)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("2 files: 2 identical")
    assert done.stderr.splitlines()[-1].startswith("2/2 ok")
    assert {row["refused"] for row in json.loads(document.read_text())} == {""}


def test_command_without_any_file_is_no_success(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.selfdiff", str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 1
