"""Why a function is called what it is called, on real pairs."""

import pytest

from hpbuild.code.disassembly import disassemble
from hpbuild.match.comparison import compare
from hpbuild.match.explained import Explanation
from hpbuild.match.explanation import CONTEXT, explain
from hpbuild.match.facts import describe
from hpbuild.match.lookup import find
from hpbuild.match.model import Change
from tests.comparing import PAIRS, compared, example, mutant, patched, program


def explained(pair: str, name: str, symbols: str = "auto") -> Explanation:
    comparison = compared(pair, symbols)
    return explain(comparison, name, find(comparison, name))


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("pair", PAIRS)
def test_every_function_of_a_pair_is_explained_as_it_is_reported(pair: str, symbols: str) -> None:
    comparison = compared(pair, symbols)
    reported = {item.fixed: item for item in describe(comparison).functions if item.fixed}
    for fact in comparison.functions:
        start = int(comparison.fixed.program.fragments.start[fact.root])
        found = explain(comparison, "", find(comparison, f"{start:#x}"))
        item = reported.get(found.fixed)
        assert found.change is (item.change if item else Change.IDENTICAL)
        if item:
            assert (found.reason, found.level, found.name) == (item.reason, item.level, item.name)
            assert found.baseline == item.baseline
            assert found.line_only == item.line_only
        shown = bool(found.fixed_code or found.baseline_code or found.disagreement)
        assert not shown or (found.change is not Change.IDENTICAL and found.level)
        assert {part.fixed for part in found.parts} == set(found.fixed)


def test_the_first_differing_instruction_is_shown_on_both_sides() -> None:
    found = explained("codec", "codec_status_text")
    sides = compared("codec", "auto")
    for listing, side in ((found.fixed_code, sides.fixed), (found.baseline_code, sides.baseline)):
        (at,) = [number for number, line in enumerate(listing) if line.differs]
        assert at == CONTEXT
        assert len(listing) == 2 * CONTEXT + 1
        line = listing[at]
        assert f"{line.rva:#x}" in found.reason
        content = bytes.fromhex(line.content)
        assert side.program.image.read(line.rva, len(content)) == content
        assert disassemble(content, line.rva) == [(line.rva, line.content, line.text)]
    assert [line.text for line in found.fixed_code if line.differs] != [
        line.text for line in found.baseline_code if line.differs
    ]


def test_a_reference_of_changed_code_that_disagrees_is_shown() -> None:
    found = explained("codec", "codec_status_text").disagreement
    assert found is not None
    assert found.kind == "lea"
    assert found.fixed.content == '"unknown status"'
    assert found.baseline.content == '"unknown codec"'
    assert (found.fixed.kind, found.fixed.section) == ("data", ".rdata")
    assert found.testimony


def test_an_identical_function_has_its_evidence() -> None:
    found = explained("codec", "codec_find")
    assert found.change is Change.IDENTICAL
    assert found.level == "symbol"
    assert found.evidence
    assert found.witnesses == ("codec_encode", "codec_decode")
    assert found.witness_count == 2
    assert found.references > 0
    assert found.disagreement is None


def test_a_new_function_has_no_counterpart() -> None:
    found = explained("codec", "tail_status")
    assert found.change is Change.ADDED
    assert found.baseline == ()
    assert [part.outcome for part in found.parts] == ["no counterpart"]


def test_a_removed_function_is_known_from_the_baseline() -> None:
    comparison = compared("variants/removed", "none")
    (gone,) = [item for item in describe(comparison).functions if item.change is Change.REMOVED]
    text = f"baseline:{gone.baseline[0].start:#x}"
    found = explain(comparison, text, find(comparison, text))
    assert (found.change, found.baseline, found.fixed) == (Change.REMOVED, gone.baseline, ())
    assert found.asked == text


def test_another_callee_is_told_with_who_knows_the_right_one() -> None:
    """The same code, but a call goes to another function: both names, and witnesses for each."""
    original = program(example("codec", "baseline"), "auto")
    names = {original.name_of(index): index for index in range(len(original.fragments))}
    start = original.fragments.start
    references = original.references
    caller, callee, other = (names[name] for name in ("codec_encode", "codec_find", "codec_count"))
    rows = [
        row
        for row in range(len(references))
        if references.fragment[row] == caller and references.target[row] == start[callee]
    ]
    site = int(references.site[rows[0]])
    new = (int(start[other]) - site - 4).to_bytes(4, "little", signed=True)
    comparison = compare(original, mutant(original, patched(original.image, {site: new})))
    found = explain(comparison, "codec_encode", find(comparison, "codec_encode"))
    assert found.change is Change.CHANGED
    assert found.parts[0].outcome == "reference differs"
    bad = found.disagreement
    assert bad is not None
    assert bad.fixed_site == bad.baseline_site == site
    assert (bad.fixed.name, bad.baseline.name) == ("codec_count", "codec_find")
    assert any("the counterpart of codec_count is codec_count" in words for words in bad.testimony)
    (marked,) = [line for line in found.fixed_code if line.differs]
    assert marked.rva <= site < marked.rva + len(marked.content) // 2


def test_another_text_is_told_with_its_content() -> None:
    """The same code refers to a text that is another in the fixed image."""
    original = program(example("codec", "baseline"), "none")
    text = original.image.memory.tobytes().index(b"codec: transform\0")
    comparison = compare(original, mutant(original, patched(original.image, {text: b"CODEC"})))
    changed = [item.name for item in describe(comparison).functions if item.change is Change.CHANGED]
    assert changed == ["codec_transform"]
    found = explain(comparison, "codec_transform", find(comparison, "codec_transform"))
    assert found.disagreement is not None
    assert found.disagreement.fixed.content.startswith('"CODEC')
    assert found.disagreement.baseline.content.startswith('"codec')
    assert any("content differs from byte 0 on" in words for words in found.disagreement.testimony)


def test_a_line_number_is_shown_where_it_stands() -> None:
    comparison = compared("variants/line_only", "none")
    for item in describe(comparison).functions:
        text = f"{item.fixed[0].start:#x}"
        found = explain(comparison, text, find(comparison, text))
        assert found.line_only == item.line_only
        if found.line_only:
            (line,) = [line for line in found.fixed_code if line.differs]
            (old,) = [line for line in found.baseline_code if line.differs]
            assert line.content != old.content
