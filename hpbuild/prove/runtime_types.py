"""Step 5, second part: what a C++ runtime needs of carried data beside its bytes.

Sources: Itanium C++ ABI, "Virtual Table Layout" and "RTTI Layout"; rttidata.h and ehdata.h of Visual C++
(CompleteObjectLocator, ThrowInfo). Read here once more, apart from the builder's own reading.
"""

import numpy as np

from hpbuild.codes import prove as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.manifest.model import Datum, Module
from hpbuild.pe.image import Image
from hpbuild.prove.checks import Recorder
from hpbuild.prove.language import words
from hpbuild.prove.references import Numbers
from hpbuild.prove.space import Space

_WORD = 8
_LARGEST = 1 << 31
_NAMES = b"0123456789NSPKFA*"
"""How names of types begin in type information."""
_MOST = 4096
_THROW_FLAGS = 0x17
_MOST_CATCHABLE = 256


@dataclass(slots=True)
class _Types:
    """The fixed image read as type information; ``known`` holds virtual bases by class."""

    image: Image
    space: Space
    known: dict[int, frozenset[int]] = field(default_factory=dict)

    def number(self, rva: int) -> int:
        return int.from_bytes(self.space.slice(rva, _WORD).tobytes(), "little", signed=True)

    def pointer(self, rva: int) -> int:
        """Where the 8-byte pointer at ``rva`` leads, -1 when the loader writes none there."""
        sites = self.space.relocated
        row = int(np.searchsorted(sites, rva))
        if row == len(sites) or sites[row] != rva:
            return -1
        target = self.number(rva) - self.space.image_base
        return target if 0 <= target < self.image.size_of_image else -1

    def executable(self, rva: int) -> bool:
        section = self.image.section_at(rva) if rva >= 0 else None
        return section is not None and section.executable

    def is_type(self, rva: int) -> bool:
        """Two pointers, the second to a mangled name."""
        name = self.pointer(rva + _WORD) if self.pointer(rva) >= 0 else -1
        text = self.space.slice(name, 1).tobytes() if name >= 0 and not self.executable(name) else b""
        return bool(text) and text in _NAMES

    def virtual_bases(self, rva: int) -> frozenset[int]:
        """All virtual bases of the class, its bases' included, that this image describes."""
        if rva in self.known:
            return self.known[rva]
        found: set[int] = set()
        seen, pending = {rva}, [rva]
        while pending and len(seen) <= _MOST:
            for base, virtual in self._bases(pending.pop()):
                found |= {base} if virtual else set()
                if base not in seen:
                    seen.add(base)
                    pending.append(base)
        self.known[rva] = frozenset(found)
        return self.known[rva]

    def _bases(self, rva: int) -> list[tuple[int, bool]]:
        single = self.pointer(rva + 16)
        if single >= 0:
            return [(single, False)] if self.is_type(single) else []
        flags, count = [*words(self.space, rva + 16, 2), 0, 0][:2]
        if flags > 0x1F or count > _MOST:
            return []
        rows = range(rva + 24, rva + 24 + 16 * count, 16)
        pairs = [(self.pointer(at), bool(self.number(at + _WORD) & 1)) for at in rows]
        return pairs if all(base >= 0 for base, _ in pairs) else []

    def front(self, site: int) -> int:
        """Start of the words that belong in front of the table behind the pointer at ``site``; ``site``
        + 8 when there is none."""
        target = self.pointer(site)
        after = site + _WORD
        if target < 0 or not self.executable(self.pointer(after)):
            return after
        if self._is_locator(target):
            return site
        top = site - _WORD
        if self.pointer(top) >= 0 or abs(self.number(top)) >= _LARGEST or not self.is_type(target):
            return after
        bases = len(self.virtual_bases(target))
        if not bases:
            return top
        at = top - _WORD * bases
        while self.number(top) and at > 0 and self._is_offset(at - _WORD):  # no filler between its tables
            at -= _WORD
        return max((end for end in range(top, at, -_WORD) if self.pointer(end - _WORD) >= 0), default=at)

    def _is_offset(self, rva: int) -> bool:
        return self.pointer(rva) < 0 and abs(self.number(rva)) < _LARGEST and bool(self.number(rva))

    def _is_locator(self, rva: int) -> bool:
        found = [*words(self.space, rva, 6), *[0] * 6]
        described = self.space.slice(found[3] + 16, 1).tobytes() == b"." if found[3] else False
        return described and ((found[0] == 1 and found[5] == rva) or found[0] == 0)

    def is_throw(self, rva: int) -> bool:
        """A ThrowInfo: flags, destructor, 0, array of what it may be caught as."""
        found = words(self.space, rva, 4)
        if len(found) < 4 or found[0] & ~_THROW_FLAGS or found[2] or not found[3]:
            return False
        kinds = [*words(self.space, found[3], 1), 0][0]
        if not 0 < kinds <= _MOST_CATCHABLE or (found[1] and not self.executable(found[1])):
            return False
        entries = words(self.space, found[3] + 4, kinds)
        return len(entries) == kinds and all(self._catchable(entry) for entry in entries)

    def _catchable(self, rva: int) -> bool:
        found = words(self.space, rva, 7)
        if len(found) < 7 or rva % 4 or not found[1] or (found[6] and not self.executable(found[6])):
            return False
        return self.space.slice(found[1] + 16, 1).tobytes() == b"."


