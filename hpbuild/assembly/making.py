"""A module that was examined, on its way into a package: linked, described, proved."""

from hpbuild.assembly.certificate import certificate
from hpbuild.assembly.examining import Examined, Progress
from hpbuild.assembly.meanwhile import Meanwhile
from hpbuild.assembly.modules import module_entry
from hpbuild.manifest.model import Module
from hpbuild.patchimage.link import link
from hpbuild.prove.proof import prove_module
from hpbuild.prove.result import Proof


def make(
    path: str, examined: Examined, sequence: int, progress: Progress, other: Meanwhile
) -> tuple[Module, bytes]:
    """Link the patch image of the module at ``path`` and describe it."""
    progress("link", path, 0, 0)
    comparison = examined.comparison
    baseline, fixed = comparison.baseline.program.image, comparison.fixed.program.image
    plan = examined.decision.plan()
    linked = link(plan, baseline, sequence, other.base_image() if other.begun else None)
    entry = module_entry(
        path,
        baseline,
        fixed,
        plan,
        linked,
        examined.diff.difference.account,
        other.pins if other.begun else None,
    )
    return entry, linked.data


def make_proved(
    path: str, examined: Examined, sequence: int, progress: Progress, other: Meanwhile
) -> tuple[Module, bytes, Proof]:
    """``make``, and the proof of what it gave: the images were pinned just now, so their files are not hashed
    again."""
    entry, image = make(path, examined, sequence, progress, other)
    return entry, image, _prove(entry, image, examined, progress, other, pinned=True)


def prove(module: Module, image: bytes, examined: Examined, progress: Progress, other: Meanwhile) -> Proof:
    """Prove a module, wherever it comes from, against the two images. The certificate comes from the analysis
    and is believed by nobody."""
    return _prove(module, image, examined, progress, other, pinned=False)


def _prove(
    module: Module, image: bytes, examined: Examined, progress: Progress, other: Meanwhile, *, pinned: bool
) -> Proof:
    comparison = examined.comparison
    return prove_module(
        certificate(comparison, examined.decision, module),
        module,
        image,
        comparison.baseline.program.image,
        comparison.fixed.program.image,
        progress,
        pinned=pinned,
        elsewhere=other.unpatched if other.begun else None,
    )
