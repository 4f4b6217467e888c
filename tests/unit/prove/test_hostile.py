"""Whatever a manifest or patch image says, the proof answers with findings, never with a traceback."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hpbuild.manifest import model
from hpbuild.values import Digest, Interval, Rva

from .conftest import Story

Tell = Callable[..., Story]
_ODD = (
    0,
    1,
    4,
    5,
    0x1000,
    0x1CB0,
    0x1CF9,
    0x3278,
    0x4008,
    0x7000,
    0x8000,
    0x10000,
    0x11000,
    0x7FFFFFFF,
    0xFFFFFFFF,
)


def _interval(random_: random.Random) -> Interval:
    low, high = sorted(random_.choices(_ODD, k=2))
    return Interval(low, high)


def _function(random_: random.Random, function: model.Function) -> model.Function:
    ranges = tuple(_interval(random_) for _ in range(random_.randrange(3)))
    return replace(function, **{random_.choice(("baseline", "fixed", "patch")): ranges})  # type: ignore[arg-type]


def _datum(random_: random.Random, datum: model.Datum) -> model.Datum:
    return replace(datum, **{random_.choice(("fixed", "patch")): _interval(random_)})  # type: ignore[arg-type]


def _redirection(random_: random.Random, redirection: model.Redirection) -> model.Redirection:
    changes: dict[str, Any] = {
        "function": random_.choice((0, 1, 2, 1 << 31)),
        "entry": Rva(random_.choice(_ODD)),
        "window": _interval(random_),
        "kind": random_.choice(("pad-jump", "entry-jump", "other")),
        "old": b"",
    }
    name = random_.choice(sorted(changes))
    return replace(redirection, **{name: changes[name]})


def _spoiled(random_: random.Random, module: model.Module) -> dict[str, Any]:
    while True:
        changes = _changes(random_, module)
        if replace(module, **changes) != module:
            return changes


def _changes(random_: random.Random, module: model.Module) -> dict[str, Any]:
    match random_.randrange(4):
        case 0:
            return {"functions": tuple(_function(random_, item) for item in module.functions)}
        case 1:
            return {"data": tuple(_datum(random_, item) for item in module.data)}
        case 2:
            return {"redirections": tuple(_redirection(random_, item) for item in module.redirections)}
        case _:
            sites = tuple(sorted({Rva(random_.choice(_ODD)) for _ in range(3)}))
            kind = random_.choice(("addr64", "rel32", "addr32nb"))
            return {"fixups": replace(module.fixups, **{kind: sites})}  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(40))
def test_any_manifest(tell: Tell, seed: int) -> None:
    story = tell()
    changes = _spoiled(random.Random(seed), story.module())
    proof = story.prove(**changes)
    assert not proof.ok
    assert proof.findings


@pytest.mark.parametrize("seed", range(40))
def test_any_patch_image(tell: Tell, seed: int) -> None:
    story = tell()
    random_ = random.Random(seed)
    patch = bytearray(story.link().data)
    for _ in range(random_.randrange(1, 4)):
        patch[random_.randrange(len(patch))] ^= 1 << random_.randrange(8)
    pin = replace(story.module().image, sha256=Digest.of(patch), size=len(patch))
    proof = story.prove(patch=bytes(patch), image=pin)
    assert not proof.ok
    assert proof.findings


def _flipped(story: Story, rva: int) -> bytes:
    byte = story.fixed.read(rva, 1)[0]
    return bytes([byte ^ 0x10])


@pytest.mark.parametrize("part", range(8))
def test_every_byte_of_the_fixed_image_counts(tell: Tell, part: int) -> None:
    """Claims and package stay as they were for the true image: one other byte in code or data, and the proof
    fails. (Loader tables are judged by what they say; .text and .data are covered whole here.)"""
    true = tell()
    runs = [row[:2] for name in ("code", "data", "padding") for row in true.rows[name]]
    runs += [(run.start, run.end) for function in true.functions for run in function.fixed]
    runs += [(datum.fixed.start, datum.fixed.end) for datum in true.data]
    places = [rva for start, end in sorted(runs) for rva in range(start, end)]
    for rva in random.Random(part).sample(places, 12):
        story = tell((rva, _flipped(true, rva)))
        story.plan, story.linked = true.plan, true.linked
        story.functions, story.data, story.rows = true.functions, true.data, true.rows
        proof = story.prove()
        assert not proof.ok, f"{rva:#x}"


def test_every_row_of_the_claims_counts(tell: Tell) -> None:
    """Leaving out any one row leaves bytes in no class."""
    story = tell()
    rows = dict(story.rows)
    for name in ("code", "data", "padding", "metadata"):
        for number in range(0, len(rows[name]), 7):
            story.rows = rows | {name: rows[name][:number] + rows[name][number + 1 :]}
            assert not story.prove().ok
