"""Whether code and data that the truth does not list (runtime libraries) differ all the same, as the two
images and their symbols show: a report about these is neither right nor false.

The truth covers the library's own objects. What a fix links in beside them (a threads library, longer lists
of initialisers) is real, but not in it.
"""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from bench.naming import POINTER, Names
from bench.scoring import Sides
from hpbuild.code.program import load_program
from hpbuild.match.model import Change, FunctionChange
from hpbuild.pe.image import Image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.symbols import SymbolKind, Symbols
from hpbuild.values import Interval


class Reality:
    """Two images with their names. ``listed`` are the data of the truth that changed."""

    def __init__(self, baseline: Image, fixed: Image, sides: Sides, listed: Iterable[str]) -> None:
        self._images = (baseline, fixed)
        self._names = (sides.baseline, sides.fixed)
        self._listed = frozenset(listed)

    def read(self, side: int, run: Interval) -> bytes:
        """Bytes of the baseline (0) or the fixed image (1)."""
        return self._images[side].read(run.start, len(run))

    def appeared(self, report: FunctionChange) -> bool:
        """Whether a function reported as added or removed is in one image only, by name and scope."""
        if report.change is Change.CHANGED:
            return False
        added = report.change is Change.ADDED
        here, there = self._names if not added else self._names[::-1]
        keys = here.keys_at(int((report.fixed or report.baseline)[0].start))
        return bool(keys) and not any(there.has_key(key) for key in keys)

    def data_differs(self, names: Iterable[str]) -> bool:
        """Whether data of one of these names is in one image only, or has other content: another known size,
        other bytes, or addresses at other places. What the addresses name is left out."""
        return any(self._differs(name) for name in names)

    def refers_to_difference(self, report: FunctionChange) -> bool:
        """Whether a function of one name on both sides refers to named data that differs."""
        if report.change is not Change.CHANGED:
            return False
        return any(
            name in self._listed or self._differs(name)
            for part in report.fixed
            for name in self._referred(part)
        )

    def _differs(self, name: str) -> bool:
        name = name.removeprefix(POINTER)
        runs = [names.extent(name) for names in self._names]
        if None in runs:
            return not all(names.has(SymbolKind.DATA, name) for names in self._names)
        (left, left_exact), (right, right_exact) = (run for run in runs if run is not None)
        if left_exact and right_exact and len(left) != len(right):
            return True
        length = min(len(left), len(right))
        ours, theirs = (self._masked(side, run.start, length) for side, run in enumerate((left, right)))
        return ours != theirs

    def _masked(self, side: int, start: int, length: int) -> tuple[bytes, tuple[int, ...]]:
        """Content with addresses zeroed, and where these are."""
        image = self._images[side]
        length = min(length, image.size_of_image - start)
        content = bytearray(image.read(start, length))
        sites = self._sites[side]
        low, high = np.searchsorted(sites, (start, start + length))
        places = tuple(int(site) - start for site in sites[low:high])
        for place in places:
            content[place : place + 8] = bytes(min(8, length - place))
        return bytes(content), places

    @cached_property
    def _sites(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint32]], ...]:
        return tuple(relocation_sites(image) for image in self._images)

    @cached_property
    def _references(self) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]:
        """Sites and targets of the fixed image's code, ascending by site."""
        references = load_program(self._images[1], Symbols(source="none", items=())).references
        return references.site, references.target

    def _referred(self, part: Interval) -> frozenset[str]:
        sites, targets = self._references
        low, high = np.searchsorted(sites, (part.start, part.end))
        names: Names = self._names[1]
        return frozenset(name for target in targets[low:high].tolist() for name in names.data_at(target))
