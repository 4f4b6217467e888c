"""Minidumps: the memory and modules of a process at the moment when the dump was written.

Source: the public Windows SDK header minidumpapiset.h and the documentation of ``MINIDUMP_HEADER`` and its
streams. A dump is not read as a whole; every count, offset and size in it is checked against the file first.
"""

import errno
import os
import stat
import struct
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType

from hpbuild.codes import process as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.processes.loader_list import MAX_MODULES, check_disjoint, wide_text
from hpbuild.pe.processes.model import ADDRESS_LIMIT, PAGE, Closable, LoadedModule, Memory
from hpbuild.values import Interval

MAX_STREAMS = 4096
MAX_RANGES = 1 << 20
_MAX_NAME = 1 << 16
_CHUNK = 1 << 24
_SIGNATURE, _VERSION = b"MDMP", 0xA793
_HEADER = struct.Struct("<4sIII8xQ")
_DIRECTORY = struct.Struct("<III")
_MODULE = struct.Struct("<QI8xI84x")
_RANGE32, _RANGE64 = struct.Struct("<QII"), struct.Struct("<QQ")
_UNUSED, _MODULES, _MEMORY, _SYSTEM, _MEMORY64 = 0, 4, 5, 7, 9
_NAMES = {_MODULES: "ModuleList", _MEMORY: "MemoryList", _SYSTEM: "SystemInfo", _MEMORY64: "Memory64List"}
_ARCHITECTURES = {0: "x86", 5: "ARM", 6: "Itanium", 12: "ARM64"}
_AMD64 = 9


@dataclass(frozen=True, slots=True)
class DumpedRange:
    """Addresses whose bytes the dump holds, and where in the file they begin."""

    addresses: Interval
    offset: int


