"""Pages of an installed image that redirections are written into: V14 beside the windows themselves."""

from hpbuild.codes.pins import PAGE_DIFFERS
from hpbuild.errors import Finding
from hpbuild.manifest.model import Module
from hpbuild.manifest.pages import page_range
from hpbuild.pe.identity import masked_digest
from hpbuild.verify.baseline import Subject
from hpbuild.verify.lineage import OtherPackage


def page_findings(module: Module, undone: Subject, other: OtherPackage | None = None) -> tuple[Finding, ...]:
    """A finding for every page of ``module`` that is not the baseline's in ``undone``, an image with the
    module's own redirections taken off. Pages that ``other``, another package of the line, still has bytes in
    cannot be compared and are left out."""
    image = undone.image
    found = []
    for page in module.pages:
        extent = page_range(page.rva, min(module.baseline.size_of_image, image.size_of_image))
        if other is not None and other.remains_in(extent, module.redirections):
            continue
        digest = masked_digest(image, (extent,), undone.sites) if len(extent) else None
        if digest != page.sha256:
            seen = "it lies outside the image" if digest is None else f"it has SHA-256 {digest.hex}"
            place = f"{module.path}: page {page.rva:#x}"
            found.append(Finding(PAGE_DIFFERS, place, f"{seen}, recorded {page.sha256.hex}"))
    return tuple(found)
