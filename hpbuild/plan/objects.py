"""Objects: the runs of atoms that must be carried together because code may index across them."""

import re
from collections.abc import Container
from copy import copy

import numpy as np

from hpbuild.code.columns import distinct_pairs
from hpbuild.dataclass import dataclass
from hpbuild.match.atoms import Memory
from hpbuild.match.sides import Side
from hpbuild.pe.symbols import SymbolKind
from hpbuild.plan.lone_atoms import lone_atoms
from hpbuild.plan.parts import Parts, records
from hpbuild.plan.relation import Relation
from hpbuild.values import Interval

_RODATA = int(Memory.RODATA)
_PLAIN_HEAD = 16
"""Offset to top, and the pointer to the type information."""
_LETTERS = re.compile(rb"[\t\n\r\x20-\xff]*+")
_WIDE = re.compile(rb"(?:[\t\n\r\x20-\xff]\0)*+\0\0")


@dataclass(frozen=True, slots=True)
class Users:
    """Who refers to each atom: ``functions`` by atom holds root fragments, ``atoms`` by atom the atoms whose
    fields point at it."""

    functions: Relation
    atoms: Relation


def users(side: Side) -> Users:
    """Collect the users of every atom of one side."""
    program, count = side.program, len(side.atoms)
    rows = side.links.data
    roots = program.fragments.root[program.references.fragment[rows]]
    held = np.flatnonzero((side.pointers.atom >= 0) & (side.links.holder >= 0))
    return Users(
        functions=Relation(*distinct_pairs(side.targets.atom[rows], roots), count),
        atoms=Relation(side.pointers.atom[held], side.links.holder[held], count),
    )


class _Rows:
    """The columns of atoms, to be read a number at a time. ``adjoins``: where the atom ends the next begins,
    which is of the same kind; ``in_code``: it lies in an executable section."""

    __slots__ = (
        "adjoins", "count", "end", "first_field", "heads", "in_code", "last_field", "memory", "start"
    )  # fmt: skip

    def __init__(self, side: Side) -> None:
        atoms = side.atoms
        self.count = len(atoms)
        self.start, self.end = atoms.start.data, atoms.end.data
        self.memory, self.heads = atoms.memory.data, atoms.heads.data
        self.first_field, self.last_field = atoms.first_field.data, atoms.last_field.data
        adjoins = np.zeros(len(atoms), dtype=np.bool_)
        adjoins[:-1] = (
            (atoms.end[:-1] == atoms.start[1:])
            & (atoms.section[:-1] == atoms.section[1:])
            & (atoms.memory[:-1] == atoms.memory[1:])
        )
        self.adjoins = adjoins.data
        executable = [section.executable for section in side.program.image.sections]
        self.in_code = np.array(executable, dtype=np.bool_)[atoms.section].data


