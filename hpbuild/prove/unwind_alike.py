"""Which pairs of unwind records have nothing to tell: over whole columns, for the many that are the same.

What this module calls alike passes step 6 without a finding; what it does not is compared one by one there.
So it may say no too often, never yes.
"""

import numpy as np

from hpbuild.dataclass import dataclass
from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.language import may_hold_scopes
from hpbuild.prove.records import Flags, Records, read_records, same_codes, take
from hpbuild.prove.references import Numbers, Use, among
from hpbuild.prove.space import Space

_LONGEST_CHAIN = 32
_ALIGNED_FRAME = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two spaces whose records are compared. ``numbers`` are the handlers of the fixed image that take the
    place of a stack cookie, ``records`` the sorted RVAs of its unwind records."""

    fixed: Space
    other: Space
    judge: Correspondence
    carried: bool
    numbers: frozenset[int]
    records: Numbers

    def right(self, targets: Numbers, others: Numbers, use: Use) -> Flags:
        """By row: is the second address the counterpart of the first?"""
        uses = np.full(len(targets), int(use), dtype=np.int64)
        return self.judge.right(targets, others, uses, self.carried)

    def known(self, addresses: Numbers) -> Flags:
        """By row: does an unwind record begin there?"""
        return among(addresses, self.records)


def alike(pair: Pair, records: Numbers, others: Numbers, depth: int = 0) -> Flags:
    """By row: is the record of the second space like the one of the fixed image, with all that they name?"""
    if not len(records) or depth > _LONGEST_CHAIN:
        return np.zeros(len(records), dtype=np.bool_)
    ours, theirs = read_records(pair.fixed, records), read_records(pair.other, others)
    result = same_codes((pair.fixed, pair.other), (ours, theirs))
    rows = np.flatnonzero(result & ours.chained)
    result[rows] = _chains(pair, take(ours, rows), take(theirs, rows), depth)
    rows = np.flatnonzero(result & (ours.handler != 0))
    result[rows] = _handlers(pair, take(ours, rows), take(theirs, rows))
    return result


def _chains(pair: Pair, ours: Records, theirs: Records, depth: int) -> Flags:
    result = pair.right(ours.begin, theirs.begin, Use.BRANCH)
    result &= ours.end - ours.begin == theirs.end - theirs.begin
    rows = np.flatnonzero(result)
    result[rows] = alike(pair, ours.parent[rows], theirs.parent[rows], depth + 1)
    return result


def _handlers(pair: Pair, ours: Records, theirs: Records) -> Flags:
    """Handlers that correspond, with language data that does. A record right behind the handler's address
    means that there is no such data."""
    result = pair.right(ours.handler, theirs.handler, Use.UNWIND)
    rows = np.flatnonzero(result & ~pair.known(ours.data))
    data, other = ours.data[rows], theirs.data[rows]
    same = pair.right(data, other, Use.ACCESS) & ~may_hold_scopes(pair.fixed, data)
    numbers = np.isin(ours.handler[rows], np.array(sorted(pair.numbers), dtype=np.int64))
    same[numbers] &= _same_cookies(pair, data[numbers], other[numbers])
    result[rows] = same
    return result


def _same_cookies(pair: Pair, data: Numbers, other: Numbers) -> Flags:
    """The places of stack cookies, one number or, with an aligned frame, three."""
    result = np.ones(len(data), dtype=np.bool_)
    place = pair.fixed.unsigned(data, 4)
    for at in (0, 4, 8):
        here, there = pair.fixed.unsigned(data + at, 4), pair.other.unsigned(other + at, 4)
        wanted = (at == 0) | ((place & _ALIGNED_FRAME) != 0)
        result &= ~wanted | ((here == there) & (here >= 0))
    return result
