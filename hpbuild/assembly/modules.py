"""The manifest entry of one module, from its plan and its linked patch image."""

from collections.abc import Callable, Iterable
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from hpbuild.assembly.left_out import left_out_groups
from hpbuild.errors import Severity
from hpbuild.manifest import model as wire
from hpbuild.manifest.pages import page_range, touched_pages
from hpbuild.manifest.paths import image_member
from hpbuild.patchimage.link import LinkedImage
from hpbuild.pe.identity import Identity, identity, masked_digest
from hpbuild.pe.image import Image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.plan.model import LeftOut, Plan
from hpbuild.values import Digest, Interval, Rva


def pin(image: Image) -> wire.Pin:
    """The identity of a build as a pin. Raises HpbuildError when two Authenticode readers disagree."""
    found: Identity = identity(image, cross_check=True)
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    values["sections"] = tuple(
        wire.SectionPin(name=part.name, rva=part.rva, size=part.size, sha256=part.sha256)
        for part in found.sections
    )
    return wire.Pin(**values)


def pins(baseline: Image, fixed: Image) -> tuple[wire.Pin, wire.Pin]:
    """Those of both images. Raises HpbuildError as ``pin``."""
    return pin(baseline), pin(fixed)


def module_entry(
    path: str,
    baseline: Image,
    fixed: Image,
    plan: Plan,
    linked: LinkedImage,
    account: Iterable[tuple[str, int]],
    both: Callable[[], tuple[wire.Pin, wire.Pin]] | None = None,
) -> wire.Module:
    """The whole entry; ``account`` are the bytes of the fixed image by class; ``both`` gives the ``pins``
    where somebody else makes them. Raises HpbuildError as ``pin`` and ``masked_digest``."""
    sites = relocation_sites(baseline), relocation_sites(fixed)
    functions = _functions(plan, linked, (baseline, fixed), sites)
    pages = page_pins(baseline, (site.window for site in plan.redirections), sites[0])
    references = _references(plan, baseline, sites[0])
    old, new = both() if both else pins(baseline, fixed)
    return wire.Module(
        path=path,
        baseline=old,
        fixed=new,
        image=wire.PatchImagePin(
            member=image_member(path),
            size=len(linked.data),
            sha256=Digest.of(linked.data),
            range=linked.range,
        ),
        functions=functions,
        data=tuple(
            wire.Datum(
                name=datum.name,
                reason=datum.reason.value,
                kind=datum.kind.value,
                cause=datum.cause,
                baseline=datum.baseline,
                fixed=datum.fixed,
                patch=_placed(linked, plan, datum.chunk),
            )
            for datum in plan.data
        ),
        redirections=_redirections(plan, linked),
        pages=pages,
        fixups=wire.Fixups(
            addr64=linked.fixups.addr64, rel32=linked.fixups.rel32, addr32nb=linked.fixups.addr32nb
        ),
        references=references,
        exclusions=tuple(
            wire.Exclusion(
                klass=item.klass,
                place=item.place,
                cause=item.cause,
                fixed=item.fixed,
                baseline=item.baseline,
            )
            for item in plan.exclusions
            if not isinstance(item, LeftOut)
        ),
        findings=tuple(
            wire.ManifestFinding(
                code=item.code.id, severity=item.code.severity.value, place=item.place, cause=item.cause
            )
            for item in plan.findings
            if item.code.severity is not Severity.REFUSE
        ),
        account=tuple(wire.ByteClass(klass=name, size=size) for name, size in account),
        only=plan.only,
        left_out=left_out_groups(plan.left_out),
    )


def _functions(
    plan: Plan,
    linked: LinkedImage,
    images: tuple[Image, Image],
    sites: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]],
) -> tuple[wire.Function, ...]:
    """The carried functions; ``images`` are the baseline and the fixed image, ``sites`` their relocations."""
    baseline, fixed = images
    return tuple(
        wire.Function(
            name=function.name,
            reason=function.reason.value,
            level=function.level,
            cause=function.cause,
            baseline=function.baseline,
            fixed=function.fixed,
            patch=tuple(_placed(linked, plan, chunk) for chunk in function.chunks),
            baseline_sha256=masked_digest(baseline, function.baseline, sites[0])
            if function.baseline
            else None,
            fixed_sha256=masked_digest(fixed, function.fixed, sites[1]),
        )
        for function in plan.functions
    )


def _placed(linked: LinkedImage, plan: Plan, chunk: int) -> Interval:
    start = linked.chunk_rvas[chunk]
    return Interval(start, start + plan.chunks[chunk].size)


def _redirections(plan: Plan, linked: LinkedImage) -> tuple[wire.Redirection, ...]:
    rows = [
        wire.Redirection(
            function=site.function,
            kind=site.kind.value,
            entry=Rva(site.entry),
            window=site.window,
            old=site.old,
            new=new,
        )
        for site, new in zip(plan.redirections, linked.redirections, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: row.entry))


def page_pins(
    baseline: Image, windows: Iterable[Interval], sites: npt.NDArray[np.uint32]
) -> tuple[wire.PagePin, ...]:
    """A digest for each page that ``windows`` touch; ``sites`` are the baseline's relocation sites,
    sorted."""
    return tuple(
        wire.PagePin(Rva(rva), masked_digest(baseline, (page_range(rva, baseline.size_of_image),), sites))
        for rva in touched_pages(windows)
    )


def _references(
    plan: Plan, baseline: Image, sites: npt.NDArray[np.uint32]
) -> tuple[wire.BaselineReference, ...]:
    """One row for each range; constant content is digested, a range used both ways counts as variable."""
    constant: dict[Interval, bool] = {}
    for use in plan.uses:
        constant[use.range] = constant.get(use.range, True) and use.constant
    return tuple(
        wire.BaselineReference(range=run, sha256=masked_digest(baseline, (run,), sites) if fixed else None)
        for run, fixed in sorted(constant.items())
        if len(run)
    )
