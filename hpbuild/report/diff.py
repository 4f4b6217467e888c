"""The result of ``diff``: what changed, whether it can be patched, why not."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from hpbuild.errors import Finding
from hpbuild.match.model import DatumChange, Difference, FunctionChange, Summary
from hpbuild.plan.model import Exclusion
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import (
    Document,
    counted,
    exclusion_blocks,
    exclusions,
    extent,
    extents,
    finding,
    finding_blocks,
    place_of,
    shortened_list,
    start,
)
from hpbuild.report.explanation import blocks as explanation_blocks
from hpbuild.report.explanation import explanation

if TYPE_CHECKING:
    from hpbuild.match.explained import Explanation

VERDICT_TONES = {
    "identical": Tone.GOOD,
    "hotpatchable": Tone.GOOD,
    "refused": Tone.BAD,
    "left-out": Tone.WARN,
    "nothing-to-patch": Tone.GOOD,
}


class Diff(Protocol):
    """What the pipeline says about one pair of files."""

    @property
    def baseline(self) -> str:
        """Path of the baseline."""

    @property
    def fixed(self) -> str:
        """Path of the fixed file."""

    @property
    def verdict(self) -> str:
        """'identical', 'hotpatchable', 'refused', 'left-out' or 'nothing-to-patch'."""

    @property
    def symbols(self) -> str:
        """Where the names come from."""

    @property
    def difference(self) -> Difference:
        """The facts."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What refuses, warns or is worth a note."""

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """What differs and would not be delivered."""

    @property
    def only(self) -> tuple[str, ...]:
        """The functions that a package would be limited to; empty when it would carry all changes."""

    @property
    def explanations(self) -> "tuple[Explanation, ...]":
        """The functions that were to be explained."""


def document(baseline: str, fixed: str, diffs: Sequence[Diff], *, tree: bool) -> Document:
    """The document of a whole run: a verdict over all modules and, for a ``tree``, one entry per module.
    For a pair of files the parts of its only module stand at the top."""
    modules = [module(item) for item in diffs]
    head = {**start("diff"), "baseline": baseline, "fixed": fixed, "verdict": overall(modules)}
    if not tree:
        parts = {
            key: value for key, value in modules[0].items() if key not in ("baseline", "fixed", "verdict")
        }
        return {**head, **parts}
    return {**head, "modules": modules}


def overall(modules: Iterable[Document]) -> str:
    """The first of 'refused', 'hotpatchable', 'left-out', 'nothing-to-patch' that a module has, else
    'identical'."""
    verdicts = {entry["verdict"] for entry in modules}
    order = ("refused", "hotpatchable", "left-out", "nothing-to-patch")
    return next((verdict for verdict in order if verdict in verdicts), "identical")


def module(item: Diff) -> Document:
    """One pair of files. ``only`` and ``explanations`` are there when they were asked for."""
    difference = item.difference
    asked: Document = {"only": list(item.only)} if item.only else {}
    if item.explanations:
        asked["explanations"] = [explanation(entry) for entry in item.explanations]
    return {
        "baseline": item.baseline,
        "fixed": item.fixed,
        "verdict": item.verdict,
        "symbols": item.symbols,
        "summary": _summary(difference.summary),
        "functions": [_function(entry) for entry in difference.functions],
        "data": [_datum(entry) for entry in difference.data],
        "account": {
            "classes": [{"class": name, "size": size} for name, size in difference.account],
            "total": difference.mapped,
        },
        "findings": [finding(entry) for entry in item.findings],
        "exclusions": exclusions(item.exclusions),
        **asked,
    }


def _summary(summary: Summary) -> Document:
    return {
        "functions_baseline": summary.functions_baseline,
        "functions_fixed": summary.functions_fixed,
        "identical": summary.identical,
        "changed": summary.changed,
        "line_only": summary.line_only,
        "added": summary.added,
        "removed": summary.removed,
        "data_changed": summary.data_changed,
        "data_added": summary.data_added,
        "data_removed": summary.data_removed,
        "levels": [{"level": level, "count": count} for level, count in summary.levels],
    }


