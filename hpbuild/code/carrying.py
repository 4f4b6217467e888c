"""What was found in the code of one image, carried over to another image with the same code.

Two runs of equal bytes, but for the four-byte fields that name addresses, hold the same instructions, and so
the same references in the same places: only what the fields name is to be computed anew. A run in which that
would change more than a target is not carried: a jump that leads into its own run now, or the image base that
is taken in one and not in the other.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import members
from hpbuild.code.decode import KIND_MASK, MAX_TARGET, RefKind
from hpbuild.code.model import I64, U8, U32
from hpbuild.code.scanned import Scanned, in_order, joined
from hpbuild.code.scanning import Tick, scan_runs
from hpbuild.code.survey import Rows, Survey
from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image

_BATCH = 1 << 20
"""Bytes of code compared in one go: they fit into a processor's cache."""
_FIELD = 4
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Target:
    """Rows of an image that what is known is carried to, and their ``partners``."""

    image: Image
    rows: Rows
    partner: I64

    def shares(self, half: int, part: float) -> tuple[I64, I64]:
        """The numbers of the rows, for two that know the rows of the partners before number ``half`` and
        those from it on; the first gets this ``part`` of the bytes of rows without a partner."""
        alone = self.partner < 0
        sizes = np.cumsum(np.where(alone, self.rows.end - self.rows.start, 0))
        first = np.where(alone, sizes <= part * sizes[-1:], self.partner < half)
        return np.flatnonzero(first), np.flatnonzero(~first)


@dataclass(frozen=True, slots=True)
class Carried:
    """What ``scan_runs`` finds in some rows of an image, and the numbers of these rows."""

    scanned: Scanned
    rows: I64


def carried(known: Scanned, old: Survey, new: Survey, tick: Tick = lambda done, total: None) -> Scanned:
    """What ``scan_runs`` finds in the rows of ``new``; ``known`` is what it found in those of ``old``."""
    target = Target(new.image, new.rows, partners(old.rows, new.rows))
    return completed([carried_part(known, old, target, np.arange(len(new.rows)), tick=tick)])


def carried_part(
    known: Scanned,
    old: Survey,
    target: Target,
    chosen: I64,
    first: int = 0,
    tick: Tick = lambda done, total: None,
) -> Carried:
    """The same of the rows ``chosen`` (ascending). ``known`` is what was found in as many rows of ``old``,
    from number ``first`` on; what it does not tell is decoded."""
    last = first + len(known.sizes)
    theirs, ours = old.rows.only(slice(first, last)), target.rows
    partner = target.partner[chosen]
    parts, numbers = list[Scanned](), list[I64]()
    for batch in _batches(ours, chosen[(partner >= first) & (partner < last)]):
        there = _Side(old.image, theirs, target.partner[batch] - first)
        moved = _moved(known, there, _Side(target.image, ours, batch))
        parts.append(moved.scanned)
        numbers.append(batch[moved.runs])
    rest = np.zeros(len(ours), dtype=np.bool_)
    rest[chosen] = True
    for batch in numbers:
        rest[batch] = False
    numbers.append(np.flatnonzero(rest))
    parts.append(scan_runs(target.image, ours.start[rest], ours.end[rest], tick))
    return Carried(joined(parts), np.concatenate(numbers))


def completed(parts: Sequence[Carried]) -> Scanned:
    """The rows of all parts, which are all rows of an image, in their order."""
    return in_order(joined([part.scanned for part in parts]), np.concatenate([part.rows for part in parts]))


def partners(old: Rows, new: Rows) -> I64:
    """For each row of ``new`` the number of a row of ``old`` with as many bytes that may hold the same code,
    or -1. Rows are found again by their own size and those of the next three, where no others have these; in
    between by counting."""
    theirs, ours = old.end - old.start, new.end - new.start
    there, here = _only_there(_keys(theirs), _keys(ours))
    there = np.concatenate([[-1], there, [len(theirs)]])
    here = np.concatenate([[-1], here, [len(ours)]])
    number = np.arange(len(ours))
    found = np.full(len(ours), -1, dtype=np.int64)
    before = np.searchsorted(here, number, side="right") - 1
    for anchor in (before + 1, before):  # what is said last counts
        place = there[anchor] + number - here[anchor]
        fits = (place >= 0) & (place < len(theirs))
        fits[fits] = theirs[place[fits]] == ours[fits]
        found[fits] = place[fits]
    return found


