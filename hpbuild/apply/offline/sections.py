"""The new sections of a patched file.

The loader wants every section to begin where the one before it ends, rounded up to the section alignment, and
headers are short: so neighbouring sections of the patch image that are mapped alike become one, and the
exception directory of the patch image, which the merged one replaces, is left out where it stands alone. The
native hotpatch table keeps a section ``.hotp`` that begins with it, by which a written package is recognised
(``hpbuild.verify.lineage``); the tables of the patched image lie behind it. Nothing is writable and
executable.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from hpbuild.apply.offline.headers import CODE, INITIALIZED, RAW_SIZE, UNINITIALIZED, get_u32, places
from hpbuild.apply.offline.tables import Tables
from hpbuild.codes import apply_offline as codes
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import HpbuildError
from hpbuild.patchimage import format as shape
from hpbuild.patchimage.read import PatchImage
from hpbuild.pe.image import Image, Section
from hpbuild.pe.preflight import MAX_SECTIONS

UNDO: Final = ".hpundo"
GAP: Final = ".hpgap"
_MEMORY: Final = 0xE0000000
"""The bits for executable, readable and writable memory."""
_DISCARDABLE: Final = 0x02000000
_READ: Final = 0x40000000
_NAMES: Final = {shape.TEXT: ".hptext", shape.RDATA: ".hprdata", shape.XDATA: ".hprdata",
                 shape.DATA: ".hpdata", shape.BSS: ".hpdata", shape.HOTP: shape.HOTP}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSection:
    """A section to add: ``size`` bytes of memory from ``rva`` on, which begin with ``content``."""

    name: str
    rva: int
    size: int
    content: bytes
    characteristics: int

    @property
    def end(self) -> int:
        """RVA behind its last byte."""
        return self.rva + self.size


def new_sections(baseline: Image, patch: PatchImage, tables: Tables) -> tuple[NewSection, ...]:
    """The patch image's sections merged, ``tables`` behind them, and room for the undo record, whose content
    is empty yet; with a section for the gap in front of them where the baseline's last one cannot be
    extended. Ascending and contiguous. Raises HP7208, HP7217."""
    groups = [_merged(patch, group) for group in _groups(patch)]
    last = groups[-1]
    behind = last.content.ljust(tables.start - last.rva, b"\0") + tables.content
    groups[-1] = replace(last, content=behind, size=len(behind))
    undo = shape.round_up(groups[-1].end, baseline.section_alignment)
    groups.append(
        NewSection(
            name=UNDO, rva=undo, size=0, content=b"", characteristics=_READ | _DISCARDABLE | INITIALIZED
        )
    )
    joined = [
        replace(section, size=following.rva - section.rva)
        if shape.round_up(section.end, shape.PAGE) < following.rva
        else section
        for section, following in pairwise(groups)
    ]
    gap = _gap(baseline, groups[0].rva)
    bridge = () if extensible(baseline) or not gap.size else (gap,)
    result = (*bridge, *joined, groups[-1])
    _check(baseline, result)
    return result


def extensible(baseline: Image) -> bool:
    """True when the last section of ``baseline`` may be made longer to reach the new ones: read-only, and
    without bytes in the file that would be mapped then."""
    last = baseline.sections[-1]
    in_file = get_u32(baseline.data, places(baseline).row(len(baseline.sections) - 1) + RAW_SIZE)
    mapped = shape.round_up(last.virtual_size, baseline.section_alignment)
    return not last.writable and not last.executable and in_file <= mapped


def _gap(baseline: Image, end: int) -> NewSection:
    last = baseline.sections[-1]
    start = shape.round_up(last.rva + last.virtual_size, baseline.section_alignment)
    flags = _READ | UNINITIALIZED
    return NewSection(name=GAP, rva=start, size=end - start, content=b"", characteristics=flags)


def _groups(patch: PatchImage) -> list[list[Section]]:
    """Neighbours with the same protection; ``.hotp`` begins a group of its own."""
    groups: list[list[Section]] = []
    for section in patch.image.sections:
        alike = bool(groups) and not (groups[-1][-1].characteristics ^ section.characteristics) & _MEMORY
        if section.name == shape.PDATA and not alike:
            continue
        if alike and section.name != shape.HOTP:
            groups[-1].append(section)
        else:
            groups.append([section])
    return groups


def _merged(patch: PatchImage, group: Sequence[Section]) -> NewSection:
    start, end = group[0].rva, group[-1].rva + group[-1].virtual_size
    backed = [section.rva + section.virtual_size for section in group if section.name != shape.BSS]
    content = patch.image.memory[start : max(backed, default=start)].tobytes()
    kind = CODE if group[0].executable else INITIALIZED if content else UNINITIALIZED
    return NewSection(
        name=_NAMES[group[0].name],
        rva=start,
        size=end - start,
        content=content,
        characteristics=group[0].characteristics & _MEMORY | kind,
    )


def _check(baseline: Image, sections: Sequence[NewSection]) -> None:
    for section in sections:
        if section.rva % baseline.section_alignment:
            cause = f"RVA {section.rva:#x} is no multiple of {baseline.section_alignment:#x}"
            raise HpbuildError(codes.SECTION_ALIGNMENT, baseline.name, cause)
    count = len(baseline.sections) + len(sections)
    if count > MAX_SECTIONS:
        raise HpbuildError(codes.IMAGE_TOO_LARGE, baseline.name, f"it would have {count} sections")
