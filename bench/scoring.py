"""Comparing what a diff reports with the truth: found and missed, right and false, name by name.

Both are brought to addresses. A function of the truth is *found* when a report of its kind has one of its
parts, in both images when it changed: one that is paired with something else is missed, since the wrong
entry would be redirected. A report is *right* when it has a function of the truth in this way.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.naming import Names
from bench.truth import Entry, Truth
from hpbuild.match.model import Change, Difference, FunctionChange
from hpbuild.pe.symbols import SymbolKind

CHANGES = (Change.CHANGED, Change.ADDED, Change.REMOVED)


@dataclass(slots=True)
class Tally:
    """Counts of one kind: of the truth and how many were found, of reports and how many were right."""

    truth: int = 0
    found: int = 0
    reported: int = 0
    right: int = 0

    def __iadd__(self, other: "Tally") -> "Tally":
        self.truth += other.truth
        self.found += other.found
        self.reported += other.reported
        self.right += other.right
        return self

    @property
    def recall(self) -> float:
        """Share of the truth that was found; 1 when there was nothing to find."""
        return self.found / self.truth if self.truth else 1.0

    @property
    def precision(self) -> float:
        """Share of the reports that were right; 1 when there was none."""
        return self.right / self.reported if self.reported else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """One thing that is not as it should be, for an engineer to look into. ``what`` is one of a few fixed
    texts; ``size`` says the bytes of baseline and fixed as far as known."""

    what: str
    name: str
    size: str = ""
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class Score:
    """One comparison. ``told_apart``, ``carried`` and ``unseen`` count the functions that differ by
    ``__LINE__`` alone: reported as that, reported as changed, not reported; ``unproven`` counts those that
    are reported as that where the truth does not know. ``outside`` counts reports about code and data that
    the truth does not list and that only one image's symbols name; ``referrers`` those of functions that are
    equal but refer to named constants that changed. ``unnamed`` counts reported data without a name,
    ``unnamed_known`` those whose content is an unnamed constant of the truth."""

    functions: dict[Change, Tally] = field(default_factory=lambda: {change: Tally() for change in CHANGES})
    data: dict[Change, Tally] = field(default_factory=lambda: {change: Tally() for change in CHANGES})
    told_apart: int = 0
    carried: int = 0
    unseen: int = 0
    unproven: int = 0
    outside: int = 0
    referrers: int = 0
    unnamed: int = 0
    unnamed_known: int = 0
    shortfalls: list[Shortfall] = field(default_factory=list)

    def fell_short(self, what: str, name: str, size: str = "", detail: str = "") -> None:
        """Note a shortfall."""
        self.shortfalls.append(Shortfall(what=what, name=name, size=size, detail=detail))


@dataclass(frozen=True, slots=True)
class Sides:
    """Names of both images."""

    baseline: Names
    fixed: Names


def score_functions(truth: Truth, difference: Difference, sides: Sides, score: Score) -> list[FunctionChange]:
    """Score the functions; returns the reports that the truth does not account for: ``note_false`` is for
    those that nothing else does."""
    judged = _Judge(difference.functions)
    for entry in truth.functions.changed:
        _score_changed(entry, judged, sides, score)
    for entry in truth.functions.added:
        _score_one_sided(entry, Change.ADDED, judged, sides, score)
    for entry in truth.functions.removed:
        _score_one_sided(entry, Change.REMOVED, judged, sides, score)
    return _judge_reports(judged, score)


class _Judge:
    """The reports, and which of them the truth accounts for: as 'right', or as 'line' (``__LINE__`` only)."""

    def __init__(self, reports: Iterable[FunctionChange]) -> None:
        self.reports = tuple(reports)
        self.verdict: dict[int, str] = {}
        self._fixed: dict[int, int] = {}
        self._baseline: dict[int, int] = {}
        for index, report in enumerate(self.reports):
            self._fixed.update((int(part.start), index) for part in report.fixed)
            self._baseline.update((int(part.start), index) for part in report.baseline)

    def in_fixed(self, addresses: Iterable[int]) -> list[int]:
        """Reports with a part at one of these addresses of the fixed image."""
        return sorted({self._fixed[rva] for rva in addresses if rva in self._fixed})

    def in_baseline(self, addresses: Iterable[int]) -> list[int]:
        """The same for the baseline."""
        return sorted({self._baseline[rva] for rva in addresses if rva in self._baseline})


def _score_changed(entry: Entry, judged: _Judge, sides: Sides, score: Score) -> None:
    fixed = judged.in_fixed(sides.fixed.addresses(entry, SymbolKind.FUNCTION))
    baseline = judged.in_baseline(sides.baseline.addresses(entry, SymbolKind.FUNCTION))
    whole = [index for index in fixed if index in baseline]
    apart = [index for index in whole if judged.reports[index].line_only]
    if entry.line_only is True:
        _score_line_only(entry, judged, (whole, apart), bool(fixed), score)
        return
    tally = score.functions[Change.CHANGED]
    tally.truth += 1
    if whole and (entry.line_only is None or len(apart) < len(whole)):
        tally.found += 1
        score.unproven += len(apart) == len(whole)
        judged.verdict.update(dict.fromkeys(whole, "right"))
        return
    judged.verdict.update(dict.fromkeys(apart, "line"))
    why = _why_missed(judged, whole, fixed, sides)
    score.fell_short("changed function missed", entry.name, _sizes(entry), why)


def _score_line_only(
    entry: Entry, judged: _Judge, reports: tuple[list[int], list[int]], seen: bool, score: Score
) -> None:
    whole, apart = reports
    for index in whole:
        judged.verdict.setdefault(index, "line")
    if apart:
        score.told_apart += 1
    elif seen:
        score.carried += 1
        score.fell_short("line-only function carried", entry.name, _sizes(entry))
    else:
        score.unseen += 1
        score.fell_short("line-only function not reported", entry.name, _sizes(entry))


def _why_missed(judged: _Judge, whole: list[int], fixed: list[int], sides: Sides) -> str:
    if whole:
        return "reported as differing by line numbers alone"
    if not fixed:
        return "reported as identical"
    report = judged.reports[fixed[0]]
    if report.change is Change.ADDED:
        return "reported as added: it was not paired"
    return f"paired with {_label(sides.baseline, report.baseline[0].start)}, by {report.level}"


def _score_one_sided(entry: Entry, change: Change, judged: _Judge, sides: Sides, score: Score) -> None:
    """A function that one side alone has. As a part of a changed function (not its entry) it is found too."""
    names = sides.fixed if change is Change.ADDED else sides.baseline
    tally = score.functions[change]
    tally.truth += 1
    addresses = names.addresses(entry, SymbolKind.FUNCTION)
    found = judged.in_fixed(addresses) if change is Change.ADDED else judged.in_baseline(addresses)
    good = [index for index in found if judged.reports[index].change is change]
    parts = [index for index in found if not _at_entry(judged.reports[index], change, addresses)]
    if good or parts:
        tally.found += 1
        judged.verdict.update(dict.fromkeys(good, "right"))
        return
    detail = "not reported"
    if found:
        report = judged.reports[found[0]]
        baseline, fixed = report.baseline[0].start, report.fixed[0].start
        mate = _label(sides.baseline, baseline) if change is Change.ADDED else _label(sides.fixed, fixed)
        detail = f"paired with {mate}, by {report.level}"
    score.fell_short(f"{change} function missed", entry.name, _sizes(entry), detail)


def _at_entry(report: FunctionChange, change: Change, addresses: frozenset[int]) -> bool:
    return int((report.fixed if change is Change.ADDED else report.baseline)[0].start) in addresses


def _judge_reports(judged: _Judge, score: Score) -> list[FunctionChange]:
    wrong = []
    for index, report in enumerate(judged.reports):
        verdict = judged.verdict.get(index, "")
        if verdict == "right":
            score.functions[report.change].reported += 1
            score.functions[report.change].right += 1
        elif not verdict:
            wrong.append(report)
    return wrong


def note_false(report: FunctionChange, sides: Sides, score: Score) -> None:
    """Count and list a report that nothing justifies."""
    score.functions[report.change].reported += 1
    baseline = _label(sides.baseline, report.baseline[0].start) if report.baseline else ""
    fixed = _label(sides.fixed, report.fixed[0].start) if report.fixed else ""
    name = " -> ".join(dict.fromkeys(name for name in (baseline, fixed) if name))
    size = "/".join(str(sum(map(len, parts))) for parts in (report.baseline, report.fixed) if parts)
    level = f" [{report.level}]" if report.level else ""
    score.fell_short(f"{report.change} function is false", name, size, report.reason + level)


def _label(names: Names, rva: int) -> str:
    return min(names.functions_at(rva), default=f"{rva:#x}")


def _sizes(entry: Entry) -> str:
    return "/".join(map(str, entry.size))