def _keys(sizes: I64) -> npt.NDArray[np.uint64]:
    """A number for each row that tells its size and those of the next three."""
    padded = np.append(sizes, [0, 0, 0]).astype(np.uint64)
    found = padded[:-3].copy()
    for later in range(1, 4):
        found = found * _FACTOR + padded[later : len(sizes) + later]
    return found


_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def _only_there(left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]) -> tuple[I64, I64]:
    """Numbers of those rows, one of each side, whose key no other row has, ascending on the right."""
    keys = np.concatenate([left, right])
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    new = np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])
    first = np.flatnonzero(new[:-2] & ~new[1:-1] & new[2:])  # of two that are equal
    one, two = order[first], order[first + 1] - len(left)
    both = (one < len(left)) & (two >= 0)
    one, two = one[both], two[both]
    ascending = np.argsort(two)
    return one[ascending], two[ascending]


def _batches(rows: Rows, numbers: I64) -> Iterator[I64]:
    """The rows ``numbers`` in parts of about as many bytes."""
    parts = np.cumsum(rows.end[numbers] - rows.start[numbers]) // _BATCH
    yield from np.split(numbers, np.flatnonzero(np.diff(parts)) + 1) if len(numbers) else ()


@dataclass(frozen=True, slots=True)
class _Side:
    """Rows of an image, by their numbers."""

    image: Image
    rows: Rows
    numbers: I64

    def start(self) -> I64:
        return self.rows.start[self.numbers]

    def code(self) -> U8:
        """The bytes of all of them, one row behind the other."""
        memory = self.image.memory.data
        begins, ends = self.start().tolist(), self.rows.end[self.numbers].tolist()
        parts = [memory[begin:end] for begin, end in zip(begins, ends, strict=True)]
        return np.frombuffer(b"".join(parts), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class _Moved:
    """What was carried over, and to which of the rows asked for."""

    scanned: Scanned
    runs: I64


def _moved(known: Scanned, old: _Side, new: _Side) -> _Moved:
    """What is known of rows, carried over to rows with as many bytes, where it can be."""
    first, ends = known.first[old.numbers], known.ends[old.numbers]
    counts, sizes = ends - first, known.sizes[old.numbers]
    index, owner = members(first, ends), np.repeat(np.arange(len(first)), counts)
    start, length = new.start(), new.rows.end[new.numbers] - new.start()
    place = np.cumsum(length) - length
    meta, old_target = known.meta[index], known.target[index]
    within = known.site[index] - old.start()[owner]
    code = new.code()
    width, kind = meta >> 4 & 15, meta & KIND_MASK
    target = _targets(code, place[owner] + within, meta) - place[owner] + start[owner]
    np.copyto(target, MAX_TARGET, where=(target < 0) | (target >= MAX_TARGET))
    into = (kind == RefKind.BRANCH) & (target >= start[owner]) & (target < (start + sizes)[owner])
    base = (kind == RefKind.LEA) & ((target == 0) != (old_target == 0))
    fine = np.ones(len(start), dtype=np.bool_)
    fine[owner[into | base | ((width != _FIELD) & (width != 1))]] = False
    differs = code != old.code()
    fields = (place[owner] + within)[width == _FIELD]
    for byte in range(_FIELD):
        differs[fields + byte] = False
    fine[np.searchsorted(place, np.flatnonzero(differs), side="right") - 1] = False
    kept, runs = fine[owner], np.flatnonzero(fine)
    ends = np.cumsum(counts[runs])
    bases = {
        number: known.image_base[run]
        for number, run in enumerate(old.numbers[runs].tolist())
        if run in known.image_base
    }
    scanned = Scanned(
        site=(within + start[owner])[kept].astype(np.uint32),
        target=target[kept].astype(np.uint32),
        meta=meta[kept],
        first=ends - counts[runs],
        ends=ends,
        sizes=sizes[runs],
        falls_through=known.falls_through[old.numbers[runs]],
        image_base=bases,
        wide=known.wide[old.numbers[runs]],
    )
    return _Moved(scanned, runs)


def _targets(code: U8, site: I64, meta: U32) -> I64:
    """Where the fields at the places ``site`` of ``code`` lead, of one or four bytes."""
    width, trailing = (meta >> 4 & 15).astype(np.int64), (meta >> 8 & 15).astype(np.int64)
    padded = np.append(code, np.zeros(_FIELD, dtype=np.uint8))
    words = np.ndarray(len(padded) - 3, "<i4", padded, 0, (1,))[site]
    found: I64 = site + width + trailing + np.where(width == 1, code[site].astype(np.int8), words)
    return found
