"""The suite, the specification and the threat model name the same cases and the same rules."""

import re
import zipfile
from fnmatch import fnmatchcase

import pytest

from tests.conftest import ROOT
from tests.vectors.case import CASES, Case, all_cases

SPECIFICATION = ROOT / "docs" / "spec" / "bundle.md"
THREATS = ROOT / "docs" / "threat-model.md"
SUITE = ROOT / "tests" / "vectors" / "README.md"
FAMILIES = "CJSEMPTLIA"
RULE = re.compile(r"^\| ([A-Z][0-9]+) \|", re.MULTILINE)
NAME = re.compile(r"`([a-z0-9][a-z0-9*-]*(?:_fail)?)`")


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    return all_cases()


def rules() -> list[str]:
    return [rule for rule in RULE.findall(SPECIFICATION.read_text("utf-8")) if rule[0] in FAMILIES]


def untested() -> set[str]:
    """Rules that the README of the suite says have no case."""
    text = SUITE.read_text("utf-8").split("## Rules without a case")[1].split("\n## ")[0]
    return set(re.findall(r"^- ([A-Z][0-9]+):", text, re.MULTILINE))


def test_every_rule_is_named_once() -> None:
    found = rules()
    assert len(found) == len(set(found)) > 60


def test_cases_name_rules_that_exist(cases: tuple[Case, ...]) -> None:
    known = set(rules())
    wrong = {case.name: sorted(set(case.rules) - known) for case in cases if set(case.rules) - known}
    assert not wrong
    assert all(case.rules for case in cases)


def test_every_rule_has_a_case_or_a_reason(cases: tuple[Case, ...]) -> None:
    shown = {rule for case in cases for rule in case.rules}
    assert set(rules()) - shown == untested()


def test_every_family_has_both_kinds(cases: tuple[Case, ...]) -> None:
    for family in FAMILIES:
        kinds = {bool(case.status) for case in cases for rule in case.rules if rule[0] == family}
        assert kinds == {True, False}, family


def test_the_threat_model_names_every_case_and_no_other(cases: tuple[Case, ...]) -> None:
    named = set(NAME.findall(THREATS.read_text("utf-8")))
    there = {case.name for case in cases}
    known = {name for name in there if any(fnmatchcase(name, pattern) for pattern in named)}
    assert there - known == set(), "not named in docs/threat-model.md"
    idle = {pattern for pattern in named if not any(fnmatchcase(name, pattern) for name in there)}
    assert idle <= {"verify", "authenticode"}, "named, and not there"


def test_every_folder_is_a_case(cases: tuple[Case, ...]) -> None:
    assert {path.name for path in CASES.iterdir()} == {case.name for case in cases}


def test_the_clock_decides_nothing(cases: tuple[Case, ...]) -> None:
    """What is remembered is judged by the clock; in those steps nothing depends on it."""
    steps = [(case.name, step) for case in cases for step in case.steps]
    assert not [name for name, step in steps if "--time" not in step and "--state" not in step]


@pytest.mark.parametrize(
    "name",
    [
        "comment", "compressed", "data-before", "data-between", "data-descriptor",
        "duplicate-member", "extra-field", "extra-member", "made-by-windows", "order-of-members",
        "other-date", "path-traversal", "symbolic-link", "utf-8-flag", "zip64-end", "zip64-sizes",
    ],
)  # fmt: skip
def test_lenient_readers_open_what_is_refused(name: str) -> None:
    """So these cases are refused for what they show, and not because they are broken altogether."""
    with zipfile.ZipFile(CASES / f"{name}_fail" / "package.hpb") as archive:
        assert archive.testzip() is None
        assert "manifest.json" in archive.namelist()
