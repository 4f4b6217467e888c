"""Function boundaries: unwind tables where they speak, other evidence in the gaps (design, section 4)."""

from bisect import bisect_right
from collections.abc import Callable, Iterable

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.decode import KIND_MASK, RefKind
from hpbuild.code.gap_filling import Gaps, fill_gaps
from hpbuild.code.gaps import leading_filler
from hpbuild.code.image_base import add_image_base_operands
from hpbuild.code.layout import Layout, Piece, add_code, cut_heads
from hpbuild.code.model import I64
from hpbuild.pe.image import Image
from hpbuild.pe.unwind import RuntimeFunctions

Tick = Callable[[int, int], None]
_TOLD = 8192
"""Pieces between two words about progress."""
_INT3 = 0xCC
_MOST = 64
"""Most bytes of filler in front of an entry; compilers align to 64 bytes at most."""


def find_fragments(
    image: Image,
    rows: RuntimeFunctions,
    roots: dict[int, int],
    executable: list[tuple[int, int]],
    starts: Iterable[int],
    tick: Tick,
) -> Layout:
    """Partition ``executable`` (disjoint runs, ascending) into fragments and filler.

    ``roots`` gives for each chained unwind row's begin the begin of the function it belongs to;
    ``starts`` are addresses from symbols, exports, guard tables and relocated pointers. Addresses that
    decoded code calls or takes are added until nothing new comes.
    """
    layout = Layout()
    spans = _spans(rows, executable)
    pieces = [Piece(begin, end, roots.get(begin, begin), unwind, False) for begin, end, unwind in spans]
    for number in range(0, len(pieces), _TOLD):
        tick(number, len(pieces))
        add_code(image, layout, pieces[number : number + _TOLD])
    add_image_base_operands(image, layout, list(layout.pieces.values()), cut=True)
    gaps = Gaps(_complement(executable, spans))
    known = _united(_column(starts), _targets(layout, layout.pieces.values()))
    for _ in range(12):
        known = _united(known, _column(layout.tables))
        fresh = fill_gaps(image, layout, gaps, known)
        if not fresh:
            break
        known = _united(known, _targets(layout, fresh))
        add_image_base_operands(image, layout, fresh, cut=False)
    layout.padding = gaps.padding()
    cut_heads(layout, _filled_heads(image, layout, [begin for begin, _, _ in spans], known))
    layout.padding.sort()
    return layout


def _filled_heads(image: Image, layout: Layout, begins: list[int], known: I64) -> dict[int, int]:
    """Begin of an unwind row -> the entry of its function, where filler comes first: something names the
    entry, and nothing the filler."""
    found: dict[int, int] = {}
    rows = np.array(begins, dtype=np.int64)
    for begin in rows[image.memory[rows] == _INT3].tolist():
        piece = layout.pieces.get(begin)
        if piece is None or piece.opaque:
            continue
        entry = begin + leading_filler(image.read(begin, min(piece.end - begin, _MOST)), begin)
        low, high = np.searchsorted(known, (begin, entry)).tolist()
        if low == high < len(known) and known[high] == entry < piece.end:
            found[begin] = entry
    return found


def _spans(rows: RuntimeFunctions, executable: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Unwind rows inside executable runs, cut where the next begins."""
    found: list[tuple[int, int, int]] = []
    ends = [stop for _, stop in executable]
    table = zip(rows.begin.tolist(), rows.end.tolist(), rows.unwind.tolist(), strict=True)
    for begin, end, unwind in table:
        run = bisect_right(ends, begin)
        if run == len(executable) or begin < executable[run][0]:
            continue
        if found and found[-1][1] > begin:
            if found[-1][0] == begin:
                continue
            found[-1] = (found[-1][0], begin, found[-1][2])
        found.append((begin, min(end, executable[run][1]), unwind))
    return found


def _complement(runs: list[tuple[int, int]], spans: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Parts of ``runs`` that no span covers."""
    gaps, index = [], 0
    for begin, end in runs:
        at = begin
        while index < len(spans) and spans[index][0] < end:
            if spans[index][0] > at:
                gaps.append((at, spans[index][0]))
            at = max(at, spans[index][1])
            index += 1
        if at < end:
            gaps.append((at, end))
    return gaps


def _column(numbers: Iterable[int]) -> I64:
    return np.fromiter(numbers, dtype=np.int64)


def _united(left: I64, right: I64) -> I64:
    """The numbers of both, ascending, each once."""
    return distinct(np.concatenate([left, right]))


def _targets(layout: Layout, pieces: Iterable[Piece]) -> I64:
    """Every address that ``pieces`` name, as candidates for a start inside a gap. Image-base operands are
    none: the tables are known, and code that folds the lowest case into an operand names what lies before
    them."""
    _, target, meta = layout.references(pieces)
    return distinct(target[meta & KIND_MASK != RefKind.IMAGE_BASE])
