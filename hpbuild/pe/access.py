"""Bounded access to the mapped bytes of an image, with the reader's own code on every way out."""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.image import Image, Section
from hpbuild.values import Interval, Rva

Words = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]

EXPORT, IMPORT, RESOURCE, EXCEPTION, CERTIFICATE, BASERELOC, DEBUG = range(7)
TLS, LOAD_CONFIG, BOUND_IMPORT, IAT, DELAY_IMPORT, CLR = 9, 10, 11, 12, 13, 14
"""Indices of the data directories (PE specification, section "Optional Header Data Directories")."""

NAME_LIMIT = 16384
"""Longest name that is read, in bytes; compilers stop at 4096 characters for decorated names."""
_TOGETHER = 4 << 20
"""Bytes in which the names of one table usually lie."""
MAX_NAMES = 64 << 20
"""Bytes that the names of one table may take in memory; real tables of 65,536 long names take a quarter."""


def backed(section: Section) -> Interval:
    """RVAs of ``section`` whose bytes come from the file."""
    return Interval(section.rva, section.rva + min(section.raw_size, section.virtual_size))


def mapped_bytes(image: Image, rva: int, size: int, code: Code, what: str) -> bytes:
    """``size`` bytes at ``rva``; refuses with ``code`` when they leave the image."""
    if rva < 0 or size < 0 or rva + size > image.size_of_image:
        raise HpbuildError(code, image.name, f"{what} at RVA {rva:#x}, {size:#x} bytes, leaves the image")
    return image.memory[rva : rva + size].tobytes()


def unpack(image: Image, layout: str, rva: int, code: Code, what: str) -> tuple[Any, ...]:
    """Little-endian structure ``layout`` (as in ``struct``) at ``rva``; refuses with ``code`` outside."""
    return struct.unpack("<" + layout, mapped_bytes(image, rva, struct.calcsize("<" + layout), code, what))


def words(image: Image, rva: int, count: int, code: Code, what: str) -> Words:
    """``count`` 32-bit values from ``rva`` that lie in the file bytes of one section."""
    section = image.section_at(rva)
    if section is None or not backed(section).covers(Interval(rva, rva + 4 * count)):
        raise HpbuildError(
            code, image.name, f"{what} at RVA {rva:#x}, {count} entries, leaves its section's file bytes"
        )
    return np.frombuffer(image.memory[rva : rva + 4 * count].tobytes(), dtype="<u4").astype(
        np.uint32, copy=False
    )


def values_at(image: Image, rvas: Places, kind: str = "<u4") -> npt.NDArray[Any]:
    """The values of type ``kind`` (a name that numpy has) at many RVAs, wherever they are aligned. Each must
    lie in the image with all its bytes."""
    view = np.dtype(kind)
    count = max(len(image.memory) - view.itemsize + 1, 0)
    places: npt.NDArray[Any] = np.ndarray((count,), dtype=view, buffer=image.memory, strides=(1,))
    return places[rvas].astype(view.newbyteorder("="), copy=False)


def name_bytes(image: Image, rva: int, code: Code, what: str) -> bytes:
    """The bytes before the NUL at ``rva``; refuses with ``code`` when there is no NUL within reach."""
    if 0 <= rva < image.size_of_image:
        for reach in (128, NAME_LIMIT):
            chunk = image.memory[rva : rva + reach].tobytes()
            end = chunk.find(b"\0")
            if end >= 0:
                return chunk[:end]
    raise HpbuildError(code, image.name, f"{what} at RVA {rva:#x} is no NUL-terminated string")


