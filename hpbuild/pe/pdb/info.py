"""What stands behind the identity in a PDB's info stream: the streams that have names, and the features.

Source of the format: the LLVM project's "The PDB Info Stream" and "The PDB Serialized Hash Table Format".
"""

import struct

from hpbuild.codes.pe_identity import PDB_STREAM_MALFORMED
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.pdb.msf import Msf
from hpbuild.pe.pdb.streams import INFO_STREAM

MINIMAL_DEBUG_INFO = 0x494E494D
"""Feature of a PDB linked with /DEBUG:FASTLINK: types and symbols stayed in the object files."""
_IDENTITY_SIZE = 28
MAX_NAMED = 4096
_MAX_FEATURES = 64
_MAX_NAME = 4096


@dataclass(frozen=True, slots=True)
class Directory:
    """``streams`` index by name; ``features`` numbers in their order."""

    streams: dict[bytes, int]
    features: tuple[int, ...]


def read_directory(msf: Msf) -> Directory:
    """Named streams and features; empty for a PDB that ends before them. Raises HpbuildError
    PDB_STREAM_MALFORMED."""
    data = msf.stream(INFO_STREAM)
    if len(data) <= _IDENTITY_SIZE:
        return Directory({}, ())
    try:
        (length,) = struct.unpack_from("<I", data, _IDENTITY_SIZE)
        at = _IDENTITY_SIZE + 4 + length
        strings = data[_IDENTITY_SIZE + 4 : at]
        count, _, words = struct.unpack_from("<III", data, at)
        at += 12 + 4 * words
        (words,) = struct.unpack_from("<I", data, at)
        at += 4 + 4 * words
        if count > MAX_NAMED or at + 8 * count > len(data):
            raise ValueError(f"{count} named streams in {len(data)} bytes")
        rows = struct.iter_unpack("<II", data[at : at + 8 * count])
        streams = {strings[key : key + _MAX_NAME].split(b"\0", 1)[0]: stream for key, stream in rows}
    except (struct.error, ValueError) as error:
        raise HpbuildError(PDB_STREAM_MALFORMED, f"{msf.name}: named streams", str(error)) from None
    # The first number is the highest name index; feature codes follow.
    rest = data[at + 8 * count + 4 :][: 4 * _MAX_FEATURES]
    return Directory(streams, struct.unpack(f"<{len(rest) // 4}I", rest[: len(rest) & ~3]))
