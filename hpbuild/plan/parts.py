"""Which data without a name may be a part of the constant that begins before: an element that code reads
directly, of an array that other code indexes.

An address that is taken may be indexed, nobody can tell how far. What is only read, by operands that lie
within it, begins nothing by itself: so it may be an element of what lies before.
"""

from collections.abc import Iterator

import numpy as np

from hpbuild.code.decode import RefKind
from hpbuild.code.model import I64, FieldForm
from hpbuild.match.atoms import Memory
from hpbuild.match.sides import Side

ENDLESS = 1 << 62
_POINTER = 8
_FILLER = 16
"""Most zero bytes behind a table that are alignment."""
_LETTERS = 4
"""Fewer letters with zeros behind them may be a number."""


class Parts:
    """What may be a part of what, by atom. ``used`` are the atoms that code refers to, ``named`` those of
    symbols whose extent is known."""

    __slots__ = ("_adjoins", "_named", "_reach", "_records", "_side", "_used")

    def __init__(self, side: Side, used: frozenset[int], named: frozenset[int]) -> None:
        atoms = side.atoms
        self._side, self._used, self._named = side, used, named
        self._reach = _reaches(side)
        self._records = frozenset(start for start, _ in side.program.exceptions.records)
        joined = (atoms.end[:-1] == atoms.start[1:]) & (atoms.section[:-1] == atoms.section[1:])
        constant = atoms.memory == Memory.RODATA
        self._adjoins = np.append(False, joined & constant[:-1] & constant[1:])[: len(atoms)]

    def reach(self, atom: int) -> int:
        """The address up to which what names the atom's begin may read; ``ENDLESS`` where it is taken."""
        return int(self._reach[atom])

    def is_open(self, atom: int) -> bool:
        """The atom's address is taken, or something reads beyond its end."""
        return bool(self._reach[atom] > self._side.atoms.end[atom])

    def front(self, atom: int) -> int:
        """The first atom of which the given one may be a part; itself when there is none."""
        first = at = atom
        start = int(self._side.atoms.start[atom])
        while self.is_part(at):
            at -= 1
            if self._reach[at] > start:
                first = at
        return first

    def pairs(self) -> Iterator[tuple[int, int]]:
        """All (front, part), ascending by part."""
        read = self._adjoins & (self._reach != ENDLESS)
        chain: list[tuple[int, int]] = []
        last = -1
        for atom in np.flatnonzero(read).tolist():
            if not self.is_part(atom):
                continue
            if atom - 1 != last:
                chain = [(atom - 1, self.reach(atom - 1))]
            start, last = int(self._side.atoms.start[atom]), atom
            front = next((one for one, reach in chain if reach > start), atom)
            if front != atom:
                yield front, atom
            chain = [(one, reach) for one, reach in chain if reach > start] + [(atom, self.reach(atom))]

    def is_part(self, atom: int) -> bool:
        """The atom may be a part of what lies before it: code only reads it, it has no name, and what lies
        before is not known to end there."""
        if not self._adjoins[atom] or atom not in self._used or self._reach[atom] == ENDLESS:
            return False
        atoms = self._side.atoms
        if atom in atoms.names or atom in self._named or atom - 1 in self._named or atoms.heads[atom]:
            return False
        if not self._records.isdisjoint((int(atoms.start[atom]), int(atoms.start[atom - 1]))):
            return False
        pointer = (
            self.form_at(int(atoms.start[atom])) == FieldForm.ADDR64 and atoms.start[atom] % _POINTER == 0
        )
        if pointer and atoms.start[atom - 1] % _POINTER:  # what holds a pointer is aligned as the pointer is
            return False
        return not self.is_text(atom - 1) and not self._ends_with_table(atom - 1)

    def form_at(self, rva: int) -> int:
        """The form of the address in data that begins at ``rva``, -1 for none."""
        fields = self._side.program.fields
        place = int(np.searchsorted(fields.site, rva))
        return int(fields.form[place]) if place < len(fields) and int(fields.site[place]) == rva else -1

    def is_text(self, atom: int) -> bool:
        """Letters and an end mark: nothing behind it belongs to it. Words of small numbers look alike, and so
        do fractions: as text counts what has some letters, in UTF-8."""
        content = self._content(atom)
        text = content.split(b"\0", 1)[0]
        if not _LETTERS <= len(text) < len(content):
            return False
        try:
            letters = text.decode("utf-8")
        except UnicodeDecodeError:
            return False
        return all(letter >= " " or letter in "\t\n\r" for letter in letters)

    def _ends_with_table(self, atom: int) -> bool:
        """The atom is a table of offsets, or a virtual table, and no such field lies behind it."""
        atoms, fields = self._side.atoms, self._side.program.fields
        last = int(atoms.last_field[atom]) - 1
        if last < atoms.first_field[atom] or self.form_at(int(atoms.end[atom])) == fields.form[last]:
            return False
        wide = bool(fields.form[last] == FieldForm.ADDR64)
        if wide and not (atom and atoms.heads[atom - 1] and atoms.end[atom - 1] == atoms.start[atom]):
            return False
        rest = self._content(atom)[int(fields.site[last]) + (8 if wide else 4) - int(atoms.start[atom]) :]
        return len(rest) < _FILLER and not any(rest)

    def _content(self, atom: int) -> bytes:
        start, end = int(self._side.atoms.start[atom]), int(self._side.atoms.end[atom])
        return self._side.program.image.read(start, end - start)


def _reaches(side: Side) -> I64:
    """By atom, how far code may read from what it names in it; operands behind the image base have an
    index."""
    references, atoms = side.program.references, side.targets.atom
    taken = (references.access == 0) | (references.kind == RefKind.IMAGE_BASE)
    reach = np.where(taken, ENDLESS, references.target + references.access)
    found = np.zeros(len(side.atoms), dtype=np.int64)
    known = atoms >= 0
    np.maximum.at(found, atoms[known], reach[known])
    found[side.pointers.atom[side.pointers.atom >= 0]] = ENDLESS
    return found
