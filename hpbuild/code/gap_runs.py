"""The gaps between unwind rows as columns of runs: cut at the known starts, and again when more are."""

import numpy as np

from hpbuild.code.columns import among, distinct, members, picked
from hpbuild.code.cutter import CODE, PADDING, Flags
from hpbuild.code.cutting import Parts, cut_runs
from hpbuild.code.model import I64
from hpbuild.code.scanned import Scanned, joined
from hpbuild.dataclass import dataclass, replace
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

    def hold(self, ordered: I64) -> Flags:
        """Which of ``ordered`` (ascending) lie in one of the runs."""
        found = np.zeros(len(ordered), dtype=np.bool_)
        found[members(np.searchsorted(ordered, self.start), np.searchsorted(ordered, self.end))] = True
        return found


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of gaps without a known start inside; ``named`` are those that begin at one, ``settled`` as in
    ``CutRuns``."""

    spans: Spans
    named: Flags
    settled: Flags

    def only(self, chosen: Flags) -> "Runs":
        """The ``chosen`` ones."""
        return Runs(self.spans.only(chosen), self.named[chosen], self.settled[chosen])

    def joined(self, other: "Runs") -> "Runs":
        """These and the others."""
        start = np.concatenate([self.spans.start, other.spans.start])
        order = np.argsort(start, kind="stable")
        end = np.concatenate([self.spans.end, other.spans.end])[order]
        named, settled = (
            np.concatenate(pair)[order] for pair in ((self.named, other.named), (self.settled, other.settled))
        )
        return Runs(Spans(start[order], end), named, settled)


def cut_at(runs: Runs, cuts: I64) -> Runs:
    """``runs`` cut at addresses in them (ascending)."""
    spans = runs.spans
    start = distinct(np.concatenate([spans.start, cuts]))
    owner = spans.owners(start)
    end = np.minimum(np.append(start[1:], np.iinfo(np.int64).max), spans.end[owner])
    named = among(start, cuts) | runs.named[owner] & (start == spans.start[owner])
    return Runs(Spans(start, end), named, runs.settled[owner])


@dataclass(frozen=True, slots=True)
class Cut:
    """Runs and their parts, ascending; ``gone`` and ``fresh`` are the parts that the last change of the runs
    took away and brought, ``scanned`` what was found in the code of the latter."""

    runs: Runs
    parts: Parts
    gone: Parts
    fresh: Parts
    scanned: Scanned

    def padding(self) -> I64:
        """The parts that are filler: rows (start, end)."""
        filler = self.parts.only(self.parts.kind == PADDING)
        return np.stack([filler.start, filler.end], axis=1)


def first_cut(image: Image, gaps: Spans, cuts: I64) -> Cut:
    """``gaps`` cut at addresses in them (ascending)."""
    none = np.zeros(len(gaps), dtype=np.bool_)
    wanted = cut_at(Runs(gaps, none, none), cuts)
    made = cut_runs(image, wanted.spans.start, wanted.spans.end, wanted.named)
    runs = replace(wanted, settled=made.settled)
    return Cut(runs, made.parts, _none_of(made.parts), made.parts, made.scanned)


def recut(image: Image, last: Cut, cuts: I64, without: Spans) -> Cut:
    """``last`` without the gaps ``without``, and cut at the addresses ``cuts`` (ascending) in the gaps that
    are left. Only runs that hold one are looked at; not those that are settled, where code begins at all
    cuts."""
    runs, parts = last.runs, last.parts
    if not len(cuts) and not len(without):
        return Cut(runs, parts, _none_of(parts), _none_of(parts), joined([]))
    owner = runs.spans.owners(cuts)
    touched, again = np.zeros((2, len(runs.spans)), dtype=np.bool_)
    touched[owner] = True
    again[owner[~among(cuts, picked(parts.start, parts.kind == CODE))]] = True
    again |= touched & ~runs.settled
    lost = without.hold(runs.spans.start)
    wanted = cut_at(replace(runs, settled=~again).only(touched), cuts)
    fresh = ~wanted.settled
    made = cut_runs(image, wanted.spans.start[fresh], wanted.spans.end[fresh], wanted.named[fresh])
    wanted.settled[fresh] = made.settled
    stays = ~runs.spans.only(lost | again).hold(parts.start)
    runs = runs.only(~lost & ~touched).joined(wanted)
    kept = parts.only(stays).joined(made.parts)
    return Cut(runs, kept, parts.only(~stays), made.parts, made.scanned)


def _none_of(parts: Parts) -> Parts:
    return parts.only(np.zeros(len(parts.start), dtype=np.bool_))
