"""Reads bundles: bytes to members, refusing every spelling but the writer's.

Nothing is inflated, sought or guessed: the file is walked from its first byte to its last, each header is
compared with the one the profile demands, and the directory must follow from the headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hpbuild.bundle.layout import ENVELOPE, MANIFEST, STATEMENT, check_names
from hpbuild.bundle.output import read_bounded
from hpbuild.bundle.zip_profile import (
    CENTRAL_MAGIC,
    DOS_DATE,
    DOS_TIME,
    LOCAL,
    LOCAL_MAGIC,
    VERSION,
    Entry,
    crc32,
    directory,
)
from hpbuild.codes import bundle as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.paths import MAX_MEMBER, member_defect
from hpbuild.values import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a bundle: bytes of the ``file``, number of ``members``, bytes of one ``member``, of the
    ``statement``, the ``manifest`` and the signature ``envelope``."""

    file: int
    members: int
    member: int
    statement: int
    manifest: int
    envelope: int

    def of(self, name: str) -> int:
        """Largest size of the member ``name``, in bytes."""
        small = {STATEMENT: self.statement, MANIFEST: self.manifest, ENVELOPE: self.envelope}
        return small.get(name, self.member)


DEFAULT_LIMITS = Limits(
    file=1 << 30, members=10_004, member=512 << 20, statement=4 << 20, manifest=64 << 20, envelope=8 << 20
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that met the strict profile. ``raw`` is the file, ``members`` its contents in file order.
    Nothing has been verified."""

    raw: bytes
    members: Mapping[str, bytes]

    @property
    def statement(self) -> bytes:
        """Bytes of the statement member."""
        return self.members[STATEMENT]

    @property
    def manifest(self) -> bytes:
        """Bytes of the manifest member."""
        return self.members[MANIFEST]

    @property
    def envelope(self) -> bytes | None:
        """Bytes of the DSSE envelope; None for an unsigned bundle."""
        return self.members.get(ENVELOPE)

    @property
    def sha256(self) -> Digest:
        """Digest of the file."""
        return Digest.of(self.raw)


def read_bundle(data: bytes, limits: Limits = DEFAULT_LIMITS, place: str = "bundle") -> Bundle:
    """The bundle in ``data``; ``place`` names it in errors. Refuses with HP42xx."""
    if len(data) > limits.file:
        raise HpbuildError(codes.LIMIT, place, f"{len(data)} bytes, at most {limits.file} are read")
    if not data.startswith(LOCAL_MAGIC):
        raise HpbuildError(codes.NOT_A_BUNDLE, place, "the file does not begin with a member")
    entries: list[Entry] = []
    contents: dict[str, bytes] = {}
    offset = 0
    while data[offset : offset + 4] != CENTRAL_MAGIC:
        if len(entries) == limits.members:
            raise HpbuildError(codes.LIMIT, place, f"more than {limits.members} members")
        entry, start = _local(data, offset, limits, place)
        content = data[start : start + entry.size]
        if crc32(content) != entry.crc:
            raise HpbuildError(
                codes.BAD_CRC, f"{place}: {entry.name}", f"the content is not that of {entry.crc:#010x}"
            )
        if entry.name in contents:
            raise HpbuildError(codes.DUPLICATE_MEMBER, f"{place}: {entry.name}", "the name occurs twice")
        entries.append(entry)
        contents[entry.name] = content
        offset = start + entry.size
    _directory(data, offset, tuple(entries), place)
    check_names(contents)
    return Bundle(data, MappingProxyType(contents))


def read_bundle_file(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """The bundle in the file ``path``; refuses with HP42xx, and HP48xx when the file cannot be read."""
    return read_bundle(read_bounded(path, limits.file), limits, str(path))


def _local(data: bytes, offset: int, limits: Limits, place: str) -> tuple[Entry, int]:
    """Entry whose local header is at ``offset``, and the offset of its content."""
    where = f"{place} at {offset:#x}"
    if offset + LOCAL.size > len(data):
        raise HpbuildError(codes.TRUNCATED, where, "the file ends inside a member header")
    magic, version, flags, method, time, date, crc, stored, size, name_size, extra = LOCAL.unpack_from(
        data, offset
    )
    if magic != LOCAL_MAGIC:
        raise HpbuildError(codes.BAD_HEADER, where, "neither a member nor the directory begins here")
    defects = (
        (flags & 0x0001, "the member is encrypted"),
        (flags & 0x0008, "sizes in a data descriptor"),
        (flags, f"flags {flags:#06x}"),
        (method, f"compression method {method}"),
        (size == 0xFFFFFFFF or stored == 0xFFFFFFFF, "zip64 sizes"),
        (stored != size, f"stored size {stored} of {size} bytes"),
        (extra, f"{extra} bytes of extra fields"),
        (version != VERSION, f"version {version}"),
        ((time, date) != (DOS_TIME, DOS_DATE), f"time {date:#06x} {time:#06x}"),
    )
    for present, cause in defects:
        if present:
            raise HpbuildError(codes.BAD_HEADER, where, cause)
    start = offset + LOCAL.size + name_size
    name = _name(data[offset + LOCAL.size : start], name_size, where)
    if size > limits.of(name):
        raise HpbuildError(
            codes.LIMIT, f"{place}: {name}", f"{size} bytes, at most {limits.of(name)} are read"
        )
    if start + size > len(data):
        raise HpbuildError(codes.TRUNCATED, f"{place}: {name}", "the file ends inside the member")
    return Entry(name, crc, size, offset), start


def _name(raw: bytes, size: int, where: str) -> str:
    if size > MAX_MEMBER:
        raise HpbuildError(codes.BAD_NAME, where, f"a name of {size} bytes, at most {MAX_MEMBER} are allowed")
    if len(raw) < size:
        raise HpbuildError(codes.TRUNCATED, where, "the file ends inside a name")
    name = raw.decode("latin-1")
    if defect := member_defect(name):
        raise HpbuildError(codes.BAD_NAME, f"{where}: {name!r}", defect)
    return name


def _directory(data: bytes, offset: int, entries: tuple[Entry, ...], place: str) -> None:
    wanted = directory(entries, offset)
    found = data[offset : offset + len(wanted)]
    if found != wanted:
        position = next(
            (i for i, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), len(found)
        )
        code: Code = codes.TRUNCATED if position == len(found) < len(wanted) else codes.BAD_DIRECTORY
        raise HpbuildError(
            code, f"{place} at {offset + position:#x}", "the directory is not that of the members"
        )
    if extra := len(data) - offset - len(wanted):
        raise HpbuildError(codes.TRAILING, f"{place} at {offset + len(wanted):#x}", f"{extra} bytes follow")
