"""Scoring of the rest of a diff: named data, unnamed constants, what must be found and what may refuse."""

from bench.reality import Reality
from bench.scoring import Score, Sides
from bench.truth import Truth
from hpbuild.codes import builds, plan, traps
from hpbuild.errors import Finding, Severity
from hpbuild.match.model import Change, DatumChange
from hpbuild.pe.symbols import SymbolKind
from hpbuild.plan.model import Exclusion
from hpbuild.values import Interval

IMPORTS = frozenset({plan.NEW_IMPORT.id, plan.UNRESOLVED.id})
VARIABLES = frozenset(
    {
        plan.CHANGED_INITIALISER.id,
        plan.AMBIGUOUS_VARIABLE.id,
        plan.STALE_POINTER.id,
        plan.EXPORTED_DATA.id,
    }
)
"""Codes that a new import or a changed variable may refuse with."""
INITIALISERS = frozenset({traps.NEW_INITIALISER.id, traps.NEVER_INITIALISED.id})
"""Codes that a runtime library may refuse with which the fix is the first to need."""
BEYOND = frozenset({builds.TYPE_LAYOUT.id})
"""Codes of refusals that the truth cannot judge: it says nothing of the layout of types."""


def score_data(
    truth: Truth, reports: tuple[DatumChange, ...], sides: Sides, reality: Reality, score: Score
) -> None:
    """Score named data."""
    right: set[int] = set()
    for change, entries in (
        (Change.CHANGED, truth.data.changed),
        (Change.ADDED, truth.data.added),
        (Change.REMOVED, truth.data.removed),
    ):
        names = sides.baseline if change is Change.REMOVED else sides.fixed
        for entry in entries:
            tally = score.data[change]
            tally.truth += 1
            found = _covering(reports, change, names.addresses(entry, SymbolKind.DATA))
            right |= found
            tally.found += bool(found)
            if not found:
                detail = _other_reports(reports, names.addresses(entry, SymbolKind.DATA), change)
                score.fell_short(f"{change} datum missed", entry.name, "/".join(map(str, entry.size)), detail)
    for index, report in enumerate(reports):
        if index in right:
            score.data[report.change].reported += 1
            score.data[report.change].right += 1
        else:
            _judge(report, truth, sides, reality, score)


def _place(report: DatumChange) -> Interval:
    run = report.baseline if report.change is Change.REMOVED else report.fixed
    return run if run is not None else Interval(0, 0)


def _covering(reports: tuple[DatumChange, ...], change: Change, addresses: frozenset[int]) -> set[int]:
    return {
        index
        for index, report in enumerate(reports)
        if report.change is change
        and any(_place(report).start <= rva < _place(report).end for rva in addresses)
    }


def _other_reports(reports: tuple[DatumChange, ...], addresses: frozenset[int], change: Change) -> str:
    others = [kind for kind in Change if kind is not change and _covering(reports, kind, addresses)]
    return f"reported as {others[0]}" if others else "not reported" if addresses else "no symbol names it"


def _judge(report: DatumChange, truth: Truth, sides: Sides, reality: Reality, score: Score) -> None:
    """A report that no datum of the truth accounts for."""
    here = sides.baseline if report.change is Change.REMOVED else sides.fixed
    place = _place(report)
    names = here.data_within(int(place.start), int(place.end))
    if not names:
        score.unnamed += 1
        side = 0 if report.change is Change.REMOVED else 1
        score.unnamed_known += _text(reality.read(side, place)) in truth.constants[1 - side]
    elif reality.data_differs(names):
        score.outside += 1
    else:
        score.data[report.change].reported += 1
        score.fell_short(f"{report.change} datum is false", min(names), str(len(place)), report.reason)


def _text(content: bytes) -> str:
    return content.rstrip(b"\0").decode("utf-8", "replace")


def called_for(truth: Truth, outside: int) -> frozenset[str]:
    """Codes of refusals that there is a reason for, and of those that the truth cannot judge. ``outside``
    is the number of differences in runtime libraries: what the fix links in may bring initialisers."""
    codes = BEYOND | (INITIALISERS if outside else frozenset())
    if truth.imports[0]:
        codes |= IMPORTS
    if any(entry.kind in ("data", "bss") for entry in truth.data.changed):
        codes |= VARIABLES
    return codes


def score_findings(
    truth: Truth, findings: tuple[Finding, ...], exclusions: tuple[Exclusion, ...], score: Score
) -> None:
    """Note findings that are missing, and refusals that nothing gives a reason for."""
    codes = {finding.code.id for finding in findings}
    for entry in truth.data.changed:
        if entry.kind == "data" and not codes & VARIABLES:
            score.fell_short("missing finding", entry.name, detail="a changed initial value must refuse")
    if truth.exports and plan.EXPORTS_DIFFER.id not in codes:
        score.fell_short("missing finding", truth.exports[0], detail="exports differ")
    told = {item.place.rsplit("!", 1)[-1] for item in exclusions if item.klass == "import"}
    for name in sorted({*truth.imports[0], *truth.imports[1]} - told):
        score.fell_short("missing finding", name, detail="import added or removed and not declared")
    reasons = called_for(truth, score.outside)
    for finding in findings:
        if finding.code.severity is Severity.REFUSE and finding.code.id not in reasons - BEYOND:
            what = "refusal beyond the truth" if finding.code.id in BEYOND else "refusal without reason"
            score.fell_short(what, f"{finding.code.id} {finding.place}", detail=finding.cause)
