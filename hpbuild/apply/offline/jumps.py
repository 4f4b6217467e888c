"""The bytes of a package's redirections as they go into the file."""

from typing import Final

from hpbuild.apply.offline.undo import changed_runs
from hpbuild.codes import apply_offline as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.model import Module
from hpbuild.pe.access import Words
from hpbuild.pe.dynamic_relocations import rewritten_sites
from hpbuild.pe.image import Image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.values import Interval

_POINTER: Final = 8
_LONGEST: Final = 8
"""Not less than the longest instruction that Windows rewrites: a call through an import, 7 with a prefix."""

Jump = tuple[int, bytes]
"""File offset in the baseline, bytes to write there."""


def jumps(module: Module, baseline: Image) -> list[Jump]:
    """File offsets and bytes to write, ascending; only bytes that differ from the old ones. Raises
    HP7206 for an entry without bytes in the file, HP7207 and HP7216 where a loader would change the jump."""
    sites = relocation_sites(baseline)
    rewritten = rewritten_sites(baseline) or []
    found = []
    for redirection in module.redirections:
        for run in changed_runs(redirection.old, redirection.new):
            start = redirection.window.start + run.start
            extent = Interval(start, start + len(run))
            place = f"{module.path}: {module.functions[redirection.function].name}"
            _check_sites(sites, extent, place)
            if hit := [site for site in rewritten if extent.start - _LONGEST < site < extent.end]:
                cause = f"the instruction at {hit[0]:#x} overlaps the jump at {extent}"
                raise HpbuildError(codes.DYNAMIC_RELOCATION_IN_JUMP, place, cause)
            found.append((_file_offset(baseline, extent, place), redirection.new[run.start : run.end]))
    return sorted(found)


def _check_sites(sites: Words, extent: Interval, place: str) -> None:
    first, last = sites.searchsorted([max(0, extent.start - _POINTER + 1), extent.end])
    if first != last:
        cause = f"the field at {int(sites[first]):#x} overlaps the jump at {extent}"
        raise HpbuildError(codes.RELOCATION_IN_JUMP, place, cause)


def _file_offset(image: Image, extent: Interval, place: str) -> int:
    section = image.section_at(extent.start)
    if section is not None:
        offset = extent.start - section.rva
        if offset + len(extent) <= section.raw_size:
            return section.raw_offset + offset
    raise HpbuildError(codes.WINDOW_NOT_IN_FILE, place, f"{extent} is not in the file's part of a section")
