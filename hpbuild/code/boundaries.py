"""Function boundaries: unwind tables where they speak, other evidence in the gaps (design, section 4)."""

from collections.abc import Iterable

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.decode import KIND_MASK, RefKind
from hpbuild.code.gap_filling import Gaps, fill_gaps
from hpbuild.code.gaps import leading_filler
from hpbuild.code.image_base import add_image_base_operands
from hpbuild.code.layout import Block, Layout, add_rows, cut_heads
from hpbuild.code.model import I64
from hpbuild.code.pieces import Mask
from hpbuild.code.scanned import Scanned
from hpbuild.code.survey import Survey
from hpbuild.pe.access import distinct as distinct_words
from hpbuild.pe.image import Image

_INT3 = 0xCC
_MOST = 64
"""Most bytes of filler in front of an entry; compilers align to 64 bytes at most."""


def find_fragments(surveyed: Survey, scanned: Scanned, roots: I64, starts: I64) -> Layout:
    """Partition the executable runs into fragments and filler; ``scanned`` is what was found in the unwind
    rows.

    ``roots`` gives for each unwind row the begin of the function it belongs to; ``starts`` are addresses from
    symbols, exports, guard tables and relocated pointers. Addresses that decoded code calls or takes are
    added until nothing new comes.
    """
    layout, image, rows = Layout(), surveyed.image, surveyed.rows
    add_rows(layout, rows, roots, scanned)
    add_image_base_operands(image, layout, list(layout.pieces.values()), cut=True)
    gaps = Gaps(*_complement(surveyed))
    named, known = [starts, *(_named(*part) for part in layout.parts())], list[I64]()
    for _ in range(12):
        known.append(_united(*named, _column(layout.tables)))
        count = layout.count
        fresh = fill_gaps(image, layout, gaps, known[-1])
        if not len(fresh.starts):
            break
        named = [_named(references) for references in layout.since(count)]
        add_image_base_operands(image, layout, fresh.takers, cut=False)
    layout.padding = gaps.padding()
    cut_heads(layout, _filled_heads(image, layout, rows.start, _united(*known)))
    layout.padding = layout.padding[np.argsort(layout.padding[:, 0])]
    return layout


def _filled_heads(image: Image, layout: Layout, rows: I64, known: I64) -> dict[int, int]:
    """Begin of an unwind row -> the entry of its function, where filler comes first: something names the
    entry, and nothing the filler. Those rows become objects."""
    found: dict[int, int] = {}
    rows = rows[image.memory.take(rows) == _INT3]
    layout.take(rows)
    for begin in rows.tolist():
        piece = layout.pieces.get(begin)
        if piece is None or piece.opaque:
            continue
        entry = begin + leading_filler(image.read(begin, min(piece.end - begin, _MOST)), begin)
        low, high = np.searchsorted(known, (begin, entry)).tolist()
        if low == high < len(known) and known[high] == entry < piece.end:
            found[begin] = entry
    return found


def _complement(surveyed: Survey) -> tuple[I64, I64]:
    """Starts and ends of the parts of executable runs that no unwind row covers."""
    runs = np.array(surveyed.code, dtype=np.int64).reshape(-1, 2)
    start = np.sort(np.concatenate([runs[:, 0], surveyed.rows.end]))
    end = np.sort(np.concatenate([runs[:, 1], surveyed.rows.start]))
    some = np.flatnonzero(start < end)
    return start[some], end[some]


def _column(numbers: Iterable[int]) -> I64:
    return np.fromiter(numbers, dtype=np.int64)


def _united(*columns: I64) -> I64:
    """The numbers of all, ascending, each once."""
    return distinct(np.concatenate(columns))


def _named(references: Block, chosen: Mask | None = None) -> I64:
    """Every address that the ``chosen`` of the ``references``, or all, name, as candidates for a start inside
    a gap. Image-base operands are none: the tables are known, and code that folds the lowest case into an
    operand names what lies before them."""
    _, target, meta = references
    named = meta.astype(np.uint8) & KIND_MASK != RefKind.IMAGE_BASE  # the kind is in the lowest bits
    if chosen is not None:
        named &= chosen
    return distinct_words(target[named]).astype(np.int64)
