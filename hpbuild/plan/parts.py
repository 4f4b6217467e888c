"""Which data without a name may be a part of the constant that begins before: an element that code reads
directly, of an array that other code indexes.

An address that is taken may be indexed, nobody can tell how far. What is only read, by operands that lie
within it, begins nothing by itself: so it may be an element of what lies before.
"""

import re
from collections.abc import Iterable, Iterator

import numpy as np

from hpbuild.code.columns import among
from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64, FieldForm
from hpbuild.dataclass import dataclass
from hpbuild.match.atoms import Memory
from hpbuild.match.sides import Side

ENDLESS = 1 << 62
_POINTER = 8
_FILLER = 16
"""Most zero bytes behind a table that are alignment."""
_LETTERS = 4
"""Fewer letters with zeros behind them may be a number."""
_TEXT = re.compile(rb"[\t\n\r\x20-\xff]{%d,}\0" % _LETTERS)
Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]


class Parts:
    """What may be a part of what, by atom. ``used`` marks the atoms that code refers to, ``named`` are those
    of symbols whose extent is known; ``records`` marks those that begin unwind records."""

    __slots__ = (
        "_end", "_form", "_memory", "_part", "_reach", "_reaching", "_records", "_run", "_side", "_sites",
        "_start", "_used", "_without",
    )  # fmt: skip

    def __init__(self, side: Side, used: Bools, named: Iterable[int], records: Bools) -> None:
        self._side, self._used, self._records = side, used, records
        self._without = np.zeros(len(side.atoms), dtype=np.bool_)
        self._without[np.fromiter(named, dtype=np.int64)] = True
        self._reach = _reaches(side)
        self._reaching, self._end = self._reach.data, side.atoms.end.data
        self._start, self._sites = side.atoms.start.data, side.program.fields.site
        self._memory = side.program.image.memory.data
        self._part: Bools | None = None
        self._run: memoryview | None = None

    def reach(self, atom: int) -> int:
        """The address up to which what names the atom's begin may read; ``ENDLESS`` where it is taken."""
        return self._reaching[atom]

    def is_open(self, atom: int) -> bool:
        """The atom's address is taken, or something reads beyond its end."""
        return self._reaching[atom] > self._end[atom]

    def wide(self) -> Bools:
        """``is_open`` of every atom."""
        found: Bools = self._reach > self._side.atoms.end
        return found

    def front(self, atom: int) -> int:
        """The first atom of which the given one may be a part; itself when there is none."""
        if self._run is None:
            number = np.arange(len(self._side.atoms))
            self._run = np.maximum.accumulate(np.where(self.marked(), 0, number)).data
        first = self._run[atom]
        if first == atom:
            return atom
        reaching = self._reach[first:atom] > self._side.atoms.start[atom]
        at = int(reaching.argmax())
        return first + at if reaching[at] else atom

    def pairs(self) -> Iterator[tuple[int, int]]:
        """All (front, part), ascending by part."""
        chain: list[tuple[int, int]] = []
        last, begins = -1, self._start
        for atom in np.flatnonzero(self.marked()).tolist():
            if atom - 1 != last:
                chain = [(atom - 1, self.reach(atom - 1))]
            start, last = begins[atom], atom
            chain = [(one, reach) for one, reach in chain if reach > start]
            if chain:
                yield chain[0][0], atom
            chain.append((atom, self.reach(atom)))

    def is_part(self, atom: int) -> bool:
        """The atom may be a part of what lies before it: code only reads it, it has no name, and what lies
        before is not known to end there."""
        return bool(self.marked()[atom])

    def form_at(self, rva: int) -> int:
        """The form of the address in data that begins at ``rva``, -1 for none."""
        place = int(self._sites.searchsorted(rva))
        known = place < len(self._sites) and int(self._sites[place]) == rva
        return int(self._side.program.fields.form[place]) if known else -1

    def is_text(self, atom: int) -> bool:
        """Letters and an end mark: nothing behind it belongs to it. Words of small numbers look alike, and so
        do fractions: as text counts what has some letters, in UTF-8."""
        found = _TEXT.match(self._memory, self._start[atom], self._end[atom])
        if found is None:
            return False
        try:
            found.group().decode("utf-8")
        except UnicodeDecodeError:
            return False
        return True

    def marked(self) -> Bools:
        """``is_part`` of every atom, decided once: what is cheap first, of all atoms at once."""
        if self._part is None:
            part = np.zeros(len(self._side.atoms), dtype=np.bool_)
            candidates = self._candidates()
            candidates = candidates[~self._ends_with_table(candidates - 1)]
            texts = [self.is_text(atom) for atom in (candidates - 1).tolist()]
            part[candidates[~np.array(texts, dtype=np.bool_)]] = True
            self._part = part
        return self._part

    def _candidates(self) -> I64:
        """What may be a part by all but the content of what lies before."""
        atoms = self._side.atoms
        start, constant = atoms.start, atoms.memory == Memory.RODATA
        joined = (atoms.end[:-1] == start[1:]) & (atoms.section[:-1] == atoms.section[1:])
        begins = self._without | atoms.heads
        begins[np.fromiter(atoms.names, dtype=np.int64)] = True
        records = self._records
        pointer = (self._first_forms() == FieldForm.ADDR64) & (start % _POINTER == 0)
        found = self._used & (self._reach != ENDLESS) & ~begins & ~records & constant
        found[1:] &= joined & constant[:-1] & ~self._without[:-1] & ~records[:-1]
        # What holds a pointer is aligned as the pointer is.
        found[1:] &= ~(pointer[1:] & (start[:-1] % _POINTER != 0))
        found[:1] = False
        return np.flatnonzero(found)

    def _first_forms(self) -> I64:
        """By atom, the form of the address in data that it begins with, -1 for none."""
        atoms, fields = self._side.atoms, self._side.program.fields
        found = np.full(len(atoms), -1, dtype=np.int64)
        rows = np.flatnonzero(atoms.first_field < atoms.last_field)
        first = atoms.first_field[rows]
        begins = fields.site[first] == atoms.start[rows]
        found[rows[begins]] = fields.form[first[begins]]
        return found

    def _ends_with_table(self, rows: I64) -> Bools:
        """By atom of ``rows``: it is a table of offsets or a virtual table, and no such field lies behind."""
        atoms, fields = self._side.atoms, self._side.program.fields
        found = np.zeros(len(rows), dtype=np.bool_)
        if not len(fields):
            return found
        last = atoms.last_field[rows] - 1
        form = fields.form[last]
        wide = form == FieldForm.ADDR64
        before = np.maximum(rows - 1, 0)
        headed = (rows > 0) & atoms.heads[before] & (atoms.end[before] == atoms.start[rows])
        rest = fields.site[last] + np.where(wide, 8, 4)
        short = atoms.end[rows] - rest < _FILLER
        table = (last >= atoms.first_field[rows]) & (_forms(self._side, atoms.end[rows]) != form)
        memory = self._side.program.image.memory
        for place in np.flatnonzero(table & short & (headed | ~wide)).tolist():
            found[place] = not memory[int(rest[place]) : int(atoms.end[rows[place]])].any()
        return found


