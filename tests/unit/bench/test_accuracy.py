"""Scoring of reports against the truth, on made-up pairs and on a real one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.accuracy import failed, run_all
from bench.accuracy_page import document, markdown, text
from bench.naming import Names, same_file
from bench.reality import Reality
from bench.scoring import Score, Sides, Tally, note_false, score_functions
from bench.scoring_data import called_for, score_data, score_findings
from bench.sources import PATCHES, ROOT
from bench.trial import Outcome, Trial, note_missed_all, run_trial
from bench.truth import Entry, Items, Truth
from bench.unpacking import SUFFIX, BuiltPair, built_pairs
from hpbuild.codes import plan, traps
from hpbuild.errors import Finding
from hpbuild.match.model import Change, DatumChange, Difference, FunctionChange, Summary
from hpbuild.pe.image import Image
from hpbuild.pe.reader import read_image
from hpbuild.pe.symbols import Symbol, SymbolKind, SymbolScope
from hpbuild.plan.model import Exclusion
from hpbuild.values import Interval, Rva

FUNCTION, DATA = SymbolKind.FUNCTION, SymbolKind.DATA


def symbol(
    rva: int, name: str, file: str = "", *, linkage: str = "", kind: SymbolKind = FUNCTION, size: int = 16
) -> Symbol:
    scope = SymbolScope.GLOBAL if linkage else SymbolScope.LOCAL
    return Symbol(rva=Rva(rva), size=size, name=name, kind=kind, scope=scope, file=file, linkage_name=linkage)


def entry(name: str, file: str = "a.c", *, line_only: bool | None = False, kind: str = "") -> Entry:
    return Entry(name=name, file=file, static=True, size=(16, 16), kind=kind, line_only=line_only)


NOTHING = Items(changed=(), added=(), removed=())


def truth(functions: Items = NOTHING, data: Items = NOTHING, **rest: tuple[str, ...]) -> Truth:
    return Truth(
        functions=functions,
        data=data,
        constants=(rest.get("constants", ()), ()),
        exports=rest.get("exports", ()),
        imports=(rest.get("imports", ()), ()),
    )


def changes(
    changed: tuple[Entry, ...] = (), added: tuple[Entry, ...] = (), removed: tuple[Entry, ...] = ()
) -> Items:
    return Items(changed=changed, added=added, removed=removed)


def report(baseline: tuple[int, ...], fixed: tuple[int, ...], *, line_only: bool = False) -> FunctionChange:
    change = Change.CHANGED if baseline and fixed else Change.ADDED if fixed else Change.REMOVED
    return FunctionChange(
        name="sub",
        change=change,
        baseline=tuple(Interval(start, start + 16) for start in baseline),
        fixed=tuple(Interval(start, start + 16) for start in fixed),
        level="form",
        reason="code differs",
        line_only=line_only,
    )


def difference(functions: tuple[FunctionChange, ...]) -> Difference:
    summary = Summary(
        functions_baseline=0, functions_fixed=0, identical=0, changed=0, line_only=0, added=0, removed=0,
        data_changed=0, data_added=0, data_removed=0, levels=(),
    )  # fmt: skip
    return Difference(summary=summary, functions=functions, data=(), account=(), mapped=0)


BASELINE = Names(
    [
        symbol(0x1000, "f", "src_a_c.o"),
        symbol(0x1100, "g", "a.c", linkage="g"),
        symbol(0x1200, "twin", "src_a_c.o"),
        symbol(0x1300, "twin", "src_b_c.o"),
        symbol(0x1400, "gone", "a.c"),
        symbol(0x1500, "printf", "a.c"),
    ]
)
FIXED = Names(
    [
        symbol(0x2000, "f", "src_a_c.o"),
        symbol(0x2100, "g", "a.c", linkage="g"),
        symbol(0x2200, "twin", "src_a_c.o"),
        symbol(0x2300, "twin", "src_b_c.o"),
        symbol(0x2400, "new", "a.c"),
        symbol(0x2500, "printf", linkage="printf"),
    ]
)
SIDES = Sides(BASELINE, FIXED)


def scored(functions: Items, *reports: FunctionChange) -> tuple[Score, list[FunctionChange]]:
    score = Score()
    left = score_functions(truth(functions), difference(reports), SIDES, score)
    for item in left:
        note_false(item, SIDES, score)
    return score, left


def counts(tally: Tally) -> tuple[int, int, int, int]:
    return tally.truth, tally.found, tally.reported, tally.right


def test_a_perfect_report_has_no_shortfall() -> None:
    known = changes((entry("f"), entry("g")), (entry("new"),), (entry("gone"),))
    score, left = scored(
        known,
        report((0x1000,), (0x2000,)),
        report((0x1100,), (0x2100,)),
        report((), (0x2400,)),
        report((0x1400,), ()),
    )
    assert not left
    assert not score.shortfalls
    assert counts(score.functions[Change.CHANGED]) == (2, 2, 2, 2)
    assert counts(score.functions[Change.ADDED]) == (1, 1, 1, 1)
    assert counts(score.functions[Change.REMOVED]) == (1, 1, 1, 1)


def test_a_miss_is_listed_with_name_and_sizes() -> None:
    score, _ = scored(changes((entry("f"), entry("g"))), report((0x1000,), (0x2000,)))
    assert counts(score.functions[Change.CHANGED]) == (2, 1, 1, 1)
    (item,) = score.shortfalls
    assert (item.what, item.name, item.size) == ("changed function missed", "g", "16/16")
    assert item.detail == "reported as identical"


def test_a_false_report_is_listed_by_its_real_name() -> None:
    score, left = scored(changes((entry("f"),)), report((0x1000,), (0x2000,)), report((0x1100,), (0x2100,)))
    assert [item.fixed[0].start for item in left] == [0x2100]
    assert score.functions[Change.CHANGED].precision == 0.5
    assert score.functions[Change.CHANGED].recall == 1
    assert [(item.what, item.name) for item in score.shortfalls] == [("changed function is false", "g")]


def test_a_function_paired_with_another_is_missed_and_false() -> None:
    score, _ = scored(changes((entry("f"),)), report((0x1100,), (0x2000,)))
    assert counts(score.functions[Change.CHANGED]) == (1, 0, 1, 0)
    assert [(item.what, item.name, item.detail) for item in score.shortfalls] == [
        ("changed function missed", "f", "paired with g, by form"),
        ("changed function is false", "g -> f", "code differs [form]"),
    ]


def test_a_changed_function_reported_as_new_is_missed() -> None:
    score, _ = scored(changes((entry("f"),)), report((), (0x2000,)), report((0x1000,), ()))
    assert score.functions[Change.CHANGED].found == 0
    assert score.shortfalls[0].detail == "reported as added: it was not paired"
    assert counts(score.functions[Change.ADDED]) == (0, 0, 1, 0)
    assert counts(score.functions[Change.REMOVED]) == (0, 0, 1, 0)


def test_new_and_removed_functions_that_are_paired_are_missed() -> None:
    score, _ = scored(changes((), (entry("new"),), (entry("gone"),)), report((0x1400,), (0x2400,)))
    assert [(item.what, item.detail) for item in score.shortfalls[:2]] == [
        ("added function missed", "paired with gone, by form"),
        ("removed function missed", "paired with new, by form"),
    ]


def test_a_new_part_of_a_changed_function_is_found() -> None:
    score, left = scored(changes((entry("f"),), (entry("new"),)), report((0x1000,), (0x2000, 0x2400)))
    assert not left
    assert not score.shortfalls
    assert score.functions[Change.ADDED].recall == 1


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ((report((0x1000,), (0x2000,), line_only=True),), (1, 0, 0)),
        ((report((0x1000,), (0x2000,)),), (0, 1, 0)),
        ((report((), (0x2000,)),), (0, 1, 0)),
        ((), (0, 0, 1)),
    ],
)
def test_line_numbers_alone_are_scored_apart(
    reports: tuple[FunctionChange, ...], expected: tuple[int, int, int]
) -> None:
    score, _ = scored(changes((entry("f", line_only=True),)), *reports)
    assert (score.told_apart, score.carried, score.unseen) == expected
    assert counts(score.functions[Change.CHANGED]) == (0, 0, 0, 0)
    assert len(score.shortfalls) == (
        0 if expected == (1, 0, 0) else 2 if reports and not reports[0].baseline else 1
    )


def test_a_real_change_called_line_only_is_missed() -> None:
    score, left = scored(changes((entry("f"),)), report((0x1000,), (0x2000,), line_only=True))
    assert not left
    assert counts(score.functions[Change.CHANGED]) == (1, 0, 0, 0)
    assert score.shortfalls[0].detail == "reported as differing by line numbers alone"


def test_where_the_truth_does_not_know_line_only_is_counted() -> None:
    known = changes((entry("f", line_only=None),))
    score, _ = scored(known, report((0x1000,), (0x2000,), line_only=True))
    assert (score.functions[Change.CHANGED].found, score.unproven) == (1, 1)
    score, _ = scored(known, report((0x1000,), (0x2000,)))
    assert (score.functions[Change.CHANGED].found, score.unproven) == (1, 0)


def test_static_functions_of_one_name_are_told_apart_by_file() -> None:
    known = changes((entry("twin", "src/b.c"),))
    score, left = scored(known, report((0x1300,), (0x2300,)))
    assert score.functions[Change.CHANGED].found == 1
    assert not left
    score, left = scored(known, report((0x1200,), (0x2200,)))
    assert score.functions[Change.CHANGED].found == 0
    assert len(left) == 1


@pytest.mark.parametrize(
    ("source", "recorded", "same"),
    [
        ("src/jv.c", "src_jv_c.o", True),
        ("src/jv.c", "jv.c", True),
        ("src/jv.c", "jv.obj", False),
        ("src/jv.c", "src_jv_dtoa_c.o", False),
        ("lib/mingw_pformat.c", "mingw_pformat.", True),
        ("src/jv.c", "", False),
        ("", "jv.c", False),
    ],
)
def test_files_are_recognised_as_tools_write_them(source: str, recorded: str, same: bool) -> None:
    assert same_file(source, recorded) is same


def test_static_functions_of_cxx_are_found_by_their_written_name() -> None:
    names = Names(
        [
            symbol(0x10, "`anonymous namespace'::box::read<int>", "a_cc.o"),
            symbol(0x20, "ns::f", "a_cc.o", linkage="_ZN2ns1fEi"),
            symbol(0x30, "helper", "a_cc.o"),
        ]
    )
    for mangled, rva in (
        ("_ZN12_GLOBAL__N_13box4readEi", 0x10),
        ("_ZN2ns1fEi", 0x20),
        ("_ZL6helperi", 0x30),
        ("_ZL5otheri", None),
        ("_ZN99", None),
    ):
        assert names.addresses(entry(mangled, "a.cc"), FUNCTION) == ({rva} if rva else set())


@pytest.fixture(scope="module")
def images(binaries: Path) -> tuple[Image, Image]:
    return read_image(binaries / "baseline" / "codec.dll"), read_image(binaries / "fixed" / "codec.dll")


def rodata(image: Image) -> int:
    return next(int(section.rva) for section in image.sections if section.name == ".rdata")


def datum(change: Change, run: Interval) -> DatumChange:
    removed, added = change is Change.REMOVED, change is Change.ADDED
    return DatumChange(
        name="", change=change, kind="rodata", baseline=None if added else run,
        fixed=None if removed else run, reason="content differs",
    )  # fmt: skip


def data_scored(known: Truth, sides: Sides, images: tuple[Image, Image], *reports: DatumChange) -> Score:
    score = Score()
    score_data(known, reports, sides, Reality(*images, sides, ()), score)
    return score


def test_named_data_is_found_missed_and_false(images: tuple[Image, Image]) -> None:
    at = rodata(images[0])
    names = Names(
        [
            symbol(at, "table", "a.c", kind=DATA),
            symbol(at + 32, "other", "a.c", kind=DATA),
            symbol(at + 64, "third", "a.c", kind=DATA),
        ]
    )
    known = truth(data=changes((entry("table", kind="rodata"), entry("third", kind="rodata"))))
    sides = Sides(names, names)
    same = (images[0], images[0])
    score = data_scored(
        known,
        sides,
        same,
        datum(Change.CHANGED, Interval(at, at + 16)),
        datum(Change.CHANGED, Interval(at + 32, at + 48)),
    )
    assert counts(score.data[Change.CHANGED]) == (2, 1, 2, 1)
    assert [(item.what, item.name) for item in score.shortfalls] == [
        ("changed datum missed", "third"),
        ("changed datum is false", "other"),
    ]
    score = data_scored(known, sides, same, datum(Change.ADDED, Interval(at + 64, at + 80)))
    assert [item.detail for item in score.shortfalls[:2]] == ["not reported", "reported as added"]


def test_unnamed_constants_are_no_false_data(images: tuple[Image, Image]) -> None:
    content = images[1].read(rodata(images[1]), 0x200)
    word = next(piece for piece in content.split(b"\0") if len(piece) > 4 and piece.isascii())
    at = rodata(images[1]) + content.index(word)
    nobody = Names([])
    known = truth(constants=(word.decode(),))
    score = data_scored(
        known,
        Sides(nobody, nobody),
        images,
        datum(Change.ADDED, Interval(at, at + len(word) + 1)),
        datum(Change.ADDED, Interval(at, at + 2)),
    )
    assert (score.unnamed, score.unnamed_known) == (2, 1)
    assert not score.shortfalls


def test_a_runtime_library_that_is_linked_in_is_not_false(images: tuple[Image, Image]) -> None:
    at = rodata(images[1])
    fixed = Names([symbol(at, "lock", kind=DATA), symbol(0x2500, "printf", linkage="printf")])
    sides = Sides(BASELINE, fixed)
    score = data_scored(truth(), sides, images, datum(Change.ADDED, Interval(at, at + 8)))
    assert (score.outside, score.shortfalls) == (1, [])
    reality = Reality(*images, sides, ())
    assert reality.appeared(report((), (0x2500,)))
    assert not reality.appeared(report((), (0x9000,)))
    assert not reality.appeared(report((0x1500,), (0x2500,)))
    assert not Reality(*images, Sides(BASELINE, BASELINE), ()).appeared(report((), (0x1500,)))


def test_findings_that_are_missing_or_without_reason() -> None:
    variable = changes((entry("v", kind="data"),))
    score = Score()
    score_findings(truth(data=variable, imports=("Sleep",), exports=("e",)), (), (), score)
    assert [(item.what, item.name) for item in score.shortfalls] == [
        ("missing finding", "v"),
        ("missing finding", "e"),
        ("missing finding", "Sleep"),
    ]
    score = Score()
    told = (
        Finding(plan.CHANGED_INITIALISER, "v", ""),
        Finding(plan.EXPORTS_DIFFER, "e", ""),
        Finding(plan.NO_ROOM, "f", "too short"),
    )
    known = truth(data=variable, imports=("Sleep",), exports=("e",))
    score_findings(known, told, (Exclusion("import", "kernel32.dll!Sleep", ""),), score)
    assert [(item.what, item.name) for item in score.shortfalls] == [
        ("refusal without reason", f"{plan.NO_ROOM.id} f")
    ]


def test_what_the_truth_calls_for() -> None:
    assert plan.NEW_IMPORT.id in called_for(truth(imports=("Sleep",)), 0)
    assert plan.NEW_IMPORT.id not in called_for(truth(), 0)
    assert plan.CHANGED_INITIALISER.id not in called_for(truth(data=changes((entry("v", kind="rodata"),))), 0)
    assert traps.NEW_INITIALISER.id in called_for(truth(), 3)
    assert traps.NEW_INITIALISER.id not in called_for(truth(), 0)


def outcome(answer: str = "proved", unexplained: int = 0, missed: bool = False) -> Outcome:
    score, _ = scored(changes((entry("f"),)), *(() if missed else (report((0x1000,), (0x2000,)),)))
    return Outcome(
        name="lib--fix", build="zig", symbols="auto", answer=answer, right=True, builds=True, proves=True,
        unexplained=unexplained, score=score,
    )  # fmt: skip


def test_what_makes_the_run_fail() -> None:
    assert failed([outcome()], 1.0) == []
    assert failed([outcome(missed=True)], 1.0) == ["1 of 1 changed functions were missed"]
    assert failed([outcome(missed=True), outcome()], 0.5) == []
    assert failed([outcome(unexplained=3)], 1.0) == ["3 bytes are unexplained"]


def test_a_run_without_a_diff_has_found_nothing() -> None:
    score = Score()
    note_missed_all(truth(changes((entry("f"), entry("g", line_only=True)), (entry("new"),))), score)
    assert counts(score.functions[Change.CHANGED]) == (1, 0, 0, 0)
    assert score.functions[Change.ADDED].truth == 1
    assert score.unseen == 1


def test_pages_tell_counts_shares_and_shortfalls() -> None:
    outcomes = [outcome(), outcome("refused", missed=True)]
    page = markdown(outcomes)
    assert "| all |  | 2 | 1/2 | 50.00 % | 100 % |" in page
    assert "- changed function missed: f (16/16 bytes): reported as identical" in page
    assert "changed function missed: f" in text(outcomes)
    parsed = json.loads(json.dumps(document(outcomes)))
    assert parsed["runs"][1]["score"]["functions"]["changed"]["truth"] == 1
    assert "seconds" not in parsed["runs"][0]


def test_a_share_is_not_rounded_up_to_all() -> None:
    nearly = outcome()
    nearly.score.functions[Change.CHANGED] = Tally(truth=100_000, found=99_999, reported=1, right=1)
    assert "99.99 %" in text([nearly])


def test_a_real_pair(tmp_path: Path) -> None:
    archives = sorted(PATCHES.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_size)
    if not archives:
        pytest.skip("the patch corpus is not beside the checkout")
    name = archives[0].name.removesuffix(SUFFIX)
    pairs = [pair for pair in built_pairs(PATCHES, tmp_path, name) if pair.build == "zig"]
    (found,) = run_all([Trial(pairs[0], "auto", True, 300)], 1)
    changed = found.score.functions[Change.CHANGED]
    assert changed.recall == 1
    assert changed.truth > 0
    assert found.unexplained == 0
    assert (found.right, found.answer) in {(True, "proved"), (True, "refused")}


def test_a_file_that_is_no_image_is_an_error_with_everything_missed(tmp_path: Path) -> None:
    for name in ("b.dll", "f.dll"):
        (tmp_path / name).write_bytes(b"no image")
    known = {"changed": [{"name": "f", "size": [1, 1]}], "added": [], "removed": []}
    none: dict[str, list[str]] = {"changed": [], "added": [], "removed": []}
    (tmp_path / "truth.json").write_text(json.dumps({"functions": known, "data": none}))
    pair = BuiltPair("x", "zig", tmp_path / "b.dll", tmp_path / "f.dll", tmp_path / "truth.json")
    found = run_trial(Trial(pair, "auto", True, 60))
    assert found.answer.startswith("HP1")
    assert counts(found.score.functions[Change.CHANGED]) == (1, 0, 0, 0)
    assert [reason for reason in failed([found], 0.0) if "HP1" in reason]


def test_command_line_tells_of_a_corpus_that_is_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.accuracy", str(tmp_path / "none")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such folder" in done.stderr
