"""Type information of classes as the Itanium C++ ABI lays it out: which classes have virtual bases.

Source: Itanium C++ ABI, "RTTI Layout" (abi::__class_type_info, __si_class_type_info, __vmi_class_type_info).
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from hpbuild.code.model import I64, U8

_NAME_STARTS = np.frombuffer(b"0123456789NSPKFA*", dtype=np.uint8)
"""How the mangled name of a type that has type information may begin."""
_FLAGS = 0x1F
_VIRTUAL = 1
_MAX_BASES = 4096
_PLAIN_IMPORT = re.compile(r"!_ZTISt\d+(\w*_error|\w*exception|bad_\w+)$")
"""Type information of other modules whose classes have no virtual bases: the exceptions of the library."""


class ClassTypes:
    """Pointers of an image, read as type information. ``site`` (ascending) and ``target`` are the columns of
    its 8-byte pointers; ``slots`` names import slots by RVA."""

    __slots__ = ("_memory", "_site", "_slots", "_target")

    def __init__(self, memory: U8, site: I64, target: I64, slots: Mapping[int, str]) -> None:
        self._memory = memory
        self._site = site
        self._target = target
        self._slots = slots

    def with_virtual_bases(self, types: Iterable[int]) -> frozenset[int]:
        """Those of ``types`` (RVAs of type information) that have a virtual base somewhere above them, or
        may have one: a base that another module describes."""
        pending = sorted(set(types))
        tables = {self._pointer(rva) for rva in pending}
        seen, derived, found = set(pending), dict[int, list[int]](), list[int]()
        while pending:
            rva = pending.pop()
            bases, certain = self._bases(rva, tables)
            if certain:
                found.append(rva)
            for base in bases:
                derived.setdefault(base, []).append(rva)
                if base not in seen:
                    seen.add(base)
                    pending.append(base)
        marked = set(found)
        while found:
            for rva in derived.get(found.pop(), ()):
                if rva not in marked:
                    marked.add(rva)
                    found.append(rva)
        return frozenset(marked)

    def ends(self, types: Iterable[int]) -> I64:
        """Where the type information of classes with a list of bases ends, ascending."""
        return np.array(sorted({self._end(rva) for rva in types}), dtype=np.int64)

    def _end(self, rva: int) -> int:
        if self._pointer(rva + 16) >= 0:
            return rva + 24
        flags, count = (int(self._number(rva + at)) for at in (16, 20))
        listed = not flags & ~_FLAGS and 0 < count <= _MAX_BASES and self._pointer(rva + 24) >= 0
        return rva + 24 + 16 * count if listed else rva + 16

    def _bases(self, rva: int, tables: set[int]) -> tuple[list[int], bool]:
        """Bases in this image; does the class have virtual bases of its own, or bases nobody knows?
        ``tables`` are what type information begins with: so does the next, behind that of a class without
        bases."""
        base = self._pointer(rva + 16)
        if base >= 0:
            return ([], False) if base in tables else self._base(base, single=True)
        flags, count = (int(self._number(rva + at)) for at in (16, 20))
        if flags & ~_FLAGS or not 0 < count <= _MAX_BASES:
            return [], False
        bases: list[int] = []
        certain = False
        for at in range(rva + 24, rva + 24 + 16 * count, 16):
            base = self._pointer(at)
            if base < 0:
                break
            known, unknown = self._base(base, single=False)
            bases += known
            certain |= unknown or bool(self._number(at + 8) & _VIRTUAL)
        return bases, certain

    def _base(self, rva: int, single: bool) -> tuple[list[int], bool]:
        """A pointer to a base. Where a class may have a ``single`` one, something else may lie as well."""
        if rva in self._slots:
            return [], _PLAIN_IMPORT.search(self._slots[rva]) is None
        name = self._pointer(rva + 8) if self._pointer(rva) >= 0 else -1
        if 0 <= name < len(self._memory) and self._memory[name] in _NAME_STARTS:
            return [rva], False
        return [], not single

    def _pointer(self, rva: int) -> int:
        row = int(np.searchsorted(self._site, rva))
        return int(self._target[row]) if row < len(self._site) and self._site[row] == rva else -1

    def _number(self, rva: int) -> int:
        return int.from_bytes(self._memory[rva : rva + 4].tobytes(), "little")


def name_starts(octets: U8) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which bytes may begin the mangled name of a type that has type information."""
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.isin(octets, _NAME_STARTS)
    return found
