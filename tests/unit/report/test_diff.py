"""The diff document and its text, from values made by hand."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from hpbuild.codes.cli import NOTHING_TO_PATCH
from hpbuild.errors import Finding
from hpbuild.manifest.schema import validate
from hpbuild.match.explained import Explanation
from hpbuild.match.model import Change, DatumChange, Difference, FunctionChange, Summary
from hpbuild.plan.model import Exclusion
from hpbuild.report import build as build_report
from hpbuild.report import diff, plain
from hpbuild.report.document import json_text
from hpbuild.values import Interval

SUMMARY = Summary(
    functions_baseline=10, functions_fixed=11, identical=8, changed=1, line_only=0, added=2, removed=1,
    data_changed=1, data_added=0, data_removed=0, levels=(("name", 9),),
)  # fmt: skip
DIFFERENCE = Difference(
    summary=SUMMARY,
    functions=(
        FunctionChange(
            name="decode\x1b[2J",
            change=Change.CHANGED,
            baseline=(Interval(0x1000, 0x1010), Interval(0x3000, 0x3004)),
            fixed=(Interval(0x1100, 0x1120),),
            level="name",
            reason="instruction 3 differs",
        ),
        FunctionChange(
            name="", change=Change.ADDED, baseline=(), fixed=(Interval(0x2000, 0x2010),), level="",
            reason="new",
        ),
    ),
    data=(
        DatumChange(
            name="table", change=Change.CHANGED, kind="rodata", baseline=Interval(0x4000, 0x4010),
            fixed=Interval(0x4100, 0x4110), reason="byte 3 differs",
        ),
    ),
    account=(("identical-code", 1000), ("changed-code", 32)),
    mapped=1032,
)  # fmt: skip


@dataclass(frozen=True)
class OneDiff:
    baseline: str = "old/codec.dll"
    fixed: str = "new/codec.dll"
    verdict: str = "hotpatchable"
    symbols: str = "pdb"
    difference: Difference = DIFFERENCE
    findings: tuple[Finding, ...] = ()
    exclusions: tuple[Exclusion, ...] = (Exclusion("version-resource", ".rsrc", "1.2.3 became 1.2.4"),)
    only: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()


REFUSED = OneDiff(verdict="refused", findings=(Finding(NOTHING_TO_PATCH, "new/codec.dll", "a reason"),))


def checked(document: dict[str, Any]) -> dict[str, Any]:
    again: dict[str, Any] = json.loads(json_text(document))
    validate(again, again["schema"], "document")
    return again


def test_a_pair_of_files() -> None:
    document = checked(diff.document("old/codec.dll", "new/codec.dll", [OneDiff()], tree=False))
    assert document["verdict"] == "hotpatchable"
    function = document["functions"][0]
    assert function["baseline"] == {"rva": 0x1000, "size": 20}
    assert function["fixed"] == {"rva": 0x1100, "size": 32}
    assert (function["match_level"], function["reason"]) == ("name", "instruction 3 differs")
    assert document["functions"][1]["baseline"] is None
    assert document["account"] == {
        "classes": [{"class": "identical-code", "size": 1000}, {"class": "changed-code", "size": 32}],
        "total": 1032,
    }


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [
        (["identical", "refused", "hotpatchable"], "refused"),
        (["identical", "hotpatchable"], "hotpatchable"),
        (["identical"], "identical"),
        (["identical", "nothing-to-patch"], "nothing-to-patch"),
        (["left-out", "nothing-to-patch"], "left-out"),
        ([], "identical"),
    ],
)
def test_a_tree_is_as_good_as_its_worst_file(verdicts: list[str], overall: str) -> None:
    diffs = [replace(OneDiff(), verdict=verdict) for verdict in verdicts]
    document = checked(diff.document("old", "new", diffs, tree=True))
    assert document["verdict"] == overall
    assert [entry["verdict"] for entry in document["modules"]] == verdicts


def test_text_of_a_pair() -> None:
    document = diff.document("old/codec.dll", "new/codec.dll", [REFUSED], tree=False)
    text = plain.render(diff.blocks(document))
    assert text == (
        "verdict: refused\n"
        "baseline   old/codec.dll\n"
        "fixed      new/codec.dll\n"
        "symbols    pdb\n"
        "functions  8 identical, 1 changed, 2 added, 1 removed\n"
        "data       1 changed, 0 added, 0 removed\n"
        "\n"
        "functions\n"
        "  change   function         baseline   fixed      matched by  first difference\n"
        "  changed  decode\\x1b[2J    0x1000+20  0x1100+32  name        instruction 3 differs\n"
        "  added    (no name)        -          0x2000+16  -           new\n"
        "\n"
        "data\n"
        "  change   kind    datum  baseline   fixed      difference\n"
        "  changed  rodata  table  0x4000+16  0x4100+16  byte 3 differs\n"
        "\n"
        "where the 1,032 bytes of the fixed image belong\n"
        "  class                   bytes\n"
        "  identical-code          1,000\n"
        "  changed-code               32\n"
        "  all of the fixed image  1,032\n"
        "\n"
        "not delivered\n"
        "  class             place  why\n"
        "  version-resource  .rsrc  1.2.3 became 1.2.4\n"
        "\n"
        "findings\n"
        "  refuse HP9011 new/codec.dll: a reason\n"
        "    Check that the right two builds were named. If they were, no package is needed.\n"
    ).replace("decode\\x1b[2J    ", "decode\\x1b[2J  ").replace(
        "function         ", "function       "
    ).replace("(no name)        ", "(no name)      ")


def test_text_of_a_tree_passes_over_identical_files() -> None:
    diffs = [replace(OneDiff(), fixed="a.dll", verdict="identical"), replace(OneDiff(), fixed="b.dll")]
    document = diff.document("old", "new", diffs, tree=True)
    text = plain.render(diff.blocks(document))
    assert "a.dll: identical\n\nb.dll: hotpatchable\nsymbols" in text
    assert plain.render(diff.blocks(document, full=True)).count("symbols ") == 2


def test_a_refused_build_gives_the_reasons() -> None:
    document = checked(build_report.refused("old", "new", [REFUSED], []))
    assert document["findings"][0]["module"] == "new/codec.dll"
    text = plain.render(build_report.blocks(document))
    assert text.startswith("refused: no package was written\n")
    assert "refuse HP9011 new/codec.dll: a reason" in text
