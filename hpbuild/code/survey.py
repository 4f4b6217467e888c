"""What is known of an image's code before any of it is decoded: its executable runs, its unwind rows."""

from collections.abc import Iterable

import numpy as np

from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image
from hpbuild.pe.metadata import loader_structures
from hpbuild.pe.unwind import RuntimeFunctions, runtime_functions


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The unwind rows whose code is looked at: columns, ascending and disjoint, of RVAs."""

    start: I64
    end: I64
    unwind: I64

    def __len__(self) -> int:
        return len(self.start)

    def only(self, chosen: slice) -> "Rows":
        """The ``chosen`` ones."""
        return Rows(start=self.start[chosen], end=self.end[chosen], unwind=self.unwind[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """``table`` is the exception directory, ``metadata`` the loader structures (class name, RVAs of the first
    byte and behind the last), ``code`` the executable runs without those, ``rows`` the unwind rows in it."""

    image: Image
    table: RuntimeFunctions
    metadata: tuple[tuple[str, int, int], ...]
    code: tuple[tuple[int, int], ...]
    rows: Rows


def survey(image: Image) -> Survey:
    """Raises HpbuildError from the table readers of ``hpbuild.pe``."""
    table, metadata = runtime_functions(image), loader_structures(image)
    code = executable_runs(image, metadata)
    return Survey(image=image, table=table, metadata=metadata, code=tuple(code), rows=_rows(table, code))


def executable_runs(image: Image, metadata: Iterable[tuple[str, int, int]]) -> list[tuple[int, int]]:
    """Disjoint runs of executable sections without loader structures, ascending. The tail of a section
    that the file does not fill is left out."""
    taken = sorted((start, end) for _, start, end in metadata)
    runs = []
    for section in image.sections:
        if not section.executable:
            continue
        at, stop = int(section.rva), section.rva + min(section.virtual_size, section.raw_size)
        for start, end in taken:
            if end <= at or start >= stop:
                continue
            if start > at:
                runs.append((at, start))
            at = max(at, end)
        if at < stop:
            runs.append((at, stop))
    return runs


def _rows(table: RuntimeFunctions, code: list[tuple[int, int]]) -> Rows:
    """The rows that begin in an executable run, cut where it ends. The reader has seen to it that they are
    ascending, disjoint and not empty."""
    begin, end, unwind = (column.astype(np.int64) for column in (table.begin, table.end, table.unwind))
    starts, ends = np.array(code, dtype=np.int64).reshape(-1, 2).T
    run = np.searchsorted(starts, begin, side="right") - 1
    inside = np.flatnonzero((run >= 0) & (begin < ends[run])) if len(code) else run[:0]
    return Rows(start=begin[inside], end=np.minimum(end[inside], ends[run[inside]]), unwind=unwind[inside])
