"""The example libraries, patched in a process, do what the fixed ones do; after a revert, what they did."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpbuild.apply.live.driver import open_session
from hpbuild.apply.live.preparing import prepare
from hpbuild.pe.processes import open_process
from tests.live.packages import Packages, apply, asked, revert
from tests.live.scenes import EXAMPLES, STAGE, Example, answers, with_symbols
from tests.live.wine import Host, Wine

EVERY = [example for example in with_symbols(EXAMPLES) if example.folder != "traps/load_only"]
"""What `load_only` changes runs while the DLL loads, as its package warns."""
NAMES = [f"{example.folder.removeprefix('.')}/{example.library}-{example.symbols}" for example in EVERY]
STAGE_EXAMPLE = next(example for example in EXAMPLES if example.library == "stage")


def _said(wine: Wine, library: Path, commands: Sequence[str]) -> list[str]:
    with wine.host(library.parent, library.name) as host:
        return answers(host, commands)


def _package(packages: Packages, binaries: Path, example: Example) -> bytes:
    sides = (example.file(binaries, side) for side in ("baseline", "fixed"))
    package = packages.build(*sides, example.symbols)
    assert package
    return package


@contextmanager
def _running(wine: Wine, binaries: Path, example: Example, folder: Path) -> Iterator[Host]:
    """A host with the baseline, of which ``folder`` gets a copy."""
    shutil.copy(example.file(binaries, "baseline"), folder)
    with wine.host(folder, f"{example.library}.dll") as host:
        yield host


@pytest.fixture
def stage(wine: Wine, binaries: Path, tmp_path: Path) -> Iterator[Host]:
    """A host with the baseline of `stage`."""
    with _running(wine, binaries, STAGE_EXAMPLE, tmp_path) as host:
        yield host


@pytest.fixture
def package(packages: Packages, binaries: Path) -> bytes:
    """The package for `stage`."""
    return _package(packages, binaries, STAGE_EXAMPLE)


@pytest.mark.parametrize("example", EVERY, ids=NAMES)
def test_a_patched_process_does_what_the_fixed_library_does(
    wine: Wine, packages: Packages, binaries: Path, tmp_path: Path, example: Example
) -> None:
    with wine.host(example.file(binaries, "baseline").parent, f"{example.library}.dll") as host:
        before, again = answers(host, example.calls), answers(host, example.calls)
    after = _said(wine, example.file(binaries, "fixed"), example.calls)
    assert (before == after) is example.unseen
    package = _package(packages, binaries, example)
    with _running(wine, binaries, example, tmp_path) as host:
        apply(package, host.pid)
        assert answers(host, example.calls) == after
        revert(package, host.pid)
        later = answers(host, example.calls)
        # What counts calls goes on counting; everything else is as before.
        rows = zip(later, before, again, strict=True)
        wrong = [(now, old) for now, old, next_time in rows if old == next_time and now != old]
        assert later != after if not example.steady else not wrong
    with _running(wine, binaries, example, tmp_path) as host:
        apply(package, host.pid)
        revert(package, host.pid)
        assert answers(host, example.calls) == before or not example.steady


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("scene", STAGE)
def test_scene(
    wine: Wine, packages: Packages, binaries: Path, tmp_path: Path, scene: str, symbols: str
) -> None:
    example = Example(STAGE_EXAMPLE.folder, STAGE_EXAMPLE.library, STAGE[scene], symbols)
    after = _said(wine, example.file(binaries, "fixed"), example.calls)
    assert _said(wine, example.file(binaries, "baseline"), example.calls) != after
    with _running(wine, binaries, example, tmp_path) as host:
        apply(_package(packages, binaries, example), host.pid)
        assert answers(host, example.calls) == after


def test_recursion_while_patching(stage: Host, package: bytes) -> None:
    """Levels 8 to 3 have been entered when the package comes; the rest is new."""
    stage.do("begin q descended 8 &wait")
    stage.do("entered 1")
    apply(package, stage.pid)
    stage.do("release")
    assert int(stage.do("finish 0"), 0) == 6 * 1 + 2 * 100


def test_recursion_while_reverting(stage: Host, package: bytes) -> None:
    """New code calls new code, also after its entry leads to the old code again."""
    apply(package, stage.pid)
    stage.do("begin q descended 8 &wait")
    stage.do("entered 1")
    revert(package, stage.pid)
    stage.do("release")
    assert int(stage.do("finish 0"), 0) == 8 * 100
    assert int(stage.call("q descended 8 &identity"), 0) == 8


def test_recursion_all_the_time(stage: Host, package: bytes) -> None:
    """Every result is some old levels and then new ones."""
    group = stage.start(4, "q descended 8 &identity", [8 + 99 * new for new in range(9)])
    with open_process(stage.pid) as process, open_session(process) as session:
        order = prepare(asked(package, stage.pid), process).order
        assert order is not None
        for _ in range(50):
            assert session.apply(order).result == "applied"
            assert session.revert(order.id).result == "reverted"
    counts = stage.stop(group)
    assert (counts.wrong, counts.raised) == (0, 0)
    assert counts.each[0] > 0
    assert counts.each[8] > 0


def test_pointers_taken_before(stage: Host, package: bytes) -> None:
    """A pointer keeps its value and leads to the new code; new code sees the same value."""
    entry = stage.number("take 0 added")
    stage.do("take 1 usual")
    assert stage.call("i @0 1 2") == "3"
    assert stage.call("u is_usual @0") == "1"
    apply(package, stage.pid)
    assert stage.number("address added") == entry
    assert stage.call("i @0 1 2") == "1003"
    assert int(stage.call("q @1"), 0) == entry
    assert stage.call("u is_usual @0") == "2"
    revert(package, stage.pid)
    assert stage.call("i @0 1 2") == "3"
    assert int(stage.call("q @1"), 0) == entry


def test_an_old_body_is_finished_with_its_old_handlers(stage: Host, package: bytes) -> None:
    """0xe0000002 is caught by the new code alone."""
    stage.do("begin i guarded &late 0xe0000001")
    stage.do("begin i guarded &late 0xe0000002")
    stage.do("entered 2")
    apply(package, stage.pid)
    stage.do("release")
    assert stage.do("finish 0") == "6"
    assert stage.ask("finish 1") == "raised e0000002"
    assert stage.call("i guarded &raise 0xe0000002") == "6"


def test_an_old_body_is_finished_with_its_old_finally(stage: Host, package: bytes) -> None:
    """A __finally adds 1 in the old code and 10 in the new."""
    stage.do("begin i guarded &late 0xe0000001")
    stage.do("entered 1")
    apply(package, stage.pid)
    stage.do("release")
    assert stage.do("finish 0") == "6"
    assert stage.call("i finals_seen") == "1"


def test_a_new_body_is_finished_with_its_new_handlers_after_a_revert(stage: Host, package: bytes) -> None:
    """Unwind data outlives the revert: a thread may still be in the new code."""
    apply(package, stage.pid)
    stage.do("begin i guarded &late 0xe0000002")
    stage.do("entered 1")
    revert(package, stage.pid)
    stage.do("release")
    assert stage.do("finish 0") == "6"
    assert stage.call("i finals_seen") == "10"
    assert stage.call("i guarded &raise 0xe0000002") == "raised e0000002"
    assert stage.call("i finals_seen") == "11"


def test_new_variables_keep_their_values(stage: Host, package: bytes) -> None:
    """The package's own data is not set back when it is applied once more."""
    apply(package, stage.pid)
    first = stage.calls(["i counted 1"] * 3)
    revert(package, stage.pid)
    assert stage.call("i counted 1") == "1"
    apply(package, stage.pid)
    assert first == ["107103", "215103", "324103"]
    assert stage.call("i counted 1") == "434103"
