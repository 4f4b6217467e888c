"""Do the fixups that a manifest lists agree with what the patch image itself says?

The base relocations, the exception directory and the native hotpatch table describe the same fields as the
fixups do. On the checking side: imports neither the plan nor the linker.
"""

from collections.abc import Iterable

from hpbuild.codes import patchimage as codes
from hpbuild.errors import HpbuildError
from hpbuild.patchimage.fixups import FixupSites
from hpbuild.patchimage.read import PatchImage
from hpbuild.pe import hotpatch_format as native
from hpbuild.pe.hotpatch_chunks import HotPatchRecord


def check_fixups(patch: PatchImage, fixups: FixupSites) -> None:
    """HP3611 unless

    - the ADDR64 sites are exactly those of the base relocations;
    - the REL32 sites are exactly those of the native table's REL32 records;
    - the ADDR32NB sites in the exception directory are exactly the columns that point into the patch image;
    - REL32 and ABSOLUTE records say what the fields hold, and name baseline addresses.
    """
    distances = tuple(_records(patch, native.KIND_REL32))
    pointers = tuple(_records(patch, native.KIND_ABSOLUTE))
    _same(patch, "ADDR64", fixups.addr64, patch.address_sites)
    _same(patch, "REL32", fixups.rel32, sorted(record.written for record in distances))
    table = patch.section(".pdata")
    in_table = [site for site in fixups.addr32nb if table is not None and site in table]
    columns = [
        row.site + 4 * column
        for row in patch.runtime_functions
        for column in range(3 if row.unwind in patch.range else 2)
    ]
    _same(patch, "ADDR32NB", in_table, columns)
    absolute = set(patch.address_sites)
    image = patch.image
    for record in distances:
        value = (record.other - (record.written + 4 + record.extra[0])) % 2**32
        _holds(patch, record, image.u32(record.written) == value)
    for record in pointers:
        value = image.image_base + record.other
        _holds(patch, record, record.written in absolute and image.u64(record.written) == value)


def _records(patch: PatchImage, kind: int) -> Iterable[HotPatchRecord]:
    (base,) = patch.hotpatch.bases
    return (record for chunk in base.chunks if chunk.kind == kind for record in chunk.records)


def _same(patch: PatchImage, kind: str, listed: Iterable[int], own: Iterable[int]) -> None:
    odd = sorted(set(listed) ^ set(own))
    if odd:
        cause = f"{len(odd)} {kind} sites are in one list only, the first at RVA {odd[0]:#x}"
        raise HpbuildError(codes.FIXUPS_DISAGREE, patch.image.name, cause)


def _holds(patch: PatchImage, record: HotPatchRecord, true: bool) -> None:
    if not true or record.other >= patch.base_rva:
        cause = f"the field at {record.written:#x} does not refer to baseline RVA {record.other:#x}"
        raise HpbuildError(codes.FIXUPS_DISAGREE, patch.image.name, cause)