class Objects:
    """Which atoms form one object with a given atom."""

    __slots__ = ("_atoms", "_joined", "_lone", "_named", "_records", "_side", "_users", "parts", "records")

    def __init__(self, side: Side, who: Users) -> None:
        self._side = side
        self._joined: Container[int] | None = None
        self._lone: memoryview | None = None
        self._users = who
        self._named = _symbol_runs(side)
        self._atoms = _Rows(side)
        self.records = records(side)
        self._records = self.records.begun.data
        self.parts = Parts(side, who.functions.present, self._named, self.records.begun)

    def limited(self, joined: Container[int]) -> "Objects":
        """The same, with nothing but the atoms in ``joined`` having their parts (see ``Parts``) with them."""
        other = copy(self)
        other._joined, who = joined, self._users
        lone = lone_atoms(
            self._side, np.asarray(self._atoms.adjoins), self.parts, self.records, who.functions, who.atoms
        )
        lone[list(self._named)] = False
        other._lone = lone.data
        return other

    def alone(self, atom: int) -> bool:
        """The atom surely is an object of its own; others may be too."""
        return self._lone is not None and bool(self._lone[atom])

    def of(self, atom: int) -> tuple[int, ...]:
        """All atoms of the object that ``atom`` belongs to, ascending: the symbol's extent; in code the whole
        run of data; else the atom and those behind it that only its own users refer to. Nobody can tell where
        a constant ends whose address is taken: what lies behind it and has no other users is part of it, and
        so is what others only read, an element each for all that can be told. A virtual table comes with the
        words in front of it, by which the type of its objects is found and their virtual bases; so do the
        tables of one class whose words touch the table before."""
        if self._lone is not None and self._lone[atom]:
            return (atom,)
        members = self._headed(self._members(atom))
        while members[0] and self._continues(members[0]):
            members = tuple(sorted({*self._headed(self._members(members[0] - 1)), *members}))
        while members[-1] + 1 < self._atoms.count and self._continues(members[-1] + 1):
            members = tuple(sorted({*members, members[-1] + 1, *self._members(members[-1] + 1)}))
        return members

    def body(self, members: tuple[int, ...]) -> int:
        """The first atom of an object that is more than what lies in front of a virtual table."""
        heads = self._atoms.heads
        return next((one for one in members if not heads[one] and not self.empty_front(one)), members[0])

    def empty_front(self, atom: int) -> bool:
        """Words of zero in front of a virtual table that may be offsets of virtual bases, or filler."""
        atoms, who = self._atoms, self._users
        if atom + 1 >= atoms.count or not atoms.heads[atom + 1] or atoms.heads[atom]:
            return False
        known = atom in self._side.atoms.names or atom in who.atoms or atom in who.functions
        if known or atoms.memory[atom] != _RODATA or not self._atoms.adjoins[atom]:
            return False
        return not self._side.program.image.memory[atoms.start[atom] : atoms.end[atom]].any()

    def ends_with_pointer(self, atom: int) -> bool:
        """The last bytes of the atom are a field; what lies behind can be no part of the same array."""
        atoms, fields = self._atoms, self._side.program.fields
        last = atoms.last_field[atom] - 1
        return last >= atoms.first_field[atom] and int(fields.site[last]) + 8 == atoms.end[atom]

    def _headed(self, members: tuple[int, ...]) -> tuple[int, ...]:
        heads = self._atoms.heads
        while members[0] and (
            heads[members[0] - 1] or (heads[members[0]] and self.empty_front(members[0] - 1))
        ):
            if not self._atoms.adjoins[members[0] - 1]:
                break
            members = (members[0] - 1, *members)
        return members

    def _continues(self, atom: int) -> bool:
        """The atom is the words in front of a table that is not the first of its class, with offsets of
        virtual bases: they begin where the table before ends, which may be with empty entries."""
        atoms = self._atoms
        if not atoms.heads[atom] or not self._atoms.adjoins[atom - 1]:
            return False
        start, end = atoms.start[atom], atoms.end[atom]
        return end - start > _PLAIN_HEAD and self._side.program.image.u64(end - _PLAIN_HEAD) != 0

    def _members(self, atom: int) -> tuple[int, ...]:
        run = self._named.get(atom)
        if run is not None:
            return run
        if self._atoms.in_code[atom]:
            return self._contiguous(atom)
        text = self._text(atom)
        if len(text) > 1:
            return self._extended(text)
        if self._atoms.heads[atom] and self._atoms.adjoins[atom]:
            atom += 1
        while (front := self._front(atom)) < atom or self._goes_on(atom):
            atom = min(front, atom - 1)
        return self._extended((atom,))

    def _front(self, atom: int) -> int:
        """The first atom of the array that the given one is carried with; itself when there is none."""
        front = self.parts.front(atom)
        return front if self._joined is None or front in self._joined else atom

    def _extended(self, first: tuple[int, ...]) -> tuple[int, ...]:
        """The atoms and those behind them that may belong to the same constant."""
        atoms = self._atoms
        mine = self._users.functions.of(first[0])
        members, names = list(first), self._side.atoms.names
        if self.parts.is_text(first[-1]):
            return first
        while atoms.adjoins[members[-1]]:
            following = members[-1] + 1
            others = self._users.functions.of(following)
            named = following in names or following in self._users.atoms
            if self._records[following] or atoms.heads[following]:
                break
            if self.empty_front(following) and self.ends_with_pointer(members[-1]):
                break
            alone = named or not others <= mine or (not others and atoms.memory[first[0]] != _RODATA)
            if alone and self._front(following) == following:
                break
            members.append(following)
        return tuple(members)

    def _goes_on(self, atom: int) -> bool:
        """The atom is a part of the one before, as far as can be told: code reads it directly, and takes the
        address of the one before."""
        before = atom - 1
        if before < 0 or not self._atoms.adjoins[before] or self._atoms.memory[atom] != _RODATA:
            return False
        named = atom in self._side.atoms.names or atom in self._users.atoms or before in self._named
        record = self._records[atom] or self._records[before]
        if named or record or not self.parts.is_open(before) or self.parts.is_open(atom):
            return False
        mine = self._users.functions.of(atom)
        known = self.parts.is_text(before)
        return bool(mine) and not known and mine <= self._users.functions.of(before)

    def _contiguous(self, atom: int) -> tuple[int, ...]:
        first = last = atom
        while first and self._atoms.adjoins[first - 1]:
            first -= 1
        while self._atoms.adjoins[last]:
            last += 1
        return tuple(range(first, last + 1))

    def _text(self, atom: int) -> tuple[int, ...]:
        """The atoms of a text that is named in its middle too: linkers share the ends of texts."""
        first = last = atom
        while first and self._atoms.adjoins[first - 1] and self._runs_on(first - 1):
            first -= 1
        while self._atoms.adjoins[last] and self._runs_on(last):
            last += 1
        return tuple(range(first, last + 1))

    def _runs_on(self, atom: int) -> bool:
        """A constant of nothing but letters, one or two bytes each, without an end mark. No text goes on into
        an address: the offsets of a table that code no longer shows look like letters too, and the table of
        the next function lies behind it."""
        atoms = self._atoms
        if atoms.memory[atom] != _RODATA or atoms.first_field[atom] != atoms.last_field[atom]:
            return False
        start, end = atoms.start[atom], atoms.end[atom]
        if not self.parts.is_open(atom) or self.parts.form_at(end) >= 0:
            return False
        content = self._side.program.image.read(start, end - start)
        if len(content) % 2 == 0 and not content[1::2].strip(b"\0"):
            # A letter and its end mark look like half of a longer text of two bytes a letter.
            if not self._is_wide(end):
                return False
            content = content[::2]
        return _LETTERS.fullmatch(content) is not None

    def _is_wide(self, rva: int) -> bool:
        """The rest of a text of two bytes a letter: letters up to an end mark, in one section."""
        image = self._side.program.image
        section = image.section_at(rva)
        stop = section.range.end if section is not None else rva
        return _WIDE.match(image.memory.data, rva, stop) is not None

    def is_string(self, atom: int) -> bool:
        """A run of text that ends inside the atom: nothing behind its end mark belongs to it."""
        start, end = self._atoms.start[atom], self._atoms.end[atom]
        content = self._side.program.image.read(start, end - start)
        text = content.split(b"\0", 1)[0]
        return 0 < len(text) < len(content) and _LETTERS.fullmatch(text) is not None


def _symbol_runs(side: Side) -> dict[int, tuple[int, ...]]:
    """Atom -> atoms of its symbol, where the symbol's size is known."""
    runs: dict[int, tuple[int, ...]] = {}
    atoms = side.atoms
    for symbol in side.program.symbols.items:
        if symbol.kind is not SymbolKind.DATA or not symbol.size:
            continue
        first = atoms.one(symbol.rva)
        last = int(np.searchsorted(atoms.start, symbol.rva + symbol.size))
        if first < 0 or int(atoms.start[first]) != symbol.rva:
            continue
        run = tuple(range(first, max(first + 1, last)))
        for atom in run:
            if len(runs.get(atom, ())) < len(run):
                runs[atom] = run
    return runs


def extent(side: Side, members: tuple[int, ...]) -> Interval:
    """Address range of an object."""
    return Interval(int(side.atoms.start[members[0]]), int(side.atoms.end[members[-1]]))
