"""The Authenticode signature of an image: the one PKCS #7 object in its certificate table.

Source: PE specification, section "The Attribute Certificate Table (Image Only)". Strict where tools are not:
one entry, and nothing in it behind the signature but zeros up to the next multiple of 8, since what is
stuffed in there is signed by nobody and changes no digest.
"""

import struct

from hpbuild.codes.pins import SIGNATURE_AMBIGUOUS, SIGNATURE_MALFORMED, UNSIGNED_FILE
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import CERTIFICATE
from hpbuild.pe.by_lief import read_by_lief
from hpbuild.pe.image import Image

REVISION, PKCS_SIGNED_DATA = 0x0200, 0x0002
MAX_SIGNATURE = 1 << 20
_HEADER = struct.Struct("<IHH")
_ALIGNMENT = 8


def signature_of(image: Image, place: str) -> bytes:
    """The DER bytes of the signature. Raises HpbuildError UNSIGNED_FILE, SIGNATURE_MALFORMED at ``place``."""
    table = image.directories[CERTIFICATE]
    if not len(table):
        raise HpbuildError(UNSIGNED_FILE, place, "it has no certificate table")
    raw = image.data[table.start : table.end]
    if len(raw) < _HEADER.size or len(raw) != len(table):
        raise HpbuildError(SIGNATURE_MALFORMED, place, f"a certificate table of {len(raw)} bytes")
    length, revision, kind = _HEADER.unpack_from(raw)
    if (revision, kind) != (REVISION, PKCS_SIGNED_DATA):
        raise HpbuildError(SIGNATURE_MALFORMED, place, f"revision {revision:#x}, certificate type {kind}")
    if not _HEADER.size < length <= len(raw) or len(raw) - length >= _ALIGNMENT or any(raw[length:]):
        cause = f"an entry of {length} bytes in a table of {len(raw)}"
        raise HpbuildError(SIGNATURE_MALFORMED, place, cause)
    return _without_padding(raw[_HEADER.size : length], place)


def _without_padding(content: bytes, place: str) -> bytes:
    """The DER element that ``content`` begins with; behind it only zeros, fewer than 8."""
    size = len(content)
    if size < 4 or content[0] != 0x30 or size > MAX_SIGNATURE:
        raise HpbuildError(SIGNATURE_MALFORMED, place, f"{size} bytes that are no PKCS #7 object")
    count = content[1] & 0x7F if content[1] & 0x80 else 0
    end = 2 + count + (int.from_bytes(content[2 : 2 + count], "big") if count else content[1])
    if count > 4 or end > size or size - end >= _ALIGNMENT or any(content[end:]):
        cause = f"{size - end} bytes behind the signature, which are signed by nobody"
        raise HpbuildError(SIGNATURE_MALFORMED, place, cause)
    return content[:end]


def agree_with_lief(image: Image, digest: bytes, place: str) -> None:
    """LIEF reads the same signed ``digest`` in the image, from one signature, and computes the same of the
    file. Raises HpbuildError SIGNATURE_AMBIGUOUS. LIEF's own verdict on signatures says nothing about who
    signed."""
    with read_by_lief(image.data.whole()) as (lief, binary):
        if binary is None:
            raise HpbuildError(SIGNATURE_AMBIGUOUS, place, "LIEF cannot read the image")
        signatures = list(binary.signatures)
        read = [bytes(item.content_info.digest) for item in signatures]
        if read != [digest]:
            found = ", ".join(item.hex() for item in read) or "none"
            raise HpbuildError(SIGNATURE_AMBIGUOUS, place, f"own reading {digest.hex()}, LIEF {found}")
        checks = lief.PE.Signature.VERIFICATION_CHECKS.HASH_ONLY
        verdict = binary.verify_signature(signatures[0], checks)
        if verdict != lief.PE.Signature.VERIFICATION_FLAGS.OK:
            raise HpbuildError(SIGNATURE_AMBIGUOUS, place, f"LIEF says {verdict}")
