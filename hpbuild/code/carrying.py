"""What was found in the code of one image, carried over to another image with the same code.

Two runs of equal bytes, but for the four-byte fields that name addresses or may be RVAs, hold the same
instructions, and so the same references in the same places: only what the fields name is to be computed anew.
A run in which that would change more than a target is not carried: a jump that leads into its own run now, or
the image base that is taken in one and not in the other.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hpbuild.code.carried_heads import REACH, Heads, completed_heads, joined_heads
from hpbuild.code.columns import among, distinct, members
from hpbuild.code.decode import KIND_MASK, MAX_TARGET, RefKind
from hpbuild.code.model import I64, U8, U32
from hpbuild.code.partners import partners
from hpbuild.code.scanned import Scanned, in_order, joined
from hpbuild.code.scanning import PAGE, Tick, displacements, scan_runs
from hpbuild.code.survey import Rows, Survey
from hpbuild.dataclass import dataclass, replace
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
    known = replace(known, wide_at=np.sort(known.wide_at))
    theirs, ours = old.rows.only(slice(first, last)), target.rows
    partner = target.partner[chosen]
    parts, numbers = list[Scanned](), list[I64]()
    heads, headed = list[Heads](), list[I64]()
    for batch in _batches(ours, chosen[(partner >= first) & (partner < last)]):
        there = _Side(old.image, theirs, target.partner[batch] - first)
        moved = _moved(known, there, _Side(target.image, ours, batch))
        parts.append(moved.scanned)
        numbers.append(batch[moved.runs])
        heads.append(moved.heads)
        headed.append(batch[moved.headed])
    if heads:
        scanned, fine = completed_heads(target.image, joined_heads(heads))
        parts.append(scanned)
        numbers.append(np.concatenate(headed)[fine])
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
        return self.rows.start.take(self.numbers)

    def code(self) -> U8:
        """The bytes of all of them, one row behind the other."""
        memory = self.image.memory.data
        begins, ends = self.start().tolist(), self.rows.end[self.numbers].tolist()
        parts = [memory[begin:end] for begin, end in zip(begins, ends, strict=True)]
        return np.frombuffer(b"".join(parts), dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class _References:
    """The references of rows, as they are in rows with as many bytes: columns. ``owner`` is the number of the
    row here, ``within`` the site in it; ``based``: it took the image base before."""

    owner: I64
    within: I64
    target: I64
    meta: U32
    based: Mask

    def only(self, chosen: Mask) -> "_References":
        """The ``chosen`` ones."""
        return _References(**{name: getattr(self, name)[chosen] for name in _References.__slots__})

    def kind(self) -> npt.NDArray[np.integer]:
        return self.meta & KIND_MASK

    def width(self) -> npt.NDArray[np.integer]:
        return self.meta >> 4 & 15

    def behind(self) -> I64:
        """Where, in the row, the instructions end."""
        found: I64 = self.within + self.width() + (self.meta >> 8 & 15)
        return found

    def odd(self) -> Mask:
        """Which are no others of the same kind for sure."""
        bases = (self.kind() == RefKind.LEA) & (self.target == 0)
        found: Mask = (bases != self.based) | ((self.width() != _FIELD) & (self.width() != 1))
        return found

    def into(self, low: I64, high: I64) -> Mask:
        """Which are branches into the run ``[low, high)`` that is theirs."""
        inside = (self.target >= low.take(self.owner)) & (self.target < high.take(self.owner))
        found: Mask = inside & (self.kind() == RefKind.BRANCH)
        return found


@dataclass(frozen=True, slots=True)
class _Moved:
    """What was carried over, and to which of the rows asked for; the same of those of which only the begin is
    the same."""

    scanned: Scanned
    runs: I64
    heads: Heads
    headed: I64


def _moved(known: Scanned, old: _Side, new: _Side) -> _Moved:
    """What is known of rows, carried over to rows with as many bytes, where it can be."""
    start, end = new.start(), new.rows.end[new.numbers]
    place, code = np.cumsum(end - start) - (end - start), new.code()
    found = _references(known, old, start, place, code)
    differs = code != old.code()
    _forget(differs, (place.take(found.owner) + found.within)[found.width() == _FIELD])
    rough = distinct(np.searchsorted(place, np.flatnonzero(differs), side="right") - 1)
    _forget(differs, _displacements(known, old, rough, place, code))
    spots = np.flatnonzero(differs)
    rough, earliest = np.unique(np.searchsorted(place, spots, side="right") - 1, return_index=True)
    fine, alike = np.ones(len(start), dtype=np.bool_), np.zeros_like(start)
    fine[rough], alike[rough] = False, spots[earliest] - place[rough]
    heads = _heads(known, old, (start, end), found.only(~fine[found.owner]), alike)
    stop = start + known.sizes[old.numbers]
    fine[found.owner[found.odd() | found.into(start, stop)]] = False
    scanned = _scanned(known, old, start, found, fine[found.owner], np.where(fine, end - start, 0))
    return _Moved(scanned, np.flatnonzero(fine), *heads)


def _heads(
    known: Scanned, old: _Side, bounds: tuple[I64, I64], found: _References, alike: I64
) -> tuple[Heads, I64]:
    """The begins of rows of which the first bytes are ``alike``, so many of each, up to the end of an
    instruction that surely is the same; ``found`` are the references of those. And which rows have one."""
    start, end = bounds
    behind, size = found.behind(), np.zeros_like(start)
    ahead = behind + REACH <= alike[found.owner]
    size[found.owner[ahead]] = behind[ahead]  # of the last of each
    size[found.owner[np.where(ahead, found.odd() | found.into(start, end), found.based)]] = 0
    some = size > 0
    scanned = _scanned(known, old, start, found, ahead & some[found.owner], size)
    begin = start[some] + size[some]
    return Heads(scanned=scanned, start=start[some], begin=begin, end=end[some]), np.flatnonzero(some)


def _references(known: Scanned, old: _Side, start: I64, place: I64, code: U8) -> _References:
    """What is known of rows that are at ``start`` now, and at ``place`` in ``code``."""
    first, ends = known.first[old.numbers], known.ends[old.numbers]
    index, owner = members(first, ends), np.repeat(np.arange(len(first)), ends - first)
    meta = known.meta.take(index)
    within = known.site.take(index) - old.start().take(owner)
    target = _targets(code, place.take(owner) + within, meta) + (start - place).take(owner)
    np.copyto(target, MAX_TARGET, where=(target < 0) | (target >= MAX_TARGET))
    based = (meta & KIND_MASK == RefKind.LEA) & (known.target.take(index) == 0)
    return _References(owner=owner, within=within, target=target, meta=meta, based=based)


def _scanned(known: Scanned, old: _Side, start: I64, found: _References, kept: Mask, size: I64) -> Scanned:
    """What was ``found``, of the references ``kept``, in rows of which some bytes are the same: ``size`` of
    each, none of some."""
    runs, owner = np.flatnonzero(size > 0), found.owner[kept]
    counts, numbers = np.bincount(owner, minlength=len(size))[runs], old.numbers[runs]
    ends, begin = np.cumsum(counts), old.start()[runs]
    takers = np.flatnonzero(among(numbers, np.sort(np.fromiter(known.image_base, dtype=np.int64))))
    bases = {
        number: known.image_base[run]
        for number, run in zip(takers.tolist(), numbers[takers].tolist(), strict=True)
    }
    return Scanned(
        site=(found.within[kept] + start.take(owner)).astype(np.uint32),
        target=found.target[kept].astype(np.uint32),
        meta=found.meta[kept],
        first=ends - counts,
        ends=ends,
        sizes=known.sizes[numbers],
        falls_through=known.falls_through[numbers],
        image_base=bases,
        wide_at=_shifted(known.wide_at, begin, begin + size[runs], start[runs]),
    )


def _forget(differs: Mask, fields: I64) -> None:
    """Overlook what differs in the fields at these places."""
    for byte in range(_FIELD):
        differs[byte:][fields] = False


def _displacements(known: Scanned, old: _Side, rows: I64, place: I64, code: U8) -> I64:
    """Places in ``code`` of displacements of the ``rows``, which are carried to ``place``, that may be RVAs
    there as they were: what instructions refer to does not hang on them."""
    begin, end = old.start()[rows], old.rows.end[old.numbers[rows]]
    first, last = np.searchsorted(known.wide_at, begin), np.searchsorted(known.wide_at, end)
    at = known.wide_at[members(first, last)].astype(np.int64)
    field = displacements(old.image.memory, at)
    places = (field + np.repeat(place[rows] - begin, last - first))[field >= 0]
    found: I64 = places[_words(code, places) >= PAGE]
    return found


def _shifted(places: U32, begin: I64, end: I64, start: I64) -> U32:
    """Those of the ``places`` (ascending) in the runs ``[begin, end)``, as if these began at ``start``."""
    first, last = np.searchsorted(places, begin), np.searchsorted(places, end)
    found: U32 = places[members(first, last)] + np.repeat(start - begin, last - first).astype(np.uint32)
    return found


def _targets(code: U8, site: I64, meta: U32) -> I64:
    """Where the fields at the places ``site`` of ``code`` lead, of one or four bytes."""
    width, trailing = (meta >> 4 & 15).astype(np.int64), (meta >> 8 & 15).astype(np.int64)
    distance = np.where(width == 1, code[site].astype(np.int8), _words(code, site))
    found: I64 = site + width + trailing + distance
    return found


def _words(code: U8, places: I64) -> npt.NDArray[np.int32]:
    """The signed 32-bit words at these places; behind the code there are zeros."""
    padded = np.append(code, np.zeros(_FIELD, dtype=np.uint8))
    return np.ndarray(len(padded) - 3, "<i4", padded, 0, (1,))[places]
