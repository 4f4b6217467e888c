"""What carried bytes name in the baseline has to be in the manifest; RVA 0 is no place."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpbuild.codes import prove as codes
from hpbuild.pipeline import BuildRequest, build
from hpbuild.prove.checks import Recorder
from hpbuild.prove.pinned import check_pinned

from .conftest import Story


@pytest.mark.parametrize(("named", "failures"), [([0], 0), ([0, 1], 1), ([1, 2, 3], 3)])
def test_the_image_base_needs_no_row(tell: Callable[..., Story], named: list[int], failures: int) -> None:
    recorder = Recorder("P4", "references")
    check_pinned(recorder, tell().module(), np.array(named, dtype=np.int64), 0x10000)
    assert recorder.failures == failures
    assert {finding.code for finding in recorder.findings} <= {codes.REFERENCE_NOT_PINNED}


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_carried_code_may_take_the_image_base(binaries: Path, symbols: str) -> None:
    """`routed` reads a table of RVAs: its code takes the address of RVA 0. Exception data has null fields."""
    request = BuildRequest(
        baseline=binaries / "scenes" / "baseline" / "stage.dll",
        fixed=binaries / "scenes" / "fixed" / "stage.dll",
        id="T-1",
        sequence=1,
        product="test",
        advisories=(),
        created="",
        symbols=symbols,
    )
    result = build(request, lambda *_: None)
    assert not result.refused
    assert [proof.ok for proof in result.proofs] == [True]
    (module,) = result.manifest.modules
    routed = next(function for function in module.functions if function.name == "routed")
    assert routed.patch