class DumpMemory:
    """The memory that a dump holds."""

    __slots__ = ("_descriptor", "_place", "_starts", "ranges")

    def __init__(self, descriptor: int, place: str, ranges: Sequence[DumpedRange]) -> None:
        self._descriptor = descriptor
        self._place = place
        self.ranges = tuple(ranges)
        self._starts = [each.addresses.start for each in self.ranges]

    def read(self, address: int, size: int) -> bytes:
        """As ``Memory.read``; HpbuildError DUMP_INCOMPLETE for what the dump does not hold."""
        chunks, at, end = [], address, address + size
        while at < end:
            index = bisect_right(self._starts, at) - 1
            if index < 0 or at not in self.ranges[index].addresses:
                cause = (
                    f"it does not hold the memory at {at:#x} ({size:#x} bytes from {address:#x} are needed)"
                )
                raise HpbuildError(codes.DUMP_INCOMPLETE, self._place, cause)
            held = self.ranges[index]
            part = Interval(at, min(end, held.addresses.end))
            offset = held.offset + part.start - held.addresses.start
            chunks.append(read_at(self._descriptor, offset, len(part), self._place))
            at = part.end
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Give the file back; later reads fail."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """A dump of a 64-bit process. ``modules`` have no ``file``: the dump may come from another machine.
    ``full`` is what the dump says of itself: that it was written with the process's whole memory. Close it,
    or use it as a context manager."""

    memory: Memory
    modules: tuple[LoadedModule, ...]
    full: bool

    def close(self) -> None:
        """Let go of the file."""
        if isinstance(self.memory, Closable):
            self.memory.close()

    def __enter__(self) -> "Dump":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _File:
    """The open dump: its size and the extents of its streams by type, checked."""

    descriptor: int
    place: str
    size: int

    def read(self, offset: int, size: int, what: str) -> bytes:
        if offset + size > self.size:
            cause = f"{what}: {size:#x} bytes at {offset:#x} in a file of {self.size:#x}"
            raise HpbuildError(codes.DUMP_MALFORMED, self.place, cause)
        return read_at(self.descriptor, offset, size, self.place)


def open_dump(path: Path) -> Dump:
    """The minidump at ``path``.

    Raises HpbuildError: DUMP_UNREADABLE, DUMP_MALFORMED, DUMP_LIMIT, PROCESS_32_BIT for a machine other than
    x64. Memory that is missing is refused when it is asked for.
    """
    place = str(path)
    flags = (
        os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    )
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise HpbuildError(codes.DUMP_UNREADABLE, place, words) from error
    try:
        return _parse(descriptor, place)
    except BaseException:
        os.close(descriptor)
        raise


def read_at(descriptor: int, offset: int, size: int, place: str) -> bytes:
    """Exactly ``size`` bytes at ``offset``. HpbuildError DUMP_UNREADABLE when the file does not give them."""
    chunks = []
    while size > 0:
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
            chunk = os.read(descriptor, min(size, _CHUNK))
        except OSError as error:
            raise HpbuildError(codes.DUMP_UNREADABLE, place, error.strerror or "reading failed") from error
        if not chunk:
            raise HpbuildError(codes.DUMP_UNREADABLE, place, f"the file ends at {offset:#x} by now")
        chunks.append(chunk)
        offset += len(chunk)
        size -= len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _parse(descriptor: int, place: str) -> Dump:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise HpbuildError(
            codes.DUMP_UNREADABLE, place, os.strerror(errno.EINVAL) + ": it is no regular file"
        )
    file = _File(descriptor, place, status.st_size)
    if file.size < _HEADER.size:
        raise HpbuildError(codes.DUMP_MALFORMED, place, f"{file.size} bytes are less than a header")
    signature, version, count, at, flags = _HEADER.unpack(file.read(0, _HEADER.size, "header"))
    if signature != _SIGNATURE or version & 0xFFFF != _VERSION:
        cause = f"it begins with {signature.hex(' ')}, version {version & 0xFFFF:#x}"
        raise HpbuildError(codes.DUMP_MALFORMED, place, cause)
    streams = _streams(file, count, at)
    _check_machine(file, streams)
    modules = _modules(file, streams)
    ranges = _ranges(file, streams)
    return Dump(memory=DumpMemory(descriptor, place, ranges), modules=modules, full=bool(flags & 2))


def _streams(file: _File, count: int, at: int) -> dict[int, Interval]:
    """Extents in the file by stream type, of the types that are read."""
    if count > MAX_STREAMS:
        raise HpbuildError(codes.DUMP_LIMIT, file.place, f"{count} streams, the limit is {MAX_STREAMS}")
    found: dict[int, Interval] = {}
    for kind, size, offset in _DIRECTORY.iter_unpack(file.read(at, count * _DIRECTORY.size, "streams")):
        if kind not in _NAMES:
            continue
        if kind in found:
            raise HpbuildError(codes.DUMP_MALFORMED, file.place, f"two {_NAMES[kind]} streams")
        if offset + size > file.size:
            cause = f"{_NAMES[kind]}: {size:#x} bytes at {offset:#x} in a file of {file.size:#x}"
            raise HpbuildError(codes.DUMP_MALFORMED, file.place, cause)
        found[kind] = Interval(offset, offset + size)
    return found


def _check_machine(file: _File, streams: dict[int, Interval]) -> None:
    extent = streams.get(_SYSTEM, Interval(0, 0))
    if len(extent) < 2:
        raise HpbuildError(codes.DUMP_MALFORMED, file.place, "it does not say for which processor it is")
    (architecture,) = struct.unpack("<H", file.read(extent.start, 2, "SystemInfo"))
    if architecture != _AMD64:
        name = _ARCHITECTURES.get(architecture, f"architecture {architecture}")
        raise HpbuildError(codes.PROCESS_32_BIT, file.place, f"it is a dump of a process on {name}")


def _rows(file: _File, extent: Interval, kind: int, head: int, layout: struct.Struct, limit: int) -> bytes:
    """The rows of a list, which ``head`` bytes precede: its length first, in 4 bytes or, of a longer head, 8.
    Some writers fill a head of 4 up to 8."""
    name = _NAMES[kind]
    if len(extent) < head:
        raise HpbuildError(codes.DUMP_MALFORMED, file.place, f"{name} of {len(extent)} bytes")
    count = int.from_bytes(file.read(extent.start, 4 if head == 4 else 8, name), "little")
    if count > limit:
        raise HpbuildError(codes.DUMP_LIMIT, file.place, f"{name} with {count} rows, the limit is {limit}")
    size = count * layout.size
    start = 8 if head == 4 and len(extent) == 8 + size else head
    if start + size > len(extent):
        cause = f"{name} of {len(extent)} bytes is to have {count} rows"
        raise HpbuildError(codes.DUMP_MALFORMED, file.place, cause)
    return file.read(extent.start + start, size, name)


def _modules(file: _File, streams: dict[int, Interval]) -> tuple[LoadedModule, ...]:
    extent = streams.get(_MODULES)
    if extent is None:
        raise HpbuildError(codes.DUMP_MALFORMED, file.place, "it has no list of modules")
    rows = _rows(file, extent, _MODULES, 4, _MODULE, MAX_MODULES)
    modules = []
    for base, size, name in _MODULE.iter_unpack(rows):
        if base % PAGE or not PAGE <= base < ADDRESS_LIMIT or not size or base + size > ADDRESS_LIMIT:
            cause = f"a module of {size:#x} bytes at {base:#x}"
            raise HpbuildError(codes.DUMP_MALFORMED, file.place, cause)
        path = _string(file, name)
        last = path.rpartition("\\")[2]
        modules.append(LoadedModule(name=last, path=path, file=None, base=base, size=size))
    check_disjoint(modules, file.place, codes.DUMP_MALFORMED)
    return tuple(modules)


def _string(file: _File, offset: int) -> str:
    """MINIDUMP_STRING: the length in bytes, then UTF-16 text."""
    length = int.from_bytes(file.read(offset, 4, "module name"), "little")
    if length % 2 or length > _MAX_NAME:
        raise HpbuildError(codes.DUMP_MALFORMED, file.place, f"a module name of {length} bytes")
    return wide_text(file.read(offset + 4, length, "module name"))


def _ranges(file: _File, streams: dict[int, Interval]) -> list[DumpedRange]:
    """All memory that the dump holds, ascending and disjoint."""
    found: list[DumpedRange] = []
    if _MEMORY64 in streams:
        extent = streams[_MEMORY64]
        rows = _rows(file, extent, _MEMORY64, 16, _RANGE64, MAX_RANGES)
        offset = int.from_bytes(file.read(extent.start + 8, 8, "Memory64List"), "little")
        for start, size in _RANGE64.iter_unpack(rows):
            found.append(_range(file, start, size, offset))
            offset += size
    if _MEMORY in streams:
        rows = _rows(file, streams[_MEMORY], _MEMORY, 4, _RANGE32, MAX_RANGES)
        found += [_range(file, start, size, offset) for start, size, offset in _RANGE32.iter_unpack(rows)]
    found = sorted((each for each in found if len(each.addresses)), key=lambda each: each.addresses)
    for before, after in pairwise(found):
        if before.addresses.overlaps(after.addresses):
            cause = f"it holds {after.addresses} twice"
            raise HpbuildError(codes.DUMP_MALFORMED, file.place, cause)
    return found


def _range(file: _File, start: int, size: int, offset: int) -> DumpedRange:
    if start + size > 1 << 64 or offset + size > file.size:
        cause = f"{size:#x} bytes of memory at {start:#x}, at offset {offset:#x} of a file of {file.size:#x}"
        raise HpbuildError(codes.DUMP_MALFORMED, file.place, cause)
    return DumpedRange(Interval(start, start + size), offset)
