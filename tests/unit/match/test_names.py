"""Pairs by symbol and by export name."""

import numpy as np

from hpbuild.match.names import pair_by_name
from hpbuild.match.pairing import Level, Pairing
from hpbuild.match.sides import prepare
from hpbuild.pe.symbols import Symbol
from tests.assembled import RET, Dll, function, symbol

ONE, TWO = b"\x31\xc0", b"\x31\xc9"


def dll(*labels: str, exported: bool = False) -> Dll:
    return Dll(
        code=tuple(function(label, b"\xb8", n.to_bytes(4, "little"), RET) for n, label in enumerate(labels))
    )


def pairs(
    fixed: tuple[Dll, tuple[Symbol, ...]], baseline: tuple[Dll, tuple[Symbol, ...]]
) -> dict[str, tuple[str, Level]]:
    """Label of fixed function -> (label of its counterpart, level)."""
    left, right = prepare(fixed[0].program(*fixed[1])), prepare(baseline[0].program(*baseline[1]))
    pairing = Pairing(len(left.forms), len(right.forms))
    made = pair_by_name(left, right, pairing)
    found = {}
    for index in np.flatnonzero(pairing.fixed >= 0).tolist():
        labels = [
            next(
                label
                for label, rva in made_of.labels().items()
                if rva == int(side.program.fragments.start[place])
            )
            for made_of, side, place in (
                (fixed[0], left, index),
                (baseline[0], right, int(pairing.fixed[index])),
            )
        ]
        found[labels[0]] = (labels[1], Level(int(pairing.level[index])))
    assert made == len(found)
    return found


def test_exports_pair_by_name_wherever_they_lie() -> None:
    found = pairs((dll("a", "b"), ()), (dll("b", "c", "a"), ()))
    assert found == {"a": ("a", Level.EXPORT), "b": ("b", Level.EXPORT)}


def test_symbols_come_before_exports() -> None:
    """By symbol the function moved; the export of the old name is another function now."""
    fixed, baseline = dll("a", "b"), dll("a", "b")
    found = pairs(
        (fixed, (symbol("work", fixed.labels()["a"]),)), (baseline, (symbol("work", baseline.labels()["b"]),))
    )
    assert found["a"] == ("b", Level.SYMBOL)
    assert "b" not in found


def test_one_name_in_two_files_is_told_apart_by_the_file() -> None:
    fixed, baseline = dll("a", "b"), dll("a", "b")

    def statics(made: Dll, first: str, second: str) -> tuple[Symbol, ...]:
        places = made.labels()
        return symbol("init", places["a"], file=first), symbol("init", places["b"], file=second)

    found = pairs((fixed, statics(fixed, "x.obj", "y.obj")), (baseline, statics(baseline, "y.obj", "x.obj")))
    assert found == {"a": ("b", Level.SYMBOL), "b": ("a", Level.SYMBOL)}


def test_one_name_twice_in_a_file_says_nothing() -> None:
    fixed, baseline = dll("a", "b"), dll("b", "a")
    rows = [
        (made, tuple(symbol("init", made.labels()[label], file="x.obj") for label in "ab"))
        for made in (fixed, baseline)
    ]
    assert {level for _, level in pairs(rows[0], rows[1]).values()} == {Level.EXPORT}


def test_a_name_pairs_across_renamed_files() -> None:
    fixed, baseline = dll("a"), dll("b")
    found = pairs(
        (fixed, (symbol("work", 0x1000, file="new.obj"),)),
        (baseline, (symbol("work", 0x1000, file="old.obj"),)),
    )
    assert found == {"a": ("b", Level.SYMBOL)}