def _entry(parts: list[Document]) -> Document | None:
    """Entry RVA and the size of all ranges together."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return {"rva": parts[0]["rva"], "size": sum([part["size"] for part in parts])}


def _function(entry: FunctionChange) -> Document:
    baseline, fixed = extents(entry.baseline), extents(entry.fixed)
    return {
        "name": entry.name,
        "change": str(entry.change),
        "baseline": _entry(baseline),
        "fixed": _entry(fixed),
        "baseline_ranges": baseline,
        "fixed_ranges": fixed,
        "match_level": entry.level,
        "reason": entry.reason,
        "line_only": entry.line_only,
    }


def _datum(entry: DatumChange) -> Document:
    return {
        "name": entry.name,
        "change": str(entry.change),
        "kind": entry.kind,
        "baseline": extent(entry.baseline),
        "fixed": extent(entry.fixed),
        "reason": entry.reason,
    }


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """The verdict first, then what it rests on."""
    head: list[Block] = [
        Line(f"verdict: {result['verdict']}", VERDICT_TONES.get(result["verdict"], Tone.PLAIN))
    ]
    files = (("baseline", result["baseline"]), ("fixed", result["fixed"]))
    explained = [item for entry in result.get("modules", [result]) for item in entry.get("explanations", [])]
    if explained and not full:
        return [*head, Pairs(files), *explanation_blocks(explained)]
    if "modules" not in result:
        return [*head, Pairs((*files, *_summary_rows(result))), *_module_blocks(result, full=full)]
    head.append(Pairs(files))
    for entry in result["modules"]:
        head.append(Heading(f"{entry['fixed']}: {entry['verdict']}"))
        if full or entry["verdict"] != "identical":
            head += [Pairs(_summary_rows(entry)), *_module_blocks(entry, full=full)]
    return head


def _summary_rows(entry: Document) -> tuple[tuple[str, str], ...]:
    summary = entry["summary"]
    functions = ", ".join(f"{summary[key]:,} {key}" for key in ("identical", "changed", "added", "removed"))
    if summary["line_only"]:
        functions += f", {summary['line_only']:,} by line numbers only"
    data = ", ".join(f"{summary[f'data_{key}']:,} {key}" for key in ("changed", "added", "removed"))
    rows = ("symbols", entry["symbols"]), ("functions", functions), ("data", data)
    return (*rows, ("only", ", ".join(entry["only"]))) if "only" in entry else rows


def _module_blocks(entry: Document, *, full: bool) -> list[Block]:
    result: list[Block] = explanation_blocks(entry.get("explanations", []))
    if entry["functions"]:
        columns = ("change", "function", "baseline", "fixed", "matched by", "first difference")
        table = shortened_list(columns, entry["functions"], _function_row, full=full)
        result += [Heading("functions"), *table]
    if entry["data"]:
        columns = ("change", "kind", "datum", "baseline", "fixed", "difference")
        result += [Heading("data"), *shortened_list(columns, entry["data"], _datum_row, full=full)]
    result += _account_blocks(entry["account"])
    result += exclusion_blocks(entry["exclusions"], full=full)
    return result + finding_blocks(entry["findings"])


def _function_row(item: Document) -> tuple[str, ...]:
    places = (place_of(item["baseline"]), place_of(item["fixed"]))
    change = "line-only" if item["line_only"] else item["change"]
    return (change, item["name"] or "(no name)", *places, item["match_level"] or "-", item["reason"])


def _datum_row(item: Document) -> tuple[str, ...]:
    places = (place_of(item["baseline"]), place_of(item["fixed"]))
    return (item["change"], item["kind"], item["name"] or "(no name)", *places, item["reason"])


def _account_blocks(account: Document) -> list[Block]:
    rows = tuple((row["class"], f"{row['size']:,}") for row in account["classes"])
    total = ("all of the fixed image", f"{account['total']:,}")
    title = f"where the {counted(account['total'], 'byte')} of the fixed image belong"
    return [Heading(title), Table(("class", "bytes"), (*rows, total), frozenset({1}))]
