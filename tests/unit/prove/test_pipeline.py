"""Packages that the builder makes from real pairs: the proof passes, and the report says what it covered."""

from pathlib import Path

import pytest

from hpbuild.pipeline import BuildRequest, BuildResult, build
from hpbuild.prove.checks import State


def _build(baseline: Path, fixed: Path, symbols: str) -> BuildResult:
    request = BuildRequest(
        baseline=baseline,
        fixed=fixed,
        id="test-1",
        sequence=1,
        product="test",
        advisories=(),
        created="",
        symbols=symbols,
    )
    return build(request, lambda *_: None)


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_codec(binaries: Path, symbols: str) -> None:
    result = _build(binaries / "baseline" / "codec.dll", binaries / "fixed" / "codec.dll", symbols)
    (proof,) = result.proofs
    assert [str(finding) for finding in proof.findings] == []
    assert proof.ok
    assert all(check.state is State.PASSED for check in proof.checks)
    assert proof.summary.carried_functions >= 4
    assert proof.summary.identical_fragments >= 30


@pytest.mark.parametrize(
    "variant",
    ["constant_table", "initialiser", "line_only", "pad_jump", "removed", "static_var"],
)
def test_variants(binaries: Path, variant: str) -> None:
    place = binaries / "variants" / variant
    (proof,) = _build(place / "baseline" / "gadget.dll", place / "fixed" / "gadget.dll", "auto").proofs
    assert [str(finding) for finding in proof.findings] == []
    assert proof.ok
