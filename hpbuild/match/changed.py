"""Pairs for functions whose form differs or is not unique: who calls them, where they lie, how alike."""

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.model import I64
from hpbuild.match.agreement import expand, in_step
from hpbuild.match.names import named_apart
from hpbuild.match.pairing import Level, Pairing, balanced, counted_pairs, once
from hpbuild.match.sides import Side
from hpbuild.match.similarity import Shapes, similarity

MIN_REFERENCE = 0.15
MIN_LAYOUT = 0.35
MIN_GLOBAL = 0.6
MIN_ORDER = 0.5
"""Share of neighbours that stayed neighbours, below which places say nothing."""
MAX_CANDIDATES = 4_000_000


def pair_by_reference(fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes]) -> int:
    """Pair free fragments that references of paired, equal forms name in the same place."""
    if not len(baseline.forms):
        return 0
    free = np.flatnonzero(pairing.fixed < 0)
    left, at = expand(fixed.links.first, fixed.links.last, free)
    row = fixed.links.rows[at]
    owner = fixed.program.references.fragment[row]
    mate = pairing.fixed[owner]
    ok = (mate >= 0) & (fixed.forms[owner] != 0) & (fixed.forms[owner] == baseline.forms[mate])
    ok &= (fixed.targets.offset[row] == 0) & (row < fixed.last[owner])
    kept = np.flatnonzero(ok)
    left, row, owner = left[kept], row[kept], owner[kept]
    other = baseline.first[pairing.fixed[owner]] + row - fixed.first[owner]
    right = baseline.targets.code[other]
    ok = (right >= 0) & (baseline.targets.offset[other] == 0)
    ok &= pairing.baseline[np.maximum(right, 0)] < 0
    if not ok.any():
        return 0
    return _take_best(*counted_pairs(left[ok], right[ok]), fixed, baseline, pairing, shapes)


def _take_best(
    left: I64,
    right: I64,
    votes: I64,
    fixed: Side,
    baseline: Side,
    pairing: Pairing,
    shapes: tuple[Shapes, Shapes],
) -> int:
    # Most have no rival: they need not wait for their turn.
    clear = (fixed.forms[left] == baseline.forms[right]) & once(left) & once(right)
    made = pairing.add_distinct(left[clear], right[clear], Level.REFERENCE)
    left, right, votes = left[~clear], right[~clear], votes[~clear]
    for index in np.lexsort((right, left, -votes)).tolist():
        a, b = int(left[index]), int(right[index])
        if pairing.fixed[a] >= 0 or pairing.baseline[b] >= 0:
            continue
        if (
            fixed.forms[a] == baseline.forms[b]
            or similarity(shapes[0].of(a), shapes[1].of(b)) >= MIN_REFERENCE
        ):
            made += pairing.add_one(a, b, Level.REFERENCE)
    return made


def pair_by_layout(fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes]) -> int:
    """Pair free fragments between the same paired neighbours, in order, where they are alike; none when the
    images do not have their functions in one order."""
    if _kept_order(fixed, baseline, pairing) < MIN_ORDER:
        return 0
    made, apart = 0, _Forms(fixed, baseline, pairing).apart
    code = np.flatnonzero(fixed.forms != 0)
    other = np.flatnonzero(baseline.forms != 0)
    place = np.full(len(baseline.forms), -1, dtype=np.int64)
    place[other] = np.arange(len(other))
    runs = _free_runs(pairing.fixed[code] < 0)
    for low, high in runs:
        before = int(place[pairing.fixed[code[low - 1]]]) if low else -1
        after = int(place[pairing.fixed[code[high]]]) if high < len(code) else len(other)
        middle = other[before + 1 : after]
        middle = middle[pairing.baseline[middle] < 0] if before < after else middle[:0]
        if not len(middle) or len(middle) * (high - low) > MAX_CANDIDATES // 64:
            continue
        left, right = code[low:high].tolist(), middle.tolist()
        scores = [
            [0.0 if apart(a, b) else _likeness(fixed, baseline, pairing, shapes, a, b) for b in right]
            for a in left
        ]
        for a, b in _align(left, right, scores):
            made += pairing.add_one(a, b, Level.LAYOUT)
    return made


class _Forms:
    """Which forms as many free fragments of both sides have: these are each other's counterparts, and none of
    them is the old version of a function of another form."""

    __slots__ = ("_baseline", "_even", "_fixed")

    def __init__(self, fixed: Side, baseline: Side, pairing: Pairing) -> None:
        self._fixed, self._baseline = fixed.forms, baseline.forms
        even = balanced(fixed.forms, baseline.forms, pairing)
        self._even = frozenset(fixed.forms[even].tolist())

    def apart(self, a: int, b: int) -> bool:
        """Whether two fragments are of different forms, and one of them has its counterpart elsewhere."""
        ours, theirs = int(self._fixed[a]), int(self._baseline[b])
        return ours != theirs and not self._even.isdisjoint((ours, theirs))


