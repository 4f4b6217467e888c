"""Rehearsals that come to nothing, each with its code. Those that succeed are in tests/live."""

import os
from pathlib import Path

import pytest

from hpbuild.apply.rehearse.model import End, Expectation, Rehearsal, Schedule
from hpbuild.apply.rehearse.rehearsal import RehearsalRequest, rehearse
from hpbuild.codes import rehearse as codes
from hpbuild.errors import Code, ExitStatus, HpbuildError
from hpbuild.pipeline import BuildRequest, assemble, build
from hpbuild.verify import Policy

pytestmark = pytest.mark.skipif(os.name == "nt", reason="programs of a Unix system")

QUICK = Schedule(rounds=1, load_limit=0.3, limit=0.3)


@pytest.fixture(scope="module")
def bundle(binaries: Path) -> bytes:
    baseline, fixed = (binaries / side / "codec.dll" for side in ("baseline", "fixed"))
    request = BuildRequest(
        baseline=baseline, fixed=fixed, id="KB-1", sequence=1, product="", advisories=(), created="",
        symbols="auto",
    )  # fmt: skip
    return assemble(build(request, lambda *_: None))


def run(
    bundle: bytes, folder: Path, script: str, wanted: Expectation | None = None, schedule: Schedule = QUICK
) -> Rehearsal:
    request = RehearsalRequest(
        bundle=bundle,
        name="X.hpb",
        policy=Policy(allow_unsigned=True),
        command=("sh", "-c", script),
        schedule=schedule,
        expectation=wanted or Expectation(),
        folder=folder,
    )
    return rehearse(request, lambda *_: None)


def found(result: Rehearsal) -> list[Code]:
    return [item.code for item in result.findings]


def test_a_program_that_never_loads_the_modules(bundle: bytes, tmp_path: Path) -> None:
    result = run(bundle, tmp_path / "new", "echo hello; sleep 60")
    assert found(result) == [codes.NEVER_LOADED]
    assert result.status is ExitStatus.NOT_APPLICABLE
    assert result.ending is not None
    assert result.ending.end is End.BY_REHEARSAL
    assert result.output is not None
    assert result.output.read_bytes() == b"hello\n"
    assert not result.steps


def test_a_program_that_ends_before_it_has_loaded_them(bundle: bytes, tmp_path: Path) -> None:
    assert found(run(bundle, tmp_path, "exit 0")) == [codes.ENDED_EARLY]
    result = run(bundle, tmp_path, "exit 5")
    assert found(result) == [codes.ENDED_EARLY, codes.WRONG_EXIT]
    assert result.status is ExitStatus.NO


def test_a_program_that_cannot_be_started(bundle: bytes, tmp_path: Path) -> None:
    request = RehearsalRequest(
        bundle=bundle,
        name="X.hpb",
        policy=Policy(allow_unsigned=True),
        command=(str(tmp_path / "missing.exe"),),
        schedule=QUICK,
        expectation=Expectation(),
        folder=tmp_path,
    )
    with pytest.raises(HpbuildError) as caught:
        rehearse(request, lambda *_: None)
    assert caught.value.code is codes.CANNOT_START


def test_a_package_that_is_not_accepted_starts_nothing(bundle: bytes, tmp_path: Path) -> None:
    result = run(bundle[:-1], tmp_path, f"touch {tmp_path}/started")
    assert result.status is ExitStatus.MALFORMED
    assert result.ending is None
    assert not (tmp_path / "started").exists()


def test_a_pattern_that_is_none(bundle: bytes, tmp_path: Path) -> None:
    with pytest.raises(HpbuildError) as caught:
        run(bundle, tmp_path, "exit 0", Expectation(pattern="*"))
    assert caught.value.code is codes.BAD_PATTERN


@pytest.mark.parametrize("script", ["sleep 60", "exit 4"])
def test_a_run_without_the_package_that_shows_nothing(bundle: bytes, tmp_path: Path, script: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        run(bundle, tmp_path, script, Expectation(same_output=True))
    assert caught.value.code is codes.REFERENCE_FAILED


def test_an_output_folder_that_is_a_file(bundle: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HpbuildError) as caught:
        run(bundle, tmp_path / "file", "exit 0")
    assert caught.value.code is codes.NO_OUTPUT_FOLDER
