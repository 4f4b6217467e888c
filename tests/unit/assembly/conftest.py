"""The committed pairs, examined once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from hpbuild.assembly.certificate import certificate
from hpbuild.assembly.loading import load_pair
from hpbuild.assembly.modules import module_entry
from hpbuild.manifest.model import Module
from hpbuild.match.comparison import Comparison, compare
from hpbuild.patchimage.link import link
from hpbuild.plan.model import Plan
from hpbuild.plan.planner import make_plan
from hpbuild.prove.claims import Claims

PAIRS = [
    (".", "codec"),
    (".", "throwing"),
    ("variants/constant_table", "gadget"),
    ("variants/identical", "gadget"),
    ("variants/new_export", "gadget"),
    ("variants/pad_jump", "gadget"),
    ("variants/rebased", "gadget"),
    ("variants/static_var", "gadget"),
]


@dataclass(frozen=True, slots=True)
class Case:
    """One pair with everything that is made of it."""

    baseline: Path
    fixed: Path
    comparison: Comparison
    plan: Plan
    claims: Claims


@pytest.fixture(scope="session")
def case(binaries: Path, sample_module: Module) -> Callable[[str, str, str], Case]:
    """``case("variants/tls", "gadget", "none")``."""

    @cache
    def make(folder: str, name: str, symbols: str) -> Case:
        baseline, fixed = (binaries / folder / side / f"{name}.dll" for side in ("baseline", "fixed"))
        programs = load_pair(baseline, fixed, symbols, lambda *_: None)
        comparison = compare(programs.baseline, programs.fixed)
        plan = make_plan(comparison)
        images = programs.baseline.image, programs.fixed.image
        if plan.functions:
            entry = module_entry(f"{name}.dll", *images, plan, link(plan, images[0], 1), [])
        else:
            # There is nothing to link: an entry that carries nothing.
            entry = replace(sample_module, functions=(), data=())
        return Case(baseline, fixed, comparison, plan, certificate(comparison, plan, entry))

    return make


@pytest.fixture(params=[(*names, symbols) for names in PAIRS for symbols in ("auto", "none")], ids=str)
def each(request: pytest.FixtureRequest, case: Callable[..., Case]) -> Case:
    """Every pair that is not refused, with and without symbols."""
    return case(*request.param)
