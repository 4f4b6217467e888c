"""Resources: the version number and one digest over all. Source: PE specification, section "The .rsrc
Section"; Microsoft Learn, structures VS_VERSIONINFO and VS_FIXEDFILEINFO."""

import hashlib
import struct
from collections.abc import Iterator

from hpbuild.codes import pe as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.pe.access import NAME_LIMIT, RESOURCE, backed, file_bytes, mapped_bytes, unpack
from hpbuild.pe.image import Image
from hpbuild.values import Digest, Interval

RT_VERSION = 16
MAX_RESOURCES = 1 << 16
"""Large Windows libraries that hold nothing but resources have some thousands."""
MAX_NAMES = 16 << 20
"""Bytes of all names and of their directories' copies of them."""
DEPTH = 3
_SUBDIRECTORY = 1 << 31
_NAMED = 1 << 31
_FIXED_INFO = 40
_FIXED_SIGNATURE = 0xFEEF04BD
_VERSION_KEY = "VS_VERSION_INFO\0".encode("utf-16-le")
Key = int | str


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource: ``path`` is (type, name, language), each a number or a name; ``data`` are RVAs."""

    path: tuple[Key, ...]
    data: Interval
    code_page: int


@dataclass(slots=True)
class _Walk:
    image: Image
    directory: Interval
    content: int
    names: int
    leaves: int = 0
    seen: set[int] = field(default_factory=set)

    def refuse(self, cause: str) -> HpbuildError:
        """The error for a tree that exceeds a bound; resources that share bytes could exceed any file."""
        return HpbuildError(codes.RESOURCE_MALFORMED, self.image.name, cause)


def resources(image: Image) -> tuple[Resource, ...]:
    """All resources in directory order. Raises HpbuildError: HP1331 malformed, HP1332 loop."""
    directory = image.directories[RESOURCE]
    if not len(directory):
        return ()
    walk = _Walk(image, directory, 2 * file_bytes(image), min(2 * file_bytes(image) + NAME_LIMIT, MAX_NAMES))
    return tuple(_branch(walk, directory.start, ()))


def file_version(image: Image) -> str:
    """FILEVERSION of the first version resource as 'a.b.c.d', '' without one. Raises as ``resources``."""
    for resource in resources(image):
        if resource.path[0] != RT_VERSION:
            continue
        raw = image.read(resource.data.start, min(len(resource.data), _FIXED_INFO + 16))
        if len(raw) < _FIXED_INFO + 16 or raw[6 : 6 + len(_VERSION_KEY)] != _VERSION_KEY:
            raise HpbuildError(codes.RESOURCE_MALFORMED, image.name, "version resource without its key")
        signature, _, high, low = struct.unpack_from("<IIII", raw, _FIXED_INFO)
        if signature != _FIXED_SIGNATURE:
            return ""
        return f"{high >> 16}.{high & 0xFFFF}.{low >> 16}.{low & 0xFFFF}"
    return ""


def resource_digest(image: Image) -> Digest | None:
    """SHA-256 over path, code page and content of every resource, independent of their place in the
    file and of directory time stamps; None when there are none. Raises as ``resources``."""
    found = resources(image)
    if not found:
        return None
    digest = hashlib.sha256()
    for resource in sorted(found, key=lambda item: repr(item.path)):
        content = hashlib.sha256(image.memory[resource.data.start : resource.data.end].data).hexdigest()
        digest.update(f"{resource.path!r} {resource.code_page} {len(resource.data)} {content}\n".encode())
    return Digest(digest.digest())


def _branch(walk: _Walk, at: int, path: tuple[Key, ...]) -> Iterator[Resource]:
    """The resources under the directory table at RVA ``at``."""
    if at in walk.seen or len(path) == DEPTH:
        raise HpbuildError(codes.RESOURCE_LOOP, walk.image.name, f"directory at RVA {at:#x}, path {path}")
    walk.seen.add(at)
    _, _, _, _, named, numbered = _unpack(walk, "IIHHHH", at)
    rows = _unpack(walk, f"{2 * (named + numbered)}I", at + 16)
    for name, target in zip(rows[::2], rows[1::2], strict=True):
        key = _name(walk, name) if name & _NAMED else name
        child = walk.directory.start + (target & ~_SUBDIRECTORY)
        if target & _SUBDIRECTORY:
            yield from _branch(walk, child, (*path, key))
        else:
            yield _leaf(walk, child, (*path, key))


def _leaf(walk: _Walk, at: int, path: tuple[Key, ...]) -> Resource:
    if len(path) != DEPTH or at in walk.seen:
        raise HpbuildError(codes.RESOURCE_LOOP, walk.image.name, f"data entry at RVA {at:#x}, path {path}")
    walk.seen.add(at)
    rva, size, code_page, _ = _unpack(walk, "IIII", at)
    data = Interval(rva, rva + size)
    section = walk.image.section_at(rva)
    in_file = section is not None and backed(section).covers(data)
    if data.end > walk.image.size_of_image or (size and not in_file):
        raise walk.refuse(f"{size:#x} bytes at RVA {rva:#x} are not in the file")
    walk.leaves += 1
    walk.content -= size
    if walk.leaves > MAX_RESOURCES or walk.content < 0:
        raise walk.refuse(f"resource {path}: more than {MAX_RESOURCES}, or larger in all than the file")
    return Resource(path, data, code_page)


def _name(walk: _Walk, name: int) -> str:
    at = walk.directory.start + (name & ~_NAMED)
    (length,) = _unpack(walk, "H", at)
    walk.names -= 2 * length
    if walk.names < 0:
        raise walk.refuse("names longer in all than the file")
    raw = mapped_bytes(walk.image, at + 2, 2 * length, codes.RESOURCE_MALFORMED, "resource name")
    return raw.decode("utf-16-le", "backslashreplace")


def _unpack(walk: _Walk, layout: str, at: int) -> tuple[int, ...]:
    if at + struct.calcsize("<" + layout) > walk.directory.end:
        raise HpbuildError(codes.RESOURCE_MALFORMED, walk.image.name, f"RVA {at:#x} leaves {walk.directory}")
    return unpack(walk.image, layout, at, codes.RESOURCE_MALFORMED, "resource directory")