def _kept_order(fixed: Side, baseline: Side, pairing: Pairing) -> float:
    """Share of the paired fragments whose next paired neighbour is that of their partners too, 0 to 1."""
    rows = np.flatnonzero((pairing.fixed >= 0) & (fixed.forms != 0))
    paired = (pairing.baseline >= 0) & (baseline.forms != 0)
    place = np.cumsum(paired)[pairing.fixed[rows]]
    return float(np.mean(np.diff(place) == 1)) if len(rows) > 1 else 1.0


def _free_runs(free: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], free, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _likeness(
    fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes], a: int, b: int
) -> float:
    """Similarity of two fragments; 0 when both have symbols of different names, or when they have one form
    and known targets contradict."""
    if named_apart(fixed, baseline, a, b):
        return 0.0
    if fixed.forms[a] == baseline.forms[b]:
        left = fixed.targets.code[fixed.first[a] : fixed.last[a]]
        right = baseline.targets.code[baseline.first[b] : baseline.last[b]]
        both = (left >= 0) & (right >= 0)
        known = both & ((pairing.fixed[left] >= 0) | (pairing.baseline[right] >= 0))
        return 0.0 if np.any(pairing.fixed[left[known]] != right[known]) else 1.0
    return similarity(shapes[0].of(a), shapes[1].of(b))


def _align(left: list[int], right: list[int], scores: list[list[float]]) -> list[tuple[int, int]]:
    """Best order-preserving pairing of two short lists by score (dynamic programming)."""
    best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            score = scores[i][j]
            take = best[i + 1][j + 1] + score if score >= MIN_LAYOUT else 0.0
            best[i][j] = max(take, best[i + 1][j], best[i][j + 1])
    found, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        score = scores[i][j]
        if score >= MIN_LAYOUT and best[i][j] == best[i + 1][j + 1] + score:
            found.append((left[i], right[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def pair_by_similarity(fixed: Side, baseline: Side, pairing: Pairing, shapes: tuple[Shapes, Shapes]) -> int:
    """Pair what is left where each is clearly the other's nearest. Skipped when there is too much of it."""
    left = np.flatnonzero((pairing.fixed < 0) & (fixed.forms != 0)).tolist()
    right = np.flatnonzero((pairing.baseline < 0) & (baseline.forms != 0)).tolist()
    if not left or not right or len(left) * len(right) > MAX_CANDIDATES // 16:
        return 0
    rows = []
    others = [(b, shapes[1].of(b)) for b in right]
    for a in left:
        shape = shapes[0].of(a)
        size = len(shape)
        for b, other in others:
            if size >= MIN_GLOBAL * len(other) and len(other) >= MIN_GLOBAL * size:
                score = similarity(shape, other)
                if score >= MIN_GLOBAL:
                    rows.append((-score, a, b))
    made, apart = 0, _Forms(fixed, baseline, pairing).apart
    for _, a, b in sorted(rows):
        if pairing.fixed[a] < 0 and pairing.baseline[b] < 0 and not apart(a, b):
            made += pairing.add_one(a, b, Level.SIMILARITY)
    return made


_WEAK = (Level.REFERENCE, Level.LAYOUT, Level.SIMILARITY)


def drop_contradicted(fixed: Side, baseline: Side, pairing: Pairing) -> int:
    """Undo weak pairs of equal form that name code which is paired otherwise; the number undone."""
    weak = pairing.made_by(_WEAK)
    weak = weak[(fixed.forms[weak] != 0) & (fixed.forms[weak] == baseline.forms[pairing.fixed[weak]])]
    owner, row, other = in_step(fixed, baseline, pairing, weak)
    left, right = fixed.targets.code[row], baseline.targets.code[other]
    both = (left >= 0) & (right >= 0)
    partner = pairing.fixed[np.maximum(left, 0)]
    wrong = both & (partner != right) & (partner >= 0)
    bad = distinct(owner[wrong])
    pairing.drop(bad)
    return len(bad)


def pair_by_order(fixed: Side, baseline: Side, pairing: Pairing, colours: tuple[I64, I64]) -> int:
    """Pair what cannot be told apart (equal colour, as often on both sides) in address order."""
    left = np.flatnonzero((pairing.fixed < 0) & (fixed.forms != 0))
    right = np.flatnonzero((pairing.baseline < 0) & (baseline.forms != 0))
    left = left[np.argsort(colours[0][left], kind="stable")]
    right = right[np.argsort(colours[1][right], kind="stable")]
    keys_l, first_l, count_l = np.unique(colours[0][left], return_index=True, return_counts=True)
    keys_r, first_r, count_r = np.unique(colours[1][right], return_index=True, return_counts=True)
    _, i, j = np.intersect1d(keys_l, keys_r, assume_unique=True, return_indices=True)
    same = count_l[i] == count_r[j]
    i, j = i[same], j[same]
    _, rows = expand(first_l, first_l + count_l, i)
    _, others = expand(first_r, first_r + count_r, j)
    return pairing.add(left[rows], right[others], Level.ORDER)
