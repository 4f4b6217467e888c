"""All fragments of an image in the making, their references, the tables they read."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from hpbuild.code.columns import among, marked
from hpbuild.code.decode import ReferenceColumns, scan
from hpbuild.code.model import I64, U32
from hpbuild.code.pieces import Columns, Mask, Piece, columns_of
from hpbuild.code.scanned import Scanned
from hpbuild.code.scanning import scan_runs
from hpbuild.code.survey import Rows
from hpbuild.dataclass import dataclass, field, replace
from hpbuild.pe.image import Image

Block = tuple[U32, U32, U32]
"""References: their sites, targets and meta as in ``ReferenceColumns``."""


def _none() -> Columns:
    return columns_of([])


@dataclass(slots=True)
class Layout:
    """All fragments of an image: those of ``pieces`` (by start), of the unwind rows and of the gaps. Its
    filler, its references, its RVA tables."""

    pieces: dict[int, Piece] = field(default_factory=dict)
    rows: Columns = field(default_factory=_none)
    gaps: Columns = field(default_factory=_none)
    padding: I64 = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    """Rows (start, end)."""
    blocks: list[Block] = field(default_factory=list)
    """As they were found."""
    count: int = 0
    """References in ``blocks``."""
    tables: dict[int, tuple[int, int]] = field(default_factory=dict)
    """MSVC table RVA -> (root of the function that reads it, bytes read at once)."""
    selected: set[int] = field(default_factory=set)
    """Roots of functions that read single bytes behind the image base: which entry of a table to take."""

    def add(self, scanned: Scanned) -> int:
        """Keep what was found; how many rows there were before."""
        return self.append((scanned.site, scanned.target, scanned.meta))

    def append(self, block: Block) -> int:
        """The same of references."""
        begin, self.count = self.count, self.count + len(block[0])
        self.blocks.append(block)
        return begin

    def merged(self) -> Block:
        """All of ``blocks`` as one."""
        if len(self.blocks) != 1:
            none = np.zeros(0, dtype=np.uint32)
            site, target, meta = zip((none, none, none), *self.blocks, strict=True)
            self.blocks = [(np.concatenate(site), np.concatenate(target), np.concatenate(meta))]
        return self.blocks[0]

    def starts(self) -> I64:
        """Where the fragments begin, ascending."""
        objects = np.fromiter(self.pieces, dtype=np.int64, count=len(self.pieces))
        return np.sort(np.concatenate([self.rows.start, self.gaps.start, objects]))

    def take(self, starts: I64) -> None:
        """Make objects of the fragments that begin at ``starts``."""
        for name in ("rows", "gaps"):
            table: Columns = getattr(self, name)
            chosen = marked(table.start, starts)
            if chosen.any():
                self.pieces.update((piece.start, piece) for piece in table.only(chosen).pieces())
                setattr(self, name, table.only(~chosen))

    def end_of(self, start: int) -> int | None:
        """The end of the fragment that begins at ``start``, if one does."""
        piece = self.pieces.get(start)
        if piece is not None:
            return piece.end
        end = self.rows.end_of(start)
        return self.gaps.end_of(start) if end is None else end

    def table(self) -> Columns:
        """All fragments."""
        return self.rows.joined(self.gaps, columns_of(list(self.pieces.values())))

    def parts(self, pieces: Iterable[Piece] | None = None) -> list[tuple[Block, Mask]]:
        """The references of ``pieces``, of all fragments when none are given: blocks, and which of their rows
        are meant."""
        chosen = list(self.pieces.values() if pieces is None else pieces)
        rows = [np.array([piece.rows for piece in chosen], dtype=np.int64).reshape(-1, 2)]
        if pieces is None:
            rows += [np.stack([table.first, table.last], axis=1) for table in (self.rows, self.gaps)]
        used, found = _held(np.concatenate(rows), self.count), list[tuple[Block, Mask]]()
        before = 0
        for block in self.blocks:  # merged ones would take room once more
            found.append((block, used[before : before + len(block[0])]))
            before += len(block[0])
        more = ReferenceColumns.joined(piece.more for piece in chosen if piece.more is not None).rows()
        site, target, meta = more.astype(np.uint32)
        return [*found, ((site, target, meta), np.ones(len(site), dtype=np.bool_))]

    def references(self, pieces: Iterable[Piece] | None = None, others: Block | None = None) -> U32:
        """The same as columns of three rows (site, target, meta), and these ``others`` behind them."""
        parts = self.parts(pieces)
        if others is not None:
            parts.append((others, np.ones(len(others[0]), dtype=np.bool_)))
        sizes = [int(np.count_nonzero(used)) for _, used in parts]
        found, at = np.empty((3, sum(sizes)), dtype=np.uint32), 0
        for (block, used), size in zip(parts, sizes, strict=True):
            for column, into in zip(block, found, strict=True):
                into[at : at + size] = column[used]
            at += size
        return found

    def since(self, count: int) -> Iterator[Block]:
        """The references that were found when there were ``count`` of them, and later."""
        before = 0
        for block in self.blocks:
            site, target, meta = block
            first = max(count - before, 0)
            yield site[first:], target[first:], meta[first:]
            before += len(site)


def _held(runs: I64, count: int) -> Mask:
    """Which of ``count`` numbers the disjoint ``runs`` (rows of first and behind) hold."""
    first, last = runs[runs[:, 0] < runs[:, 1]].T
    steps = np.zeros(count + 1, dtype=np.int8)
    steps[first] += 1
    steps[last] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_)


def add_rows(layout: Layout, rows: Rows, root: I64, scanned: Scanned) -> None:
    """Add the fragments of the unwind rows, ``scanned`` being what was found in them. Those of functions that
    take the image base, and those that are not all code, become objects."""
    before = layout.add(scanned)
    code = rows.end - rows.start == scanned.sizes
    takers = np.fromiter(scanned.image_base, dtype=np.int64, count=len(scanned.image_base))
    touched = ~code | among(root, np.sort(root[takers]))
    columns = Columns(
        start=rows.start, end=rows.end, root=root, unwind=rows.unwind, opaque=np.zeros_like(code),
        falls_through=scanned.falls_through, first=scanned.first + before, last=scanned.ends + before,
    )  # fmt: skip
    layout.rows = columns.only(~touched)
    objects = list(columns.only(touched).pieces())
    layout.pieces.update((piece.start, piece) for piece in objects)
    tell_places(objects, scanned)
    for run, registers in scanned.image_base.items():
        layout.pieces[int(rows.start[run])].registers = registers
    for run in np.flatnonzero(~code).tolist():
        start = int(rows.start[run])
        truncate(layout, layout.pieces[start], start + int(scanned.sizes[run]))


def add_code(image: Image, layout: Layout, pieces: Sequence[Piece]) -> None:
    """Scan pieces and add them; bytes from the first non-instruction on become an opaque piece."""
    scanned = _scan(image, pieces)
    layout.pieces.update((piece.start, piece) for piece in pieces)
    falls_through = scanned.falls_through.tolist()
    for piece, rows, falls in zip(pieces, _runs(layout, scanned), falls_through, strict=True):
        piece.rows, piece.falls_through = rows, falls
    for index, registers in scanned.image_base.items():
        pieces[index].registers = registers
    tell_places(pieces, scanned)
    sizes = np.array([piece.end - piece.start for piece in pieces], dtype=np.int64)
    for index in np.flatnonzero(scanned.sizes < sizes).tolist():
        truncate(layout, pieces[index], pieces[index].start + int(scanned.sizes[index]))


def tell_places(pieces: Sequence[Piece], scanned: Scanned) -> None:
    """Set ``wide_at`` of ``pieces``, which are among what was ``scanned``."""
    places = np.sort(scanned.wide_at)
    bounds = np.array([(piece.start, piece.end) for piece in pieces], dtype=np.int64).reshape(-1, 2)
    first, last = np.searchsorted(places, bounds).T
    for number in np.flatnonzero(first < last).tolist():
        pieces[number].wide_at = places[first[number] : last[number]].tolist()


def _runs(layout: Layout, scanned: Scanned) -> Iterator[tuple[int, int]]:
    """Add what was found; the rows of each run."""
    before = layout.add(scanned)
    return zip((scanned.first + before).tolist(), (scanned.ends + before).tolist(), strict=True)


def _scan(image: Image, pieces: Sequence[Piece]) -> Scanned:
    bounds = np.array([(piece.start, piece.end) for piece in pieces], dtype=np.int64).reshape(-1, 2)
    return scan_runs(image, bounds[:, 0], bounds[:, 1])


def cut_heads(layout: Layout, heads: dict[int, int]) -> None:
    """Let the pieces at the keys begin at the values instead: what lies before is filler, which names
    nothing. A function that began there has its new start for a root."""
    if not heads:
        return
    for old, new in heads.items():
        piece = layout.pieces.pop(old)
        piece.start = new
        layout.pieces[new] = piece
    layout.padding = np.concatenate([layout.padding, np.array(list(heads.items()), dtype=np.int64)])
    for piece in layout.pieces.values():
        piece.root = heads.get(piece.root, piece.root)
    moved, root = np.array(sorted(heads), dtype=np.int64), layout.rows.root.copy()
    for row in np.flatnonzero(among(root, moved)).tolist():
        root[row] = heads[int(root[row])]
    layout.rows = replace(layout.rows, root=root)
    for table, (reader, width) in layout.tables.items():
        layout.tables[table] = heads.get(reader, reader), width
    layout.selected = {heads.get(reader, reader) for reader in layout.selected}


def truncate(layout: Layout, piece: Piece, stop: int) -> None:
    """End the code of ``piece`` at ``stop``; the rest of it becomes opaque, with what was opaque behind it
    for no other reason than a byte that is no instruction. What it refers to is then to be found again."""
    end, piece.end = piece.end, stop
    if stop < end:
        behind = layout.pieces.get(end)
        if behind is not None and behind.opaque and behind.root == piece.root and end not in layout.tables:
            end = layout.pieces.pop(end).end
        layout.pieces[stop] = Piece(stop, end, piece.root, 0, True)


def rescan(image: Image, layout: Layout, pieces: Sequence[Piece]) -> None:
    """Find again what truncated pieces refer to. Their last instruction may be cut in two."""
    scanned = _scan(image, pieces)
    for index, (piece, rows) in enumerate(zip(pieces, _runs(layout, scanned), strict=True)):
        piece.rows, piece.falls_through = rows, bool(scanned.falls_through[index])
        if scanned.sizes[index] < piece.end - piece.start:
            columns = ReferenceColumns()
            code = image.read(piece.start, piece.end - piece.start)
            piece.falls_through = scan(code, piece.start, columns).falls_through
            piece.rows, piece.more = (0, 0), columns
