"""The bytes of a file, which need not lie in one piece: those that the loader maps lie where it maps them."""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, overload

from hpbuild.dataclass import dataclass
from hpbuild.pe.arrangement import Layout
from hpbuild.values import Digest
from hpbuild.values.digest import SMALL

_STEP = 1 << 20
"""Bytes that are compared at a time."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """The image that the bytes of a file were read into, as ``layout`` says; ``memory`` is read-only."""

    layout: Layout
    memory: memoryview


@dataclass(frozen=True, slots=True)
class FileBytes:
    """Bytes that never change: length, slices, single bytes and comparison as of ``bytes``.

    ``views`` are the pieces, read-only, none of them empty; ``starts`` their offsets, and behind them the
    length of the file. ``mapped`` when most of them are parts of an image in memory.
    """

    views: tuple[memoryview, ...]
    starts: tuple[int, ...]
    mapped: Mapped | None = None

    @classmethod
    def of(cls, data: "bytes | FileBytes") -> "FileBytes":
        """``data`` itself, or in one piece."""
        return data if isinstance(data, FileBytes) else cls.joined([memoryview(data)])

    @classmethod
    def joined(cls, pieces: Iterable[memoryview], mapped: Mapped | None = None) -> "FileBytes":
        """The ``pieces`` after each other. Nobody may change them any more."""
        views = tuple(piece.toreadonly() for piece in pieces if len(piece))
        return cls(views, tuple(accumulate((len(view) for view in views), initial=0)), mapped)

    def __len__(self) -> int:
        return self.starts[-1]

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> bytes: ...

    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, slice):
            start, end, step = place.indices(len(self))
            if step != 1:
                raise ValueError("bytes of a file are taken in their order, each")
            return b"".join(self.pieces(start, end))
        index = place + len(self) if place < 0 else place
        if not 0 <= index < len(self):
            raise IndexError(f"{place} leaves a file of {len(self)} bytes")
        number = bisect_right(self.starts, index) - 1
        return self.views[number][index - self.starts[number]]

    # One byte after the other is never what is wanted: a file may have 2 GiB.
    __iter__ = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FileBytes | bytes):
            return NotImplemented
        if self is other or len(self) != len(other):
            return self is other
        steps = range(0, len(self), _STEP)
        return all(self[start : start + _STEP] == other[start : start + _STEP] for start in steps)

    def __hash__(self) -> int:
        raise TypeError("the bytes of a file have no hash: it would take all of them")

    def __repr__(self) -> str:
        return f"FileBytes({len(self)} bytes)"

    def __reduce__(self) -> tuple[Any, ...]:
        return FileBytes.of, (self.whole(),)

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[memoryview]:
        """The bytes from ``start`` to ``end`` (0 <= both; as far as there are any) as pieces of memory."""
        stop = len(self) if end is None else min(end, len(self))
        number = bisect_right(self.starts, start) - 1
        while start < stop:
            base, following = self.starts[number], self.starts[number + 1]
            yield self.views[number][start - base : stop - base]
            start, number = following, number + 1

    def whole(self) -> bytes:
        """All bytes in one piece: of a large file a copy, for those that can do with nothing else."""
        only = self.views[0].obj if len(self.views) == 1 else None
        if isinstance(only, bytes) and len(only) == len(self):
            return only
        return b"".join(self.views)

    def unpack(self, layout: str, offset: int) -> tuple[Any, ...]:
        """``struct.unpack_from``. Raises struct.error when the bytes end before."""
        return struct.unpack(layout, self[offset : offset + struct.calcsize(layout)])

    def digest(self, start: int = 0, end: int | None = None) -> Digest:
        """SHA-256 of all bytes, or of those from ``start`` to ``end``, as far as there are any."""
        stop = len(self) if end is None else end
        if stop - start < SMALL:
            return Digest.of(self[start:stop])
        import hashlib

        state = hashlib.sha256()
        for piece in self.pieces(start, stop):
            state.update(piece)
        return Digest(state.digest())
