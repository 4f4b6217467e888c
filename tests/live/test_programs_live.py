"""The test programs of real libraries, patched when the DLL is loaded and before their first instruction."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.packages import Packages, apply, revert
from tests.live.programs import PAIRS, PROBES, Pair, Program, observed, place_probe
from tests.live.scenes import answers
from tests.live.wine import Wine


def _patched(wine: Wine, program: Program, folder: Path, package: bytes, *, back: bool) -> tuple[int, str]:
    """Exit status and output of a held program that gets the package, and loses it again if ``back``."""
    with wine.held(folder, program.executable.name, *program.arguments) as held:
        apply(package, held.pid)
        if back:
            revert(package, held.pid)
        return observed(held.go())


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.name}-{pair.build}")
def test_programs_patched_before_they_begin(
    wine: Wine, packages: Packages, unpacked: Callable[[str], Path], tmp_path: Path, pair: Pair
) -> None:
    folder = unpacked(pair.name)
    baseline, fixed = pair.library(folder, "baseline"), pair.library(folder, "fixed")
    package = packages.build(baseline, fixed, pair.symbols)
    for number, program in enumerate(pair.programs(folder)):
        runs = tmp_path / str(number)
        old = program.run(wine, baseline, runs / "baseline")
        new = program.run(wine, fixed, runs / "fixed")
        assert (old != new) is program.differs
        for name, back, wanted in (("patched", False, new), ("reverted", True, old)):
            program.prepare(baseline, runs / name)
            assert _patched(wine, program, runs / name, package, back=back) == wanted, (program.name, name)


PROBED = [pair for pair in PAIRS if pair.name in PROBES]


@pytest.mark.parametrize("pair", PROBED, ids=lambda pair: f"{pair.name}-{pair.build}")
def test_calls_that_show_the_fix(
    wine: Wine, packages: Packages, unpacked: Callable[[str], Path], tmp_path: Path, pair: Pair
) -> None:
    folder = unpacked(pair.name)
    baseline, fixed = pair.library(folder, "baseline"), pair.library(folder, "fixed")
    package = packages.build(baseline, fixed, pair.symbols)
    said = []
    for number, (library, steps) in enumerate(
        ((baseline, ""), (fixed, ""), (baseline, "a"), (baseline, "ar"))
    ):
        where = place_probe(folder, library, tmp_path / str(number))
        with wine.host(where, library.name) as host:
            if "a" in steps:
                apply(package, host.pid)
            if "r" in steps:
                revert(package, host.pid)
            said.append(answers(host, PROBES[pair.name]))
    old, new, patched, reverted = said
    assert old != new
    assert patched == new
    assert reverted == old
