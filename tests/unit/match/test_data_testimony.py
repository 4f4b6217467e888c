"""What paired code says of data is kept while its pairs are, and no longer."""

import numpy as np
import pytest

from hpbuild.match.data_testimony import DataTestimony
from hpbuild.match.pairing import Level, Pairing
from tests.assembled import RET, Dll, datum, function

DLL = Dll(
    code=(function("one", ("lea", "x"), RET), function("two", ("lea", "y"), RET)),
    constants=(datum("x", b"one text"), datum("y", b"two text")),
)


def paired(one: int, two: int) -> Pairing:
    """With these two as the counterparts of the first two fragments; -1 for none."""
    pairing = Pairing(len(DLL.side().forms), len(DLL.side().forms))
    for number, other in enumerate((one, two)):
        if other >= 0:
            pairing.add_one(number, other, Level.FORM)
    return pairing


@pytest.mark.parametrize(
    ("first", "then"),
    [((-1, -1), (0, 1)), ((0, -1), (0, 1)), ((0, 1), (1, 0)), ((0, 1), (0, -1)), ((1, 0), (-1, -1))],
)
def test_only_the_pairs_of_now_speak(first: tuple[int, int], then: tuple[int, int]) -> None:
    side, names = DLL.side(), DLL.labels()
    x, y = side.atoms.one(names["x"]), side.atoms.one(names["y"])
    testimony = DataTestimony(side, side)
    testimony.pairs(paired(*first))
    left, right = testimony.pairs(paired(*then))
    said = {one: two for one, two in zip(left.tolist(), right.tolist(), strict=True) if one in (x, y)}
    assert said == {(x, y)[number]: (x, y)[other] for number, other in enumerate(then) if other >= 0}


def test_two_that_contradict_say_nothing() -> None:
    """The same datum cannot be the counterpart of two."""
    other = Dll(code=(DLL.code[0], function("two", ("lea", "x"), RET)), constants=DLL.constants)
    left, right = DLL.side(), other.side()
    assert np.array_equal(left.forms, right.forms)
    found = DataTestimony(left, right).pairs(paired(0, 1))
    assert left.atoms.one(DLL.labels()["x"]) not in found[0].tolist()
