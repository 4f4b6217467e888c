"""A program: one image with its fragments, references, data fields and names. Values only.

A *fragment* is one contiguous run of code, or of data inside an executable section (*opaque*). A
function is the fragments with one ``root``. Everything is held in columns because large images have
hundreds of thousands of fragments and millions of references.
"""

from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image
from hpbuild.pe.symbols import Symbols

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]


class FieldForm(IntEnum):
    """How a field in data names an address."""

    ADDR64 = 0
    """8 bytes with a base relocation."""
    ADDR32NB = 1
    """4 bytes, an RVA (unwind records, MSVC jump tables)."""
    TABLE32 = 2
    """4 bytes, target - origin (clang and gcc tables)."""
    END32NB = 3
    """4 bytes, the RVA behind the last byte of a run: belongs with the byte before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragments:
    """Runs of an executable section, ascending and disjoint. ``root`` is the index of the fragment that
    begins the function; ``unwind`` the RVA of the UNWIND_INFO or 0; ``opaque`` marks data in code;
    ``falls_through`` code whose last instruction leads on to the byte behind it."""

    start: I64
    end: I64
    root: I64
    unwind: I64
    opaque: npt.NDArray[np.bool_]
    falls_through: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Fields of code that name an address, ascending by ``site`` (RVA of the field). ``kind`` holds
    RefKind values, ``width`` the field's bytes, ``trailing`` the instruction's bytes behind it,
    ``access`` the bytes read or written at the target (0: address only), ``fragment`` the owner."""

    site: I64
    target: I64
    kind: U8
    width: U8
    trailing: U8
    access: U16
    fragment: I64

    def __len__(self) -> int:
        return len(self.site)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFields:
    """Fields outside of instructions that name an address, ascending by ``site``; ``origin`` is only
    meaningful for TABLE32."""

    site: I64
    target: I64
    form: U8
    origin: I64

    def __len__(self) -> int:
        return len(self.site)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceptions:
    """Unwind records: where they begin, ascending, and the size of each with its language data; ``unknown``
    are RVAs of records whose language data is in a form that hpbuild cannot move; ``funclets``
    starts of code that runs on another function's frame: handlers and filters that language data names, and
    split-off parts."""

    starts: I64
    sizes: I64
    unknown: frozenset[int]
    funclets: frozenset[int]

    @property
    def records(self) -> "RecordRows":
        """Start and size of each."""
        return RecordRows(self.starts, self.sizes)


@dataclass(frozen=True, slots=True)
class RecordRows:
    """Two columns as a sequence of pairs, which are made when they are looked at."""

    starts: I64
    sizes: I64

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> tuple[int, int]:
        return int(self.starts[index]), int(self.sizes[index])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts.tolist(), self.sizes.tolist(), strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Everything the comparison needs of one image. ``names`` gives, by fragment index, the symbol or
    export name of its start; ``exported`` pairs exported fragments with their names, ``exported_data`` RVAs
    of other exports; ``slots`` names import slots by RVA; ``metadata`` are loader structures by class;
    ``padding`` are filler runs in executable sections, rows (start, end)."""

    image: Image
    symbols: Symbols
    fragments: Fragments
    references: References
    fields: DataFields
    exceptions: Exceptions
    names: dict[int, str]
    exported: tuple[tuple[int, str], ...]
    exported_data: tuple[tuple[int, str], ...]
    slots: dict[int, str]
    metadata: tuple[tuple[str, int, int], ...]
    padding: I64

    def fragment_at(self, rva: int) -> int:
        """Index of the fragment that holds ``rva``, or -1."""
        index = int(np.searchsorted(self.fragments.start, rva, side="right")) - 1
        return index if index >= 0 and rva < self.fragments.end[index] else -1

    def name_of(self, fragment: int) -> str:
        """Name for people: the symbol's, else ``sub_`` and the RVA in hexadecimal."""
        return self.names.get(fragment) or f"sub_{int(self.fragments.start[fragment]):x}"
