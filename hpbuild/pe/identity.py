"""What identifies a build: digests of the file, its parts, and the ids people know."""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from hpbuild.codes.pe_identity import RANGE_OUTSIDE_IMAGE
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.authenticode import authenticode_digest
from hpbuild.pe.debug import debug_info
from hpbuild.pe.image import Image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.resources import file_version
from hpbuild.values import Digest, Interval, Rva

_FIELD_SIZE = 8
_PIECE = 4 << 20
"""Bytes that are masked at a time: a section without file bytes may be larger than any file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionIdentity:
    """SHA-256 of one section's mapped raw data, base-relocation fields as in the file."""

    name: str
    rva: Rva
    size: int
    sha256: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Identity of one build, strongest tier first, then the ids people know.

    ``authenticode`` is None when the file does not meet the strict layout; ``pdb_guid`` has 32 lower-case
    hexadecimal digits or is ''; ``version`` is the FILEVERSION as 'a.b.c.d' or ''.
    """

    file_name: str
    size: int
    sha256: Digest
    authenticode: Digest | None
    sections: tuple[SectionIdentity, ...]
    machine: int
    time_date_stamp: int
    checksum: int
    size_of_image: int
    image_base: int
    pdb_guid: str
    pdb_age: int
    version: str


def identity(image: Image, cross_check: bool) -> Identity:
    """The identity of ``image``; ``cross_check`` as in ``authenticode_digest``, whose refusals it raises,
    and those of ``debug_info`` and ``file_version``."""
    codeview = debug_info(image).codeview
    return Identity(
        file_name=image.name,
        size=len(image.data),
        sha256=image.data.digest(),
        authenticode=authenticode_digest(image, cross_check),
        sections=_sections(image),
        machine=image.machine,
        time_date_stamp=image.time_date_stamp,
        checksum=image.checksum,
        size_of_image=image.size_of_image,
        image_base=image.image_base,
        pdb_guid=codeview.guid if codeview else "",
        pdb_age=codeview.age if codeview else 0,
        version=file_version(image),
    )


def masked_digest(
    image: Image, ranges: Iterable[Interval], sites: npt.NDArray[np.uint32] | None = None
) -> Digest:
    """SHA-256 over the mapped bytes of ``ranges`` (RVAs) in their order, base-relocation fields zeroed.

    The digest is the same in a file and in a process that loaded it anywhere. ``sites`` are the sorted
    relocation sites when the caller has them. Raises HpbuildError RANGE_OUTSIDE_IMAGE.
    """
    fields = relocation_sites(image) if sites is None else sites
    state = hashlib.sha256()
    for part in ranges:
        if part.end > image.size_of_image:
            raise HpbuildError(
                RANGE_OUTSIDE_IMAGE, image.name, f"{part}, the image has {image.size_of_image:#x} bytes"
            )
        for start in range(part.start, part.end, _PIECE):
            piece = Interval(start, min(start + _PIECE, part.end))
            state.update(_masked(image, piece, fields))
    return Digest(state.digest())


def _masked(image: Image, part: Interval, fields: npt.NDArray[np.uint32]) -> bytes:
    # Fields may begin before the range or end after it; what lies inside is masked.
    bounds = np.array((max(0, part.start - _FIELD_SIZE + 1), part.end), dtype=fields.dtype)
    first, last = fields.searchsorted(bounds).tolist()
    if first == last:
        return image.memory[part.start : part.end].tobytes()
    content = image.memory[part.start : part.end].copy()
    covered = (fields[first:last].astype(np.int64)[:, None] + np.arange(_FIELD_SIZE)).reshape(-1) - part.start
    content[covered[(covered >= 0) & (covered < len(part))]] = 0
    return content.tobytes()


def _sections(image: Image) -> tuple[SectionIdentity, ...]:
    return tuple(
        SectionIdentity(
            name=section.name,
            rva=section.rva,
            size=section.raw_size,
            sha256=image.data.digest(section.raw_offset, section.raw_offset + section.raw_size),
        )
        for section in image.sections
    )