def check_runtime_types(
    recorder: Recorder, module: Module, fixed: Image, spaces: tuple[Space, Space]
) -> None:
    """Carried virtual tables come with the words in front of them, and no carried constant is one that the
    runtime looks for by its module. ``spaces`` are the fixed image and the patch image as placed."""
    types = _Types(fixed, spaces[0])
    for datum in module.data:
        if datum.fixed.end > fixed.size_of_image or len(datum.fixed) != len(datum.patch):
            continue  # step 5 says so
        _tables(recorder, types, datum, spaces[1], spaces[1].start - module.image.range.start)
        section = fixed.section_at(datum.fixed.start)
        if section is not None and not section.writable:
            _throws(recorder, types, datum)


def _tables(recorder: Recorder, types: _Types, datum: Datum, patch: Space, delta: int) -> None:
    sites: Numbers = types.space.relocated
    low, high = np.searchsorted(sites, (datum.fixed.start - _WORD, datum.fixed.end - _WORD))
    for site in sites[low:high].tolist():
        front, start = types.front(site), int(datum.fixed.start)
        if front >= start:
            continue
        first, last = np.searchsorted(sites, (front - _WORD + 1, start))
        size = start - front
        here = types.space.slice(front, size)
        there = patch.slice(datum.patch.start + delta - size, size)
        if last > first or len(there) != size or bool((here != there).any()):
            cause = f"the table at {site + _WORD:#x} begins with the words at {front:#x}"
            recorder.fail(codes.TABLE_TORN, datum.name, cause)


def _throws(recorder: Recorder, types: _Types, datum: Datum) -> None:
    first = (datum.fixed.start + 3) & ~3
    table = types.space.slice(first, max(datum.fixed.end - first, 0) // 4 * 4).view("<u4")
    if len(table) < 4:
        return
    alike = (table[:-3] & np.uint32(~_THROW_FLAGS & 0xFFFFFFFF) == 0) & (table[2:-1] == 0) & (table[3:] != 0)
    rows = np.flatnonzero(alike)
    if len(rows):
        kinds = types.space.unsigned(table[rows + 3].astype(np.int64), 4)
        rows = rows[(kinds > 0) & (kinds <= _MOST_CATCHABLE)]
    for rva in (first + 4 * rows).tolist():
        if types.is_throw(rva):
            recorder.fail(codes.CARRIED_THROW, datum.name, f"the ThrowInfo at {rva:#x}")
