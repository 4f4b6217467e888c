"""Fixed streams of a PDB: identity (stream 1) and debug information (stream 3, "DBI").

Source of the formats: the LLVM project's "The PDB Info Stream" and "The PDB DBI Stream".
"""

import struct
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hpbuild.codes.pe_identity import PDB_STREAM_MALFORMED, PDB_UNSUPPORTED
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.pdb.msf import Msf
from hpbuild.pe.symbol_model import base_name

INFO_STREAM = 1
DBI_STREAM = 3
NO_STREAM = 0xFFFF
_INFO = struct.Struct("<3I16s")
_DBI = struct.Struct("<iIIHHHHHH5iI2iHHI")
_DBI_VERSION_70 = 19990903
_MODULE = struct.Struct("<4x28xHHIIIH14x")
_CONTRIBUTION_VERSIONS = {0xF12EBA2D: 28, 0xF13151E4: 32}
_SECTION_HEADER_SIZE = 40
_OMAP_FROM_SOURCE, _SECTION_HEADERS = 4, 5


@dataclass(frozen=True, slots=True)
class PdbInfo:
    """``guid`` 32 lower-case hexadecimal digits in the usual written order; ``age`` of the file."""

    guid: str
    age: int


@dataclass(frozen=True, slots=True)
class Module:
    """One object file: its name without the folder, its symbol stream and the sizes in bytes of the parts of
    that: symbols, lines in the format before C13, C13 lines (these two as told, not checked)."""

    name: str
    stream: int
    symbol_bytes: int
    old_line_bytes: int = 0
    line_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dbi:
    """The debug information stream. ``age`` is the one the image's debug directory repeats;
    ``contributions`` are rows (segment, offset, size) of what each object gave to a section;
    ``section_rvas`` and ``section_sizes`` come from the section headers kept in the PDB, segment 1 first.
    """

    age: int
    machine: int
    symbol_record_stream: int
    modules: tuple[Module, ...]
    contributions: npt.NDArray[np.int64]
    section_rvas: npt.NDArray[np.int64]
    section_sizes: npt.NDArray[np.int64]


def read_info(msf: Msf) -> PdbInfo:
    """GUID and age of the PDB; raises HpbuildError PDB_STREAM_MALFORMED."""
    data = msf.stream(INFO_STREAM, _INFO.size)
    if len(data) < _INFO.size:
        raise _damaged(msf, "info", f"{len(data)} bytes")
    _, _, age, raw = _INFO.unpack_from(data)
    # The first three fields of a GUID are little-endian numbers, the last eight bytes are in order.
    guid = raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]
    return PdbInfo(guid.hex(), age)


def read_dbi(msf: Msf) -> Dbi:
    """The debug information stream; raises HpbuildError PDB_STREAM_MALFORMED or PDB_UNSUPPORTED."""
    data = msf.stream(DBI_STREAM)
    if len(data) < _DBI.size:
        raise _damaged(msf, "debug information", f"{len(data)} bytes")
    signature, version, age, _, _, _, _, records, _, *rest = _DBI.unpack_from(data)
    *sizes, _, optional, ec, _, machine, _ = rest
    if signature != -1 or version != _DBI_VERSION_70:
        raise HpbuildError(PDB_UNSUPPORTED, msf.name, f"debug information of version {version}")
    parts = [*sizes, ec, optional]
    if min(parts) < 0 or _DBI.size + sum(parts) > len(data):
        raise _damaged(msf, "debug information", f"substreams of {parts} bytes in {len(data)}")
    ends = np.cumsum([_DBI.size, *parts])
    pieces = [data[start:end] for start, end in pairwise(ends.tolist())]
    rvas, lengths = _section_headers(msf, pieces[6])
    return Dbi(
        age=age,
        machine=machine,
        symbol_record_stream=records,
        modules=_modules(msf, pieces[0]),
        contributions=_contributions(msf, pieces[1]),
        section_rvas=rvas,
        section_sizes=lengths,
    )


def _modules(msf: Msf, data: bytes) -> tuple[Module, ...]:
    modules = []
    seen = set()
    at = 0
    while at < len(data):
        if at + _MODULE.size > len(data):
            raise _damaged(msf, "module list", f"row at {at} leaves it")
        _, stream, symbols, *lines, _ = _MODULE.unpack_from(data, at)
        middle = data.find(b"\0", at + _MODULE.size)
        end = data.find(b"\0", middle + 1)
        if middle < 0 or end < 0:
            raise _damaged(msf, "module list", f"name of row at {at} is not ended")
        name = base_name(data[at + _MODULE.size : middle])
        if stream != NO_STREAM and symbols:
            if stream >= len(msf.sizes) or symbols > int(msf.sizes[stream]):
                raise _damaged(msf, "module list", f"{symbols} bytes of symbols in stream {stream}")
            if stream in seen:
                raise _damaged(msf, "module list", f"stream {stream} belongs to two modules")
            seen.add(stream)
            modules.append(Module(name, stream, symbols, *lines))
        else:
            modules.append(Module(name, NO_STREAM, 0))
        at = (end + 4) & ~3
    return tuple(modules)


def _contributions(msf: Msf, data: bytes) -> npt.NDArray[np.int64]:
    if not data:
        return np.empty((0, 3), dtype=np.int64)
    if len(data) < 4:
        raise _damaged(msf, "section contributions", f"{len(data)} bytes")
    version = int.from_bytes(data[:4], "little")
    width = _CONTRIBUTION_VERSIONS.get(version)
    if width is None:
        raise HpbuildError(PDB_UNSUPPORTED, msf.name, f"section contributions of version {version:#x}")
    if (len(data) - 4) % width:
        raise _damaged(msf, "section contributions", f"{len(data)} bytes are not whole rows")
    rows = np.frombuffer(data, dtype=np.uint8, offset=4).reshape(-1, width)
    fields = np.ascontiguousarray(rows[:, :12]).view("<u4").astype(np.int64)
    fields[:, 0] &= 0xFFFF
    return fields


def _section_headers(msf: Msf, optional: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """RVAs and virtual sizes of the section headers stream named in the optional debug header."""
    streams = np.frombuffer(optional[: len(optional) & ~1], dtype="<u2")
    if len(streams) > _OMAP_FROM_SOURCE and msf.has(int(streams[_OMAP_FROM_SOURCE])):
        raise HpbuildError(PDB_UNSUPPORTED, msf.name, "the image was rearranged after linking (OMAP)")
    if len(streams) <= _SECTION_HEADERS or not msf.has(int(streams[_SECTION_HEADERS])):
        raise HpbuildError(PDB_UNSUPPORTED, msf.name, "no section headers in the debug information")
    data = msf.stream(int(streams[_SECTION_HEADERS]))
    if len(data) % _SECTION_HEADER_SIZE:
        raise _damaged(msf, "section headers", f"{len(data)} bytes are not whole rows")
    rows = np.frombuffer(data, dtype="<u4").reshape(-1, _SECTION_HEADER_SIZE // 4).astype(np.int64)
    return rows[:, 3], rows[:, 2]


def _damaged(msf: Msf, what: str, cause: str) -> HpbuildError:
    return HpbuildError(PDB_STREAM_MALFORMED, f"{msf.name}: {what}", cause)
