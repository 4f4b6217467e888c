"""Explanations as documents and as text, from values made by hand."""

from dataclasses import replace

from hpbuild.manifest.left_out import LeftOut
from hpbuild.match.explained import Disagreement, Explanation, Instruction, Part, Place
from hpbuild.match.model import Change
from hpbuild.report import explanation, plain
from hpbuild.report.left_out import exception, left_out, left_out_blocks
from hpbuild.values import Interval

PLACE = Place(rva=0x3000, section=".rdata", kind="data", name="", offset=4, content='"text"')
CHANGED = Explanation(
    asked="0x1000",
    name="decode\x1b[2J",
    baseline_name="decode",
    change=Change.CHANGED,
    line_only=False,
    fixed=(Interval(0x1000, 0x1010), Interval(0x5000, 0x5004)),
    baseline=(Interval(0x1100, 0x1110),),
    level="symbol",
    evidence="both have this name",
    reason="code differs",
    parts=(
        Part(fixed=Interval(0x1000, 0x1010), baseline=Interval(0x1100, 0x1110), level="symbol", outcome="x"),
        Part(fixed=Interval(0x5000, 0x5004), baseline=None, level="", outcome="no counterpart"),
    ),
    witnesses=("caller",),
    witness_count=3,
    references=7,
    fixed_code=(Instruction(0x1000, "90" * 15, "nop", True), Instruction(0x1001, "c3", "ret", False)),
    baseline_code=(Instruction(0x1100, "c3", "ret", False),),
    disagreement=Disagreement(
        kind="lea", fixed_site=0x1003, baseline_site=0x1103, fixed=PLACE, baseline=replace(PLACE, name="old"),
        testimony=("their content differs",),
    ),
)  # fmt: skip


def shown(*items: Explanation) -> str:
    return plain.render(explanation.blocks([explanation.explanation(item) for item in items]))


def test_the_text_tells_everything() -> None:
    text = shown(CHANGED)
    for words in (
        "code differs",
        "0x1000+16, 0x5000+4",
        "symbol: both have this name",
        "by caller and 2 more",
        "no counterpart",
        "(the code ends here)",
        "lea",
        "data old+0x4",
        '"text"',
        "their content differs",
    ):
        assert words in text
    assert "\x1b" not in text
    assert "90" * 15 not in text


def test_the_mark_is_at_the_difference_alone() -> None:
    marked = [line for line in shown(CHANGED).splitlines() if " > " in line]
    assert len(marked) == 1
    assert "0x1000" in marked[0]


def test_an_identical_function_is_short() -> None:
    same = replace(
        CHANGED, change=Change.IDENTICAL, fixed_code=(), baseline_code=(), disagreement=None, witness_count=0
    )
    text = shown(same)
    assert "7 references" in text
    assert "by no identical function" in text
    assert "first difference" not in text


def test_a_function_in_which_lines_differ_is_called_so() -> None:
    assert ": line-only" in shown(replace(CHANGED, line_only=True))


def test_what_is_left_out_is_named_with_what_stays() -> None:
    item = LeftOut(
        what="function", change="changed", ranges=1, kept=1, fixed=(1, 3), baseline=(8, 9), names=("f\x07",)
    )
    tables = LeftOut(
        what="rodata", change="same", ranges=1, kept=1, fixed=(16, 20, 32, 36), baseline=(16, 20, 32, 36)
    )
    parts = left_out([item, tables])
    text = plain.render(left_out_blocks(["g"], parts, full=False))
    assert "limited to g" in text
    assert "changed function: 1 part, 2 bytes\n" in text
    assert "same rodata: 2 parts, 8 bytes, which lead into what is left out" in text
    assert "0x8" in text
    assert "\x07" not in text
    assert exception(parts) == ", but for 3 parts left out by choice"
    assert exception([]) == ""
    assert left_out_blocks([], [], full=True) == []
