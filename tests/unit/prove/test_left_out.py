"""The proof of a package that is limited to a list: it holds but for what it names; every lie is found."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hpbuild.codes import prove as codes
from hpbuild.manifest.left_out import LeftOut
from hpbuild.prove.checks import State
from hpbuild.prove.proof import Proof
from hpbuild.values import Interval

from .conftest import Story, failed

Tell = Callable[..., Story]
Symbols = dict[str, Interval]
LISTED = ("codec_encode", "codec_find")


def part(name: str, *fixed: Interval, baseline: tuple[Interval, ...] = ()) -> LeftOut:
    """One changed function; its old version lies at the same place when nothing else is said."""
    old = baseline or fixed
    return LeftOut(
        what="function",
        change="changed",
        ranges=len(fixed),
        kept=len(old),
        fixed=tuple(border for run in fixed for border in (run.start, run.end)),
        baseline=tuple(border for run in old for border in (run.start, run.end)),
        names=(name,),
    )


def stays(symbols: Symbols, name: str) -> LeftOut:
    """``codec_count`` with something else as its old version."""
    return part("codec_count", symbols["codec_count"], baseline=(symbols[name],))


def _both(one: LeftOut, two: LeftOut) -> LeftOut:
    low, high = sorted((one, two), key=lambda item: item.fixed)
    return replace(
        low,
        fixed=low.fixed + high.fixed,
        baseline=low.baseline + high.baseline,
        names=low.names + high.names,
    )


@pytest.fixture
def limited(tell: Tell, symbols: Symbols) -> Story:
    """``codec_count`` is changed too, and left out. Code that stays refers to the old one."""
    story = tell((symbols["codec_count"].start + 4, b"\x90"))
    where = symbols["codec_count"]
    story.rows["code"] = [row for row in story.rows["code"] if row[0] != where.start]
    story.left_out.append(part("codec_count", where))
    return story


def proved(story: Story, **changes: object) -> Proof:
    return story.prove(**{"only": LISTED, **changes})


def test_it_holds_but_for_what_it_names(limited: Story, symbols: Symbols) -> None:
    proof = proved(limited)
    assert [str(finding) for finding in proof.findings] == []
    assert proof.ok
    assert [check.state for check in proof.checks] == [State.PASSED] * 10
    assert proof.checks[-1].id == "P10"
    assert proof.checks[-1].examined == 3
    assert [item.place(0) for item in proof.left_out] == ["codec_count"]
    assert proof.only == LISTED
    assert ("left out", len(symbols["codec_count"])) in [
        (row.klass, row.size) for row in proof.summary.account
    ]


def test_without_the_declaration_it_does_not_hold(limited: Story) -> None:
    limited.left_out.clear()
    proof = proved(limited)
    assert not proof.ok
    assert codes.UNCOVERED_BYTES.id in failed(proof)


def test_a_declaration_without_a_list_does_not_count(limited: Story) -> None:
    proof = limited.prove()
    assert not proof.ok
    assert failed(proof) == {codes.SELECTION_DIFFERS.id}
    assert proof.left_out


@pytest.mark.parametrize("only", [("codec_encode",), (*LISTED, "x"), ("codec_encode", "codec_count"), ("x",)])
def test_another_list_does_not_hold(limited: Story, only: tuple[str, ...]) -> None:
    proof = proved(limited, only=tuple(sorted(only)))
    assert not proof.ok
    assert failed(proof) == {codes.SELECTION_DIFFERS.id}


def test_carried_code_may_not_refer_to_what_is_left_out(limited: Story, symbols: Symbols) -> None:
    """``codec_encode`` is carried and calls ``count``: leaving that out mixes old and new."""
    where = symbols["count"]
    limited.rows["code"] = [row for row in limited.rows["code"] if row[0] != where.start]
    limited.left_out = [_both(limited.left_out[0], part("count", where))]
    assert codes.CARRIED_CODE_REFERENCE.id in failed(proved(limited))


def test_what_stays_may_not_be_replaced(limited: Story, symbols: Symbols) -> None:
    limited.left_out = [stays(symbols, "codec_find")]
    assert codes.LEFT_OUT_UNSOUND.id in failed(proved(limited))


def test_what_stays_may_not_be_the_version_of_something_else(limited: Story, symbols: Symbols) -> None:
    limited.left_out = [stays(symbols, "codec_rotate")]
    assert codes.LEFT_OUT_UNSOUND.id in failed(proved(limited))


def test_what_stays_is_the_version_of_one_part(limited: Story, symbols: Symbols) -> None:
    """Two functions that are left out, and one old version for both."""
    rotate = symbols["codec_rotate"]
    limited.rows["code"] = [row for row in limited.rows["code"] if row[0] != rotate.start]
    own = _both(limited.left_out[0], part("codec_rotate", rotate))
    limited.left_out = [own]
    assert codes.LEFT_OUT_UNSOUND.id not in failed(proved(limited))
    limited.left_out = [replace(own, baseline=own.baseline[:2] * 2)]
    proof = proved(limited)
    assert codes.LEFT_OUT_UNSOUND.id in failed(proof)
    unsound = [found for found in proof.findings if found.code == codes.LEFT_OUT_UNSOUND]
    assert [found.place for found in unsound] == [own.place(1)]


def test_what_stays_lies_in_memory_of_the_same_kind(limited: Story, symbols: Symbols) -> None:
    limited.left_out = [stays(symbols, "crc_table")]
    assert codes.LEFT_OUT_UNSOUND.id in failed(proved(limited))


def test_a_reference_into_the_middle_does_not_hold(limited: Story, symbols: Symbols) -> None:
    """The old version is known at its start alone: a range that begins before the function hides nothing."""
    where = symbols["codec_count"]
    before = next(row for row in limited.rows["padding"] if row[1] == where.start)
    limited.rows["padding"].remove(before)
    wide = Interval(before[0], where.end)
    limited.left_out = [part("codec_count", wide)]
    named = {row[0] for row in limited.rows["code"]}
    assert where.start not in named
    proof = proved(limited)
    referred = {codes.CODE_REFERENCE.id, codes.DATA_REFERENCE.id, codes.UNDECLARED_DIFFERENCE.id}
    assert failed(proof) & referred


def test_what_is_left_out_is_not_carried_as_well(limited: Story, symbols: Symbols) -> None:
    limited.left_out = [_both(limited.left_out[0], part("codec_encode", symbols["codec_encode"]))]
    found = failed(proved(limited))
    assert {codes.CONTRADICTORY_CLASSES.id, codes.SELECTION_DIFFERS.id} <= found


def test_excluded_bytes_need_a_declaration_of_their_own(limited: Story, symbols: Symbols) -> None:
    """What is left out by choice does not excuse other bytes."""
    row = next(row for row in limited.rows["data"] if row[0] <= symbols["crc_table"].start < row[1])
    limited.rows["data"].remove(row)
    middle = symbols["crc_table"]
    limited.rows["data"] += [(row[0], middle.start, row[2]), (middle.end, row[1], middle.end)]
    limited.rows["data"] = [item for item in limited.rows["data"] if item[0] < item[1]]
    limited.rows["excluded"] = [(middle.start, middle.end)]
    assert codes.UNDECLARED_DIFFERENCE.id in failed(proved(limited))


def test_a_redirection_may_not_write_into_what_stays(limited: Story, symbols: Symbols) -> None:
    """The old version is in use: its bytes are nobody's to change."""
    entry = symbols["codec_find"]
    wide = Interval(entry.start + 2, entry.start + 8)
    where = symbols["codec_count"]
    limited.left_out = [part("codec_count", where, symbols["codec_rotate"], baseline=(where, wide))]
    limited.rows["code"] = [r for r in limited.rows["code"] if r[0] != symbols["codec_rotate"].start]
    assert codes.REDIRECTION_TOUCHES_IDENTICAL.id in failed(proved(limited))
