"""The Authenticode digest of an image, under a layout in which it says something about the whole file.

Source: "Windows Authenticode Portable Executable Signature Format", section "Calculating the PE Image
Hash". Left out of the hash are the checksum, the certificate table's directory entry and the table itself,
so that signing does not change it. That makes it forgeable where the table may lie anywhere: a table
declared over other content hides that content. Hence the strict layout.
"""

import hashlib

from hpbuild.codes.pe_identity import AUTHENTICODE_DISAGREEMENT
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import CERTIFICATE
from hpbuild.pe.by_lief import read_by_lief
from hpbuild.pe.image import Image
from hpbuild.values import Digest, Interval

_COFF_HEADER_SIZE = 20
_CHECKSUM_AT, _DIRECTORY_COUNT_AT, _DIRECTORIES_AT = 64, 108, 112
_SECTION_ROW_SIZE = 40
_ALIGNMENT = 8


def authenticode_digest(image: Image, cross_check: bool) -> Digest | None:
    """SHA-256 Authenticode digest of ``image``, the file zero-padded to 8 bytes as signing tools do it.

    None when the file is not laid out strictly: headers, sections' raw data in file order and nothing
    between them, then anything, then the certificate table, if any, 8-aligned and up to the end of the
    file. ``cross_check`` computes it with LIEF too: HpbuildError AUTHENTICODE_DISAGREEMENT when they differ.
    """
    content = _signed_content(image)
    if content is None:
        return None
    digest = _own_digest(image, content)
    if cross_check:
        _agree(image, digest, _digest_by_lief(image))
    return digest


def _own_digest(image: Image, content: Interval) -> Digest:
    optional = _optional_header(image)
    checksum, certificates = optional + _CHECKSUM_AT, optional + _DIRECTORIES_AT + 8 * CERTIFICATE
    state = hashlib.sha256()
    for start, end in (0, checksum), (checksum + 4, certificates), (certificates + 8, content.end):
        for piece in image.data.pieces(start, end):
            state.update(piece)
    state.update(bytes(-len(content) % _ALIGNMENT))
    return Digest(state.digest())


def _agree(image: Image, own: Digest, other: bytes) -> None:
    if other != own.raw:
        cause = f"own computation {own.hex}, LIEF {other.hex() or 'none'}"
        raise HpbuildError(AUTHENTICODE_DISAGREEMENT, image.name, cause)


def _digest_by_lief(image: Image) -> bytes:
    """The digest as LIEF computes it, b'' when it cannot read the image."""
    missing = -len(image.data) % _ALIGNMENT
    padded = b"".join((*image.data.pieces(), bytes(missing))) if missing else image.data.whole()
    with read_by_lief(padded) as (lief, binary):
        return b"" if binary is None else bytes(binary.authentihash(lief.PE.ALGORITHMS.SHA_256))


def _optional_header(image: Image) -> int:
    return int.from_bytes(image.data[0x3C:0x40], "little") + 4 + _COFF_HEADER_SIZE


def _signed_content(image: Image) -> Interval | None:
    """File range that the digest speaks about; None when the layout is not strict."""
    data = image.data
    optional = _optional_header(image)
    count = optional + _DIRECTORY_COUNT_AT
    if int.from_bytes(data[count : count + 4], "little") <= CERTIFICATE:
        return None
    end = image.size_of_headers
    table = optional + int.from_bytes(data[optional - 4 : optional - 2], "little")
    for index in range(len(image.sections)):
        row = table + index * _SECTION_ROW_SIZE
        size = int.from_bytes(data[row + 16 : row + 20], "little")
        start = int.from_bytes(data[row + 20 : row + 24], "little")
        if size == 0:
            continue
        if start != end:
            return None
        end = start + size
    certificates = image.directories[CERTIFICATE]
    if end > len(data):
        return None
    if not len(certificates):
        return Interval(0, len(data)) if certificates.start == 0 else None
    strict = (
        certificates.start % _ALIGNMENT == 0 and end <= certificates.start and certificates.end == len(data)
    )
    return Interval(0, certificates.start) if strict else None
