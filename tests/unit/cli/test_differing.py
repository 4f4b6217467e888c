"""What ``diff`` does around the comparison."""

import gc
from pathlib import Path
from typing import Any

import pytest

from hpbuild.cli import differing
from hpbuild.cli.choices import Format
from hpbuild.cli.output import Output
from hpbuild.report import diff as report


@pytest.fixture
def collecting(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether cycles were looked for while the report was made."""
    found: list[bool] = []
    document = report.document

    def watched(*values: Any, **named: Any) -> Any:
        found.append(gc.isenabled())
        return document(*values, **named)

    monkeypatch.setattr(report, "document", watched)
    return found


@pytest.mark.parametrize("tree", [False, True])
def test_cycles_are_looked_for_among_the_results_of_a_tree_alone(
    binaries: Path, tmp_path: Path, collecting: list[bool], capsys: pytest.CaptureFixture[str], tree: bool
) -> None:
    sides = [binaries / side / "codec.dll" for side in ("baseline", "fixed")]
    if tree:
        for side in sides:
            folder = tmp_path / side.parent.name
            folder.mkdir()
            (folder / side.name).write_bytes(side.read_bytes())
        sides = [tmp_path / "baseline", tmp_path / "fixed"]
    differing.run(*sides, no_cache=True, jobs=1, output=Output(format=Format.JSON, quiet=True))
    assert capsys.readouterr().out
    assert collecting == [tree]
    assert gc.isenabled()


@pytest.mark.parametrize("no_cache", [True, False])
def test_files_are_begun_with_unless_the_cache_may_know_them(
    binaries: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    no_cache: bool,
) -> None:
    begun, asked = list[Path](), list[int]()
    started = differing.started

    def watched(*paths: Path, processes: int) -> Any:
        begun.extend(paths)
        asked.append(processes)
        return started(*paths, processes=processes)

    monkeypatch.setattr(differing, "started", watched)
    monkeypatch.setenv("HPBUILD_CACHE", str(tmp_path / "cache"))
    sides = [binaries / side / "codec.dll" for side in ("baseline", "fixed")]
    differing.run(*sides, jobs=1, no_cache=no_cache, output=Output(format=Format.JSON, quiet=True))
    assert capsys.readouterr().out
    assert (begun, asked) == ((sides, [1]) if no_cache else ([], []))
