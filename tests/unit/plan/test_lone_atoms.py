"""What the columns say of objects is what going from atom to atom says."""

from itertools import pairwise

import numpy as np
import pytest

from hpbuild.match.sides import Side, prepare
from hpbuild.plan.lone_atoms import lone_atoms
from hpbuild.plan.objects import Objects, users
from tests.assembled import RET, Dll, Item, datum, function
from tests.comparing import PAIRS, compared


def lone(side: Side, objects: Objects) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    atoms, who = side.atoms, users(side)
    adjoins = np.zeros(len(atoms), dtype=np.bool_)
    for atom, other in pairwise(range(len(atoms))):
        adjoins[atom] = atoms.end[atom] == atoms.start[other] and (
            (atoms.section[atom], atoms.memory[atom]) == (atoms.section[other], atoms.memory[other])
        )
    return lone_atoms(side, adjoins, objects.parts, objects.records, who.functions, who.atoms)


def agree(side: Side) -> int:
    """How many atoms are alone for sure; the long way says it of each."""
    plain = Objects(side, users(side))
    found = np.flatnonzero(lone(side, plain)).tolist()
    named = {atom for atom in found if plain.of(atom) != (atom,)}
    assert all(side.program.symbols.items for _ in named), "only a symbol says that there is more"
    joined = plain.limited(frozenset(range(len(side.atoms))))
    assert [joined.of(atom) for atom in range(len(side.atoms))] == [
        plain.of(atom) for atom in range(len(side.atoms))
    ]
    return len(found) - len(named)


@pytest.mark.parametrize("pair", PAIRS)
def test_real_images_without_symbols(pair: str) -> None:
    side = compared(pair, "none").fixed
    assert 0 < agree(side) <= len(side.atoms)


def test_symbols_with_sizes_say_more() -> None:
    side = compared("codec", "auto").fixed
    assert 0 < agree(side) < len(side.atoms)


WIDE = "wide".encode("utf-16-le")
FIELD = ("rva", "api")


@pytest.mark.parametrize("reader", ["api", "other"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (datum("a", b"abc", align=1), datum("b", b"def\0", align=1)),  # texts that share their end
        (datum("a", WIDE, align=2), datum("b", WIDE + b"\0\0", align=2)),
        (datum("a", b"\1\2\3\4", align=4), datum("b", b"\5\6\7\x08", align=4)),  # an array, perhaps
        (datum("a", b"\1\2\3\4", FIELD, align=4), datum("b", b"\5\6\7\x08", align=4)),  # behind a table
    ],
    ids=["text", "wide text", "numbers", "table"],
)
def test_what_may_belong_together_is_not_alone(first: Item, second: Item, reader: str) -> None:
    """``api`` takes the address of the first, ``reader`` reads the second."""
    parts = {"api": (("lea", "a"),), "other": (b"\x8b\xd1",)}
    parts[reader] = (*parts[reader], ("load", "b"))
    made = Dll(
        code=tuple(function(label, *body, RET) for label, body in parts.items()),
        constants=(datum("before", b"12345678"), first, second, datum("behind", b"12345678")),
    )
    side = prepare(made.program())
    agree(side)
    objects = Objects(side, users(side))
    for label in ("a", "b"):
        atom = side.atoms.one(made.labels()[label])
        assert len(objects.of(atom)) == 1 or not lone(side, objects)[atom]


def test_two_halves_of_a_text_are_not_alone() -> None:
    made = Dll(
        code=(function("api", ("lea", "a"), RET), function("other", ("lea", "b"), RET)),
        constants=(datum("a", b"abc", align=1), datum("b", b"def\0", align=1)),
    )
    side = prepare(made.program())
    objects = Objects(side, users(side))
    first = side.atoms.one(made.labels()["a"])
    assert objects.of(first) == objects.of(first + 1) == (first, first + 1)
    assert lone(side, objects)[[first, first + 1]].tolist() == [False, False]
