"""A module that was examined, on its way into a package: linked, described, proved."""

from functools import partial

from hpbuild.assembly.certificate import certificate
from hpbuild.assembly.examining import Examined, Progress
from hpbuild.assembly.modules import module_entry, pins
from hpbuild.manifest.model import Module
from hpbuild.patchimage.link import link
from hpbuild.prove.aside import aside
from hpbuild.prove.proof import prove_module
from hpbuild.prove.result import Proof

_LARGE = 16 << 20
"""File bytes from which on the digests of the images are worth a process of their own."""


def make(path: str, examined: Examined, sequence: int, progress: Progress) -> tuple[Module, bytes]:
    """Link the patch image of the module at ``path`` and describe it."""
    progress("link", path, 0, 0)
    comparison = examined.comparison
    baseline, fixed = comparison.baseline.program.image, comparison.fixed.program.image
    large = min(len(image.data) for image in (baseline, fixed)) >= _LARGE
    with aside(partial(pins, baseline, fixed), large) as both:
        plan = examined.decision.plan()
        linked = link(plan, baseline, sequence)
        entry = module_entry(path, baseline, fixed, plan, linked, examined.diff.difference.account, both)
    return entry, linked.data


def make_proved(
    path: str, examined: Examined, sequence: int, progress: Progress
) -> tuple[Module, bytes, Proof]:
    """``make``, and the proof of what it gave: the images were pinned just now, so their files are not hashed
    again."""
    entry, image = make(path, examined, sequence, progress)
    return entry, image, _prove(entry, image, examined, progress, pinned=True)


def prove(module: Module, image: bytes, examined: Examined, progress: Progress) -> Proof:
    """Prove a module, wherever it comes from, against the two images. The certificate comes from the analysis
    and is believed by nobody."""
    return _prove(module, image, examined, progress, pinned=False)


def _prove(module: Module, image: bytes, examined: Examined, progress: Progress, *, pinned: bool) -> Proof:
    comparison = examined.comparison
    return prove_module(
        certificate(comparison, examined.decision, module),
        module,
        image,
        comparison.baseline.program.image,
        comparison.fixed.program.image,
        progress,
        pinned=pinned,
    )