@dataclass(frozen=True, slots=True)
class Records:
    """Where the unwind records begin and their sizes, ascending; by atom, whether one begins there."""

    starts: I64
    sizes: I64
    begun: Bools


def records(side: Side) -> Records:
    """The unwind records of one side, in columns."""
    known = side.program.exceptions
    return Records(known.starts, known.sizes, among(side.atoms.start, known.starts))


def _forms(side: Side, rva: I64) -> I64:
    """The form of the address in data that begins at each place, -1 for none."""
    fields = side.program.fields
    if not len(fields):
        return np.full(len(rva), -1, dtype=np.int64)
    place = np.minimum(fields.site.searchsorted(rva), len(fields) - 1)
    return np.where(fields.site[place] == rva, fields.form[place].astype(np.int64), -1)


def _reaches(side: Side) -> I64:
    """By atom, how far code may read from what it names in it; operands behind the image base have an
    index."""
    references, rows = side.program.references, side.links.data
    access = references.access[rows]
    taken = (access == 0) | (references.kind[rows] == RefKind.IMAGE_BASE)
    reach = np.where(taken, ENDLESS, references.target[rows] + access)
    found = np.zeros(len(side.atoms), dtype=np.int64)
    np.maximum.at(found, side.targets.atom[rows], reach)
    found[side.pointers.atom[side.pointers.atom >= 0]] = ENDLESS
    return found
