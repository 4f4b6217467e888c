"""From a package and the files behind the loaded modules to the order that the agent carries out.

The order holds the bytes that the process must have before anything is written: every function that is
replaced, everything that the new code refers to, every redirection's window, as they are in the file that the
module was loaded from. The file must satisfy the package's pin; the agent compares memory with it byte for
byte, relocations applied for the real base.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hpbuild.apply.live.order import Expected, Order, OrderModule
from hpbuild.codes.driver import FILE_NOT_BASELINE, FILE_UNKNOWN
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.manifest.model import Manifest, Module
from hpbuild.pe.access import Words, merged_intervals
from hpbuild.pe.image import Image
from hpbuild.pe.loader_writes import loader_written
from hpbuild.pe.processes import LoadedModule
from hpbuild.pe.reader import read_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.values import Digest, Interval, Rva
from hpbuild.verify.baseline import match_pin
from hpbuild.verify.states import Tier

SITE = 8
"""Bytes of a base-relocation field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A module of the package, where it is loaded, and the file that it was loaded from."""

    module: Module
    loaded: LoadedModule
    image: Image


def read_target(module: Module, loaded: LoadedModule, lowest: Tier) -> Target:
    """``module`` with the installed file behind ``loaded``.

    Raises HpbuildError: HP7362 when the file is not known or unreadable, HP7363 when it does not satisfy the
    pin at ``lowest`` or better."""
    if loaded.file is None:
        raise HpbuildError(FILE_UNKNOWN, module.path, f"{loaded.path} is not a file that can be found here")
    image = _read(loaded.file, module.path)
    match = match_pin(module.baseline, image)
    if match.tier is None or not match.tier.reaches(lowest):
        reached = f"it reaches the tier {match.tier}" if match.tier else "no tier of its identity agrees"
        cause = f"{loaded.file}: {reached}, {lowest} is asked for"
        raise HpbuildError(FILE_NOT_BASELINE, module.path, cause)
    return Target(module=module, loaded=loaded, image=image)


def _read(path: Path, place: str) -> Image:
    try:
        return read_image(path)
    except HpbuildError as error:
        raise HpbuildError(FILE_UNKNOWN, place, str(error)) from error


def make_order(
    manifest: Manifest, images: Mapping[str, bytes], bundle_sha256: Digest, targets: Sequence[Target]
) -> Order:
    """The order for ``targets``; ``images`` are the package's members by name, checked by the verifier."""
    return Order(
        id=manifest.id,
        product=manifest.product,
        sequence=manifest.sequence,
        bundle_sha256=bundle_sha256,
        modules=tuple(_order_module(target, images[target.module.image.member]) for target in targets),
    )


def _order_module(target: Target, patch_image: bytes) -> OrderModule:
    module, image = target.module, target.image
    sites = relocation_sites(image)
    extents = expected_extents(module, image, sites)
    return OrderModule(
        name=target.loaded.name,
        base=target.loaded.base,
        time_date_stamp=image.time_date_stamp,
        checksum=image.checksum,
        size_of_image=image.size_of_image,
        image_base=image.image_base,
        patch_image=patch_image,
        patch_sha256=module.image.sha256,
        nominal=module.image.range,
        fixups=module.fixups,
        redirections=module.redirections,
        functions=tuple(function.name for function in module.functions),
        expected=tuple(Expected(Rva(part.start), image.read(part.start, len(part))) for part in extents),
        sites=tuple(int(site) for part in extents for site in sites_in(sites, part)),
        call_targets=tuple(sorted({Rva(item.patch[0].start) for item in module.functions if item.patch})),
    )


def expected_extents(module: Module, image: Image, sites: Words) -> tuple[Interval, ...]:
    """What must be in memory as in the file: ascending, apart from each other, and cutting no relocation
    field in two. What the loader itself writes (import slots, guard pointers) is left out. ``sites`` are the
    image's relocation fields, ascending."""
    written = loader_written(image)
    parts = [part for function in module.functions for part in function.baseline]
    parts += [redirection.window for redirection in module.redirections]
    for reference in module.references:
        if reference.sha256 is not None:
            parts += _without(reference.range, written)
    widened = [_around_fields(part, sites) for part in merged_intervals(parts)]
    return merged_intervals(widened)


def _without(part: Interval, holes: Sequence[Interval]) -> list[Interval]:
    """What is left of ``part``; ``holes`` are ascending and disjoint."""
    left: list[Interval] = []
    start = part.start
    for hole in holes:
        if hole.overlaps(part):
            if hole.start > start:
                left.append(Interval(start, hole.start))
            start = max(start, hole.end)
    return [*left, Interval(start, part.end)] if start < part.end else left


def sites_in(sites: Words, part: Interval) -> Words:
    """The fields that lie in ``part``."""
    first, last = np.searchsorted(sites, (part.start, part.end), side="left")
    return sites[first:last]


def _around_fields(part: Interval, sites: Words) -> Interval:
    """``part``, widened to the fields that it cuts."""
    start, end = part.start, part.end
    before = int(np.searchsorted(sites, start, side="left"))
    if before and int(sites[before - 1]) + SITE > start:
        start = int(sites[before - 1])
    after = int(np.searchsorted(sites, end, side="left"))
    if after and int(sites[after - 1]) + SITE > end:
        end = int(sites[after - 1]) + SITE
    return Interval(start, end)