@dataclass(slots=True)
class Names:
    """Reads the names of one table and stops when they are longer in all than any real table's: names that
    share bytes could exceed every memory."""

    image: Image
    code: Code
    limit: Code
    left: int

    @classmethod
    def of(cls, image: Image, code: Code, limit: Code) -> "Names":
        """A reader that refuses with ``code`` what is no name, and with ``limit`` too much of them."""
        # An image from a process has no file; its sections' bytes count instead, which no file has more of.
        return cls(image, code, limit, min(2 * file_bytes(image) + NAME_LIMIT, MAX_NAMES))

    def raw(self, rva: int, what: str) -> bytes:
        """``name_bytes`` at ``rva``."""
        found = name_bytes(self.image, rva, self.code, what)
        self._spend(len(found))
        return found

    def lengths(self, rvas: Places, what: str) -> Places:
        """The lengths of ``raw`` at many RVAs."""
        found = _lengths(self.image, rvas)
        if found is None or int(found.sum()) > self.left:
            return np.array([len(self.raw(rva, what)) for rva in rvas.tolist()], dtype=np.int64)
        self.left -= int(found.sum())
        return found

    def all(self, rvas: Places, what: str) -> list[bytes]:
        """``raw`` at many RVAs."""
        sizes = self.lengths(rvas, what)
        if not len(rvas):
            return []
        low = int(rvas.min())
        if int(rvas.max()) - low > _TOGETHER:
            return [
                self.image.read(rva, size) for rva, size in zip(rvas.tolist(), sizes.tolist(), strict=True)
            ]
        octets = self.image.memory[low : int((rvas + sizes).max())].tobytes()
        rows = zip((rvas - low).tolist(), sizes.tolist(), strict=True)
        return [octets[at : at + size] for at, size in rows]

    def texts(self, rvas: Places, what: str) -> tuple[list[str], Places]:
        """``text`` of ``raw`` at many RVAs, and how many bytes these have."""
        found = self.all(rvas, what)
        sizes = np.array([len(raw) for raw in found], dtype=np.int64)
        whole = b"\0".join(found)
        if whole.isascii() and b"\\" not in whole:
            texts = whole.decode("ascii").split("\0") if found else []
            if "".join(texts).isprintable():
                return texts, sizes
        return [self.text(raw) for raw in found], sizes

    def text(self, raw: bytes) -> str:
        """``printable(raw)``; what it takes beyond the bytes counts too."""
        text = printable(raw)
        if text.isascii():
            self._spend(len(text) - len(raw))
        else:
            self._spend(4 * len(text))
        return text

    def _spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise HpbuildError(self.limit, self.image.name, "the names are longer than the file")


def _lengths(image: Image, rvas: Places) -> Places | None:
    """Bytes before the NUL at every RVA when all names lie together and have their NUL within reach."""
    if not len(rvas):
        return np.zeros(0, dtype=np.int64)
    low, high = int(rvas.min()), int(rvas.max()) + NAME_LIMIT
    if low < 0 or high - low > _TOGETHER:
        return None
    ends = np.append(np.flatnonzero(image.memory[low:high] == 0) + low, high)
    found = ends[np.searchsorted(ends, rvas)] - rvas
    return found if int(found.max()) < NAME_LIMIT else None


def file_bytes(image: Image) -> int:
    """How many bytes of the image come from its file."""
    return max(len(image.data), sum(section.raw_size for section in image.sections))


def printable(raw: bytes) -> str:
    """``raw`` as text: UTF-8 where it is; other bytes, control characters and backslashes escaped, so
    that different bytes give different texts and no byte can steer a terminal."""
    if raw.isascii():
        text = raw.decode("ascii")
        if text.isprintable() and "\\" not in text:
            return text
    text = raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    # Two digits for single bytes, more for code points: U+0080 and the stray byte 80 stay apart.
    return "".join(
        c if c.isprintable() else f"\\x{ord(c):02x}" if c.isascii() else f"\\u{ord(c):04x}" for c in text
    )


def to_rva(image: Image, address: int, code: Code, what: str) -> Rva:
    """RVA of an absolute address at the preferred base; refuses with ``code`` outside the image."""
    rva = address - image.image_base
    if not 0 <= rva < image.size_of_image:
        raise HpbuildError(code, image.name, f"{what} {address:#x} lies outside the image")
    return Rva(rva)


def distinct(values: Words) -> Words:
    """The values, ascending, each once; numpy's ``unique`` hashes, which takes far longer."""
    ordered = np.sort(values)
    if not len(ordered):
        return ordered
    return ordered.take(np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))))


def merged_runs(starts: Places, ends: Places) -> tuple[Places, Places]:
    """Starts and ends of the sorted disjoint runs that cover the given half-open ranges; empty ranges
    vanish."""
    keep = ends > starts
    starts, ends = starts[keep], ends[keep]
    if not len(starts):
        return starts, ends
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    first = np.flatnonzero(np.concatenate(([True], starts[1:] > ends[:-1])))
    last = np.concatenate((first[1:] - 1, [len(starts) - 1]))
    return starts[first], ends[last]


def merged(starts: Places, ends: Places) -> tuple[Interval, ...]:
    """``merged_runs`` as intervals."""
    starts, ends = merged_runs(starts, ends)
    return tuple(Interval(a, b) for a, b in zip(starts.tolist(), ends.tolist(), strict=True))


def merged_intervals(intervals: "list[Interval] | tuple[Interval, ...]") -> tuple[Interval, ...]:
    """``merged`` for a list of intervals."""
    return merged(
        np.array([i.start for i in intervals], dtype=np.int64),
        np.array([i.end for i in intervals], dtype=np.int64),
    )
