"""Every trap of the example binaries through the whole pipeline: refused by its code, or built and proved."""

from pathlib import Path

import pytest

from hpbuild.codes import plan, traps
from hpbuild.errors import Code, Severity
from hpbuild.pipeline import BuildRequest, BuildResult, build

REFUSED: dict[str, tuple[Code, ...]] = {
    "constructor": (traps.NEW_INITIALISER, traps.NEVER_INITIALISED, plan.INITIALISER),
    "constructor_grown": (traps.NEVER_INITIALISED, traps.RAN_ALREADY),
    "delayed": (plan.NEW_IMPORT,),
    "dllmain_variable": (traps.NEVER_INITIALISED, plan.INITIALISER),
    "export_moved": (traps.EXPORT_MOVED,),
    "folded_new": (traps.FOLDED_IN_FIXED,),
    "thread_callback": (traps.NEW_INITIALISER, traps.RAN_ALREADY, plan.INITIALISER),
    "thread_swap": (traps.THREAD_OFFSETS,),
}
BUILT: dict[str, tuple[Code, ...]] = {
    "constant_object": (),
    "ending": (),
    "endless": (traps.ENDLESS,),
    "exports": (plan.EXPORTS_DIFFER,),
    "load_only": (traps.RAN_ALREADY,),
    "load_too": (),
    "mitigations": (traps.LOADER_FLAGS,),
    "taken": (),
    "thread_use": (),
}


def built(binaries: Path, trap: str) -> BuildResult:
    folder = binaries / "traps" / trap
    request = BuildRequest(
        baseline=folder / "baseline" / "snare.dll",
        fixed=folder / "fixed" / "snare.dll",
        id="snare-1",
        sequence=1,
        product="Snare",
        advisories=(),
        created="",
        symbols="none",
    )
    return build(request, lambda *_: None)


def serious(result: BuildResult) -> set[str]:
    """Ids of the refusals and warnings."""
    return {
        finding.code.id
        for diff in result.diffs
        for finding in diff.findings
        if finding.code.severity is not Severity.NOTE
    }


@pytest.mark.parametrize("trap", REFUSED)
def test_fail_trap(binaries: Path, trap: str) -> None:
    result = built(binaries, trap)
    assert result.refused
    assert result.members == {}
    assert serious(result) == {code.id for code in REFUSED[trap]}


@pytest.mark.parametrize("trap", BUILT)
def test_harmless_twin(binaries: Path, trap: str) -> None:
    result = built(binaries, trap)
    assert not result.refused
    assert [proof.ok for proof in result.proofs] == [True]
    assert serious(result) == {code.id for code in BUILT[trap]}


def test_every_pair_is_in_the_table(binaries: Path) -> None:
    assert {path.name for path in (binaries / "traps").iterdir()} == REFUSED.keys() | BUILT.keys()
