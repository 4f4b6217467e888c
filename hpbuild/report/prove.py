"""The result of ``prove``: the closure proof, module by module, step by step."""

from collections.abc import Sequence

from hpbuild.prove.result import Proof, ProofSummary
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, finding, finding_blocks, start
from hpbuild.report.left_out import exception, left_out, left_out_blocks

MARKS = {"passed": "passed", "failed": "FAILED", "not_run": "not run"}


def document(
    path: str, baseline: str, fixed: str, proofs: Sequence[Document], left_out: Sequence[str] = ()
) -> Document:
    """The document of a run; 'proved' only when there is a proof and every one holds. ``left_out`` are files
    of which the package's list of functions names none: nothing is proved of them."""
    holds = bool(proofs) and all(entry["verdict"] == "proved" for entry in proofs)
    return {
        **start("prove"),
        "verdict": "proved" if holds else "not-proved",
        "path": path,
        "baseline": baseline,
        "fixed": fixed,
        "left_out": list(left_out),
        "proofs": list(proofs),
    }


def proof(item: Proof) -> Document:
    """One module's proof (``hpbuild.prove`` makes it)."""
    return {
        "module": item.path,
        "verdict": "proved" if item.ok else "not-proved",
        "checks": [
            {
                "id": check.id,
                "title": check.title,
                "status": check.state.value,
                "examined": check.examined,
                "failures": check.failures,
                "note": check.note,
                "findings": [finding(entry) for entry in check.findings],
            }
            for check in item.checks
        ],
        "summary": _summary(item.summary),
        "only": list(item.only),
        "left_out": left_out(item.left_out),
    }


def _summary(numbers: ProofSummary) -> Document:
    return {
        "identical_fragments": numbers.identical_fragments,
        "carried_functions": numbers.carried_functions,
        "carried_data": numbers.carried_data,
        "instructions": numbers.instructions,
        "references": numbers.references,
        "account": [{"class": entry.klass, "size": entry.size} for entry in numbers.account],
        "moved_by": numbers.delta,
        "image_base": f"{numbers.image_base:#x}",
    }


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """The verdict, and for each module the steps that it rests on."""
    proved = result["verdict"] == "proved"
    limited = bool(result["left_out"]) or any(
        entry["only"] or entry["left_out"] for entry in result["proofs"]
    )
    text = "NOT PROVED: do not ship this package"
    if proved:
        but = ", but for the parts that are named below as left out" if limited else ""
        text = f"proved: baseline and package give the fixed build{but}, and nothing else comes along"
    parts: list[Block] = [
        Line(text, Tone.GOOD if proved else Tone.BAD),
        Pairs((("package", result["path"]), ("baseline", result["baseline"]), ("fixed", result["fixed"]))),
    ]
    if result["left_out"]:
        parts.append(Line(f"left out whole: {', '.join(result['left_out'])}", Tone.WARN))
    for entry in result["proofs"]:
        parts.append(Heading(f"{entry['module']}: {entry['verdict']}{exception(entry['left_out'])}"))
        numbers = entry["summary"]
        compared = (
            f"{numbers['instructions']:,} instructions and {numbers['references']:,} references compared"
        )
        parts.append(Line(f"  {compared}, the patch image moved by {numbers['moved_by']:#x}"))
        rows = tuple(
            (check["id"], MARKS[check["status"]], f"{check['examined']:,}", check["title"], check["note"])
            for check in entry["checks"]
        )
        parts.append(Table(("", "result", "examined", "step", "remark"), rows, frozenset({2})))
        parts += finding_blocks([found for check in entry["checks"] for found in check["findings"]])
        parts += left_out_blocks(entry["only"], entry["left_out"], full=full)
    return parts
