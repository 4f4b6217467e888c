"""Code of which only the begin is the same in another image, as that of functions in front of jump tables:
the references in it are known, and only the rest is decoded.

Two things could be different nevertheless: a jump in the begin may lead over the end of the code now, where
that is nearer; and what control does behind the last byte could hang on the begin. Where that may be so, all
of the code is to be decoded.
"""

from collections.abc import Sequence

import numpy as np

from hpbuild.code.columns import members
from hpbuild.code.decode import KIND_MASK, RefKind
from hpbuild.code.leaps import SHORT, may_lead
from hpbuild.code.model import I64, U32
from hpbuild.code.scanned import Scanned, joined
from hpbuild.code.scanning import scan_runs
from hpbuild.code.sections import Mask
from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image

REACH = SHORT + 15
"""What differs so many bytes behind an instruction, or more, is out of reach of its short jump, and so is the
instruction that holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Runs ``[start, end)`` of which what is in front of ``begin`` is known: ``scanned`` has the references
    there, and of the whole runs, as they are in the other image, the sizes and what took the image base."""

    scanned: Scanned
    start: I64
    begin: I64
    end: I64


def joined_heads(parts: Sequence[Heads]) -> Heads:
    """The runs of all ``parts``, those of one part behind those of the other."""
    return Heads(
        scanned=joined([part.scanned for part in parts]),
        start=np.concatenate([part.start for part in parts]),
        begin=np.concatenate([part.begin for part in parts]),
        end=np.concatenate([part.end for part in parts]),
    )


def completed_heads(image: Image, heads: Heads) -> tuple[Scanned, Mask]:
    """What ``scan_runs`` finds in those of the runs that can be completed, and which these are."""
    known, tails = heads.scanned, scan_runs(image, heads.begin, heads.end)
    numbers = np.arange(len(heads.start))
    rows = members(tails.first, tails.ends)
    owner, target = np.repeat(numbers, tails.ends - tails.first), tails.target[rows]
    kind = tails.meta[rows] & KIND_MASK
    stop = heads.begin + tails.sizes
    fine = ~may_lead(image, heads.start, heads.begin, stop, heads.start + known.sizes)
    fine &= np.bincount(owner[kind <= RefKind.LEA], minlength=len(numbers)) > 0  # of no no-operation
    stays = (kind == RefKind.BRANCH) & (target >= heads.start[owner]) & (target < heads.begin[owner])
    rows, owner = rows[~stays], owner[~stays]
    first = members(known.first, known.ends)
    owners = np.concatenate([np.repeat(numbers, known.ends - known.first), owner])
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners, minlength=len(numbers))
    ends = np.cumsum(counts)
    found = Scanned(
        site=np.concatenate([known.site[first], tails.site[rows]])[order],
        target=np.concatenate([known.target[first], tails.target[rows]])[order],
        meta=np.concatenate([known.meta[first], tails.meta[rows]])[order],
        first=ends - counts,
        ends=ends,
        sizes=stop - heads.start,
        falls_through=tails.falls_through,
        image_base={
            run: known.image_base.get(run, frozenset()) | tails.image_base.get(run, frozenset())
            for run in known.image_base.keys() | tails.image_base.keys()
        },
        wide_at=_within(np.concatenate([known.wide_at, tails.wide_at]), heads.start[fine], heads.end[fine]),
    )
    return found.only(fine), fine


def _within(places: U32, low: I64, high: I64) -> U32:
    """Those of the ``places`` that lie in one of the disjoint runs."""
    ordered = np.sort(places)
    found: U32 = ordered[members(np.searchsorted(ordered, low), np.searchsorted(ordered, high))]
    return found
