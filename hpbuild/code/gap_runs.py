"""The gaps between unwind rows as columns of runs: cut at the known starts, rebuilt where those change."""

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.cutter import PADDING, Flags
from hpbuild.code.cutting import Parts, cut_runs
from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image


@dataclass(frozen=True, slots=True)
class Spans:
    """Disjoint runs of RVAs, ascending, none empty."""

    start: I64
    end: I64

    def __len__(self) -> int:
        return len(self.start)

    def owners(self, rvas: I64) -> I64:
        """The number of the run that holds each of ``rvas``, or -1."""
        found = np.searchsorted(self.start, rvas, side="right") - 1
        if not len(self.start):
            return found
        return np.where((found >= 0) & (rvas < self.end[found]), found, -1)

    def row(self, number: int) -> tuple[int, int]:
        """One run."""
        return int(self.start[number]), int(self.end[number])

    def only(self, chosen: Flags) -> "Spans":
        """The ``chosen`` ones."""
        return Spans(self.start[chosen], self.end[chosen])


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of gaps without a known start inside; ``named`` are those that begin at one."""

    spans: Spans
    named: Flags

    def keys(self) -> I64:
        """A number that tells each run from all others; ascending."""
        return self.spans.start << 32 | self.spans.end << 1 | self.named


def cut_at(gaps: Spans, known: I64) -> Runs:
    """``gaps`` cut at the addresses ``known`` (ascending)."""
    cuts = known[gaps.owners(known) >= 0]
    start = distinct(np.concatenate([gaps.start, cuts]))
    end = np.minimum(np.append(start[1:], np.iinfo(np.int64).max), gaps.end[gaps.owners(start)])
    return Runs(Spans(start, end), _among(start, cuts))


def _among(values: I64, ordered: I64) -> Flags:
    """Which of ``values`` are among ``ordered`` (ascending)."""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found: Flags = ordered[place] == values
    return found


@dataclass(frozen=True, slots=True)
class Cut:
    """Runs and their parts, ascending; ``gone`` and ``fresh`` are the parts that the last change of the runs
    took away and brought."""

    runs: Runs
    parts: Parts
    gone: Parts
    fresh: Parts

    def padding(self) -> I64:
        """The parts that are filler: rows (start, end)."""
        filler = self.parts.only(self.parts.kind == PADDING)
        return np.stack([filler.start, filler.end], axis=1)


def nothing_cut() -> Cut:
    """Of an image without gaps."""
    none = np.zeros(0, dtype=np.int64)
    parts = Parts(none, none, np.zeros(0, dtype=np.uint8))
    return Cut(Runs(Spans(none, none), np.zeros(0, dtype=np.bool_)), parts, parts, parts)


def recut(image: Image, last: Cut, runs: Runs) -> Cut:
    """``runs`` cut; only those that are not in ``last`` are looked at."""
    before, after = last.runs.keys(), runs.keys()
    stays = _among(before, after)[last.runs.spans.owners(last.parts.start)]
    fresh = ~_among(after, before)
    if stays.all() and not fresh.any():
        return Cut(runs, last.parts, *2 * [last.parts.only(~stays)])
    made = cut_runs(image, runs.spans.start[fresh], runs.spans.end[fresh], runs.named[fresh])
    kept = last.parts.only(stays)
    return Cut(runs, kept.joined(made), last.parts.only(~stays), made)
