"""Read a patch image back, accepting only the one shape it may have.

On the checking side: knows the format, not the linker. What is accepted has no import, export, TLS
callback or entry point, nothing writable and executable, and not one byte outside its sections: every
header field and every byte of filler is checked, so that the sections are all there is to review.
"""

import hashlib
import struct

import numpy as np

from hpbuild.codes import patchimage as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.patchimage import format as shape
from hpbuild.patchimage.read_headers import check_headers
from hpbuild.patchimage.read_tables import RuntimeRow, native_table, relocation_sites, runtime_rows
from hpbuild.pe.hotpatch_table import HotPatchTable
from hpbuild.pe.image import Image, Section
from hpbuild.pe.reader import parse_image
from hpbuild.values import Interval, Rva


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchImage:
    """A patch image that passed every check.

    ``range`` are its nominal RVAs, whole pages; ``base_rva`` is where they start; ``memory`` their bytes.
    ``runtime_functions`` ascend by ``begin``; ``address_sites`` are the RVAs of absolute addresses, from
    the base relocations, ascending; ``hotpatch`` is the native table, which has exactly one base image.
    """

    image: Image
    range: Interval
    base_rva: Rva
    memory: bytes
    runtime_functions: tuple[RuntimeRow, ...]
    address_sites: tuple[Rva, ...]
    hotpatch: HotPatchTable

    def section(self, name: str) -> Interval | None:
        """RVAs of the section ``name`` without padding, None when there is none."""
        return next((each.range for each in self.image.sections if each.name == name), None)


def read_patch_image(data: bytes, name: str, baseline_size: int | None = None) -> PatchImage:
    """Parse the file bytes of a patch image; ``name`` is for messages.

    ``baseline_size`` is the baseline's SizeOfImage, when known: the patch image must lie above it.
    Raises HpbuildError: HP1xxx for bytes that are no PE or a table that is none, HP3510 for too much
    zero-filled memory, HP3601 to HP3610 for any other shape.
    """
    image = parse_image(data, name)
    _check_sections(image)
    check_headers(image)
    _check_slack(image)
    _check_digests(image)
    start, end = image.sections[0].rva, image.size_of_image
    if baseline_size is not None and start < baseline_size:
        cause = f"it starts at RVA {start:#x}, the baseline ends at {baseline_size:#x}"
        raise HpbuildError(codes.PATCH_OVER_BASELINE, name, cause)
    return PatchImage(
        image=image,
        range=Interval(start, end),
        base_rva=start,
        memory=image.memory[start:end].tobytes(),
        runtime_functions=runtime_rows(image),
        address_sites=relocation_sites(image),
        hotpatch=native_table(image),
    )


def _check_sections(image: Image) -> None:
    """Names, flags, order, and places that follow each other without a gap."""
    order = list(shape.SECTIONS)
    previous = -1
    expected: int = image.sections[0].rva
    if expected % shape.GRANULARITY or not expected:
        raise HpbuildError(codes.PATCH_SECTIONS, image.name, f"it starts at RVA {expected:#x}")
    for section in image.sections:
        place = f"{image.name}, section {section.name}"
        if section.name not in shape.SECTIONS or order.index(section.name) <= previous:
            raise HpbuildError(codes.PATCH_SECTIONS, place, "it does not belong here")
        if section.characteristics != shape.SECTIONS[section.name]:
            cause = f"its flags are {section.characteristics:#010x}, not {shape.SECTIONS[section.name]:#010x}"
            raise HpbuildError(codes.PATCH_SECTIONS, place, cause)
        if section.rva != expected:
            cause = f"it begins at RVA {section.rva:#x}, not {expected:#x}"
            raise HpbuildError(codes.PATCH_SECTIONS, place, cause)
        if section.name == shape.BSS and section.virtual_size > shape.LARGEST_ZERO_FILL:
            raise HpbuildError(codes.ZERO_FILL_TOO_LARGE, place, f"{section.virtual_size:#x} bytes")
        previous = order.index(section.name)
        expected = shape.round_up(section.rva + section.virtual_size, shape.PAGE)
    if image.size_of_image != expected:
        cause = f"SizeOfImage is {image.size_of_image:#x}, the last section ends at {expected:#x}"
        raise HpbuildError(codes.PATCH_SECTIONS, image.name, cause)


def _check_slack(image: Image) -> None:
    """File layout without gaps, and nothing but filler behind each section's last byte."""
    cursor = image.size_of_headers
    for section in image.sections:
        place = f"{image.name}, section {section.name}"
        size = _file_size(section)
        if section.raw_size != size or section.raw_offset != (cursor if size else 0):
            cause = (
                f"{section.raw_size:#x} bytes at file offset {section.raw_offset:#x}, "
                f"not {size:#x} at {cursor:#x}"
            )
            raise HpbuildError(codes.PATCH_HIDDEN_BYTES, place, cause)
        if size:
            filler = shape.CODE_FILLER if section.name == shape.TEXT else 0
            slack = image.data[cursor + section.virtual_size : cursor + size]
            if slack != bytes([filler]) * len(slack):
                raise HpbuildError(codes.PATCH_HIDDEN_BYTES, place, "its file padding is not filler")
        cursor += size
    if cursor != len(image.data):
        cause = f"{len(image.data) - cursor} bytes follow the last section"
        raise HpbuildError(codes.PATCH_HIDDEN_BYTES, image.name, cause)


def _file_size(section: Section) -> int:
    if section.name == shape.BSS:
        return 0
    return shape.round_up(section.virtual_size, shape.FILE_ALIGNMENT)


def _check_digests(image: Image) -> None:
    """The checksum, and the time stamp that is a digest of the rest."""
    data = bytearray(image.data.whole())
    data[shape.CHECKSUM_OFFSET : shape.CHECKSUM_OFFSET + 4] = bytes(4)
    words = np.frombuffer(data, dtype="<u2")
    total = int(words.sum(dtype=np.uint64))
    # Folding the carries back in leaves 1..0xFFFF; the sum of a PE file's words is never 0.
    checksum = (total - 1) % 0xFFFF + 1 + len(data)
    if image.checksum != checksum:
        cause = f"CheckSum is {image.checksum:#x}, the file's is {checksum:#x}"
        raise HpbuildError(codes.PATCH_CHECKSUM, image.name, cause)
    data[shape.TIME_STAMP_OFFSET : shape.TIME_STAMP_OFFSET + 4] = bytes(4)
    (stamp,) = struct.unpack_from("<I", hashlib.sha256(data).digest())
    if image.time_date_stamp != stamp:
        cause = f"TimeDateStamp is {image.time_date_stamp:#x}, the content's {stamp:#x}"
        raise HpbuildError(codes.PATCH_CHECKSUM, image.name, cause)
