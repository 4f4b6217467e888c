"""Data that is an object of its own, as most is: told in columns, so that ``Objects`` need not go from one
atom to the next to find it out."""

import numpy as np

from hpbuild.match.atoms import Memory
from hpbuild.match.sides import Side
from hpbuild.plan.parts import Bools, Parts, Records
from hpbuild.plan.relation import Relation

_LETTERS = np.zeros(256, dtype=np.bool_)
_LETTERS[0x20:] = True
_LETTERS[list(b"\t\n\r")] = True


def lone_atoms(
    side: Side, adjoins: Bools, parts: Parts, known: Records, functions: Relation, holders: Relation
) -> Bools:
    """By atom: ``Objects.of`` surely gives it alone; others may be too. ``adjoins`` as in ``Objects``;
    ``functions`` and ``holders`` are the users of the atoms.

    Each line stands for a reason to carry a neighbour too: the words in front of a virtual table, texts that
    share an end, parts of arrays, and what lies behind without users of its own."""
    atoms = side.atoms
    constant, head, record = atoms.memory == Memory.RODATA, atoms.heads, known.begun
    named, used, part, wide = holders.present.copy(), functions.present, parts.marked(), parts.wide()
    named[np.fromiter(atoms.names, np.int64, len(atoms.names))] = True
    executable = [section.executable for section in side.program.image.sections]
    found = ~(head | _before(head) | part | np.array(executable, dtype=np.bool_)[atoms.section])
    found &= ~(adjoins & _behind(head))
    text = adjoins & constant & wide & _may_be_text(side)
    found &= ~(text | _before(text))
    found &= ~(_before(adjoins & wide) & constant & ~wide & ~named)
    own = _behind(named) | _others(functions) | ~(constant | _behind(used))
    found &= ~adjoins | _behind(record) | (~_behind(part) & own)
    return found


def _before(marked: Bools) -> Bools:
    """By atom: the one before is marked."""
    found = np.zeros(len(marked), dtype=np.bool_)
    found[1:] = marked[:-1]
    return found


def _behind(marked: Bools) -> Bools:
    """By atom: the one behind is marked."""
    found = np.zeros(len(marked), dtype=np.bool_)
    found[:-1] = marked[1:]
    return found


def _may_be_text(side: Side) -> Bools:
    """By atom: without addresses and an end mark, by its first and last letters."""
    atoms, memory = side.atoms, side.program.image.memory
    limit = len(memory) - 1
    narrow = _LETTERS[memory[np.minimum(atoms.end - 1, limit)]]
    even = (atoms.end - atoms.start) % 2 == 0
    wide = even & (memory[np.minimum(atoms.start + 1, limit)] == 0)
    found: Bools = (narrow | wide) & (atoms.first_field == atoms.last_field)
    return found


def _others(functions: Relation) -> Bools:
    """By atom: the one behind surely has a user that it has not, the lowest or the highest."""
    low, high = functions.bounds()
    found = np.zeros(len(low), dtype=np.bool_)
    beyond = (low[1:] < low[:-1]) | (high[1:] > high[:-1]) | ~functions.present[:-1]
    found[:-1] = functions.present[1:] & beyond
    return found
