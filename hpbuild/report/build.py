"""The result of ``build``: what was written, or why nothing was."""

from collections.abc import Sequence

from hpbuild.bundle.layout import ATTACHMENTS
from hpbuild.bundle.statement import Statement
from hpbuild.manifest.model import Manifest, Module
from hpbuild.prove.result import Proof
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.diff import Diff
from hpbuild.report.document import (
    Document,
    counted,
    exclusion_blocks,
    exclusions,
    finding,
    finding_blocks,
    recorded_finding,
    shortened,
    start,
)
from hpbuild.report.left_out import exception, left_out_blocks


def refused(baseline: str, fixed: str, diffs: Sequence[Diff], proofs: Sequence[Proof]) -> Document:
    """The document of a build that a finding of the comparison, or of the proof, forbids. Nothing was
    written."""
    found = [(item.fixed, entry) for item in diffs for entry in item.findings]
    found += [(item.path, entry) for item in proofs for entry in item.findings]
    return {
        **start("build"),
        "verdict": "refused",
        "baseline": baseline,
        "fixed": fixed,
        "modules": [],
        "findings": [{**finding(entry), "module": module} for module, entry in found],
    }


def built(
    baseline: str,
    fixed: str,
    *,
    path: str,
    sha256: str,
    size: int,
    manifest: Manifest,
    proofs: Sequence[Document],
    attachments: Sequence[str],
    supersedes: Sequence[str],
    expiry: str,
) -> Document:
    """The document of a written package. ``proofs`` are the closure proofs that the build ended with;
    ``attachments`` are member names."""
    return {
        **start("build"),
        "verdict": "built",
        "baseline": baseline,
        "fixed": fixed,
        "path": path,
        "sha256": sha256,
        "size": size,
        "id": manifest.id,
        "product": manifest.product,
        "sequence": manifest.sequence,
        "advisories": list(manifest.advisories),
        "created": manifest.created,
        "supersedes": list(supersedes),
        "expiry": expiry,
        "attachments": list(attachments),
        "modules": [_module(item) for item in manifest.modules],
        "unchanged": list(manifest.unchanged),
        "left_out": list(manifest.left_out),
        "proofs": list(proofs),
        "findings": [
            {**recorded_finding(item.code, item.severity, item.place, item.cause), "module": module.path}
            for module in manifest.modules
            for item in module.findings
        ],
    }


def _line(result: Document) -> list[tuple[str, str]]:
    """What the package says about its release line, where it says something."""
    rows = (("supersedes", ", ".join(result.get("supersedes", ()))), ("expires", result["expiry"]))
    return [(name, text) for name, text in rows if text]


def revert_built(reverted: str, path: str, sha256: str, size: int, statement: Statement) -> Document:
    """The document of a written revert package; ``reverted`` is the path of the package that it takes back.
    ``statement`` has ``reverts``."""
    reverts = statement.reverts
    assert reverts is not None
    return {
        **start("build"),
        "verdict": "built-revert",
        "reverted": reverted,
        "path": path,
        "sha256": sha256,
        "size": size,
        "id": statement.id,
        "product": statement.product,
        "sequence": statement.sequence,
        "expiry": statement.expiry,
        "reverts": {
            "id": reverts.id,
            "sequence": reverts.sequence,
            "statement": reverts.statement.hex,
            "reason": reverts.reason,
        },
    }


def revert_blocks(result: Document) -> list[Block]:
    """What was built, and what it takes back."""
    reverts = result["reverts"]
    return [
        Line(f"built {result['path']}", Tone.GOOD),
        Pairs(
            (
                ("id", result["id"]),
                ("product", result["product"] or "-"),
                ("sequence", str(result["sequence"])),
                ("takes back", f"{reverts['id']} (sequence {reverts['sequence']})"),
                ("reason", reverts["reason"]),
                *_line(result),
                ("sha256", result["sha256"]),
                ("size", counted(result["size"], "byte")),
                ("signatures", "none yet: hpbuild sign adds them"),
            )
        ),
    ]


def _module(item: Module) -> Document:
    return {
        "path": item.path,
        "image": {"member": item.image.member, "size": item.image.size, "sha256": item.image.sha256.hex},
        "functions": [
            {"name": entry.name, "reason": entry.reason, "match_level": entry.level, "cause": entry.cause}
            for entry in item.functions
        ],
        "data": [{"name": entry.name, "reason": entry.reason, "kind": entry.kind} for entry in item.data],
        "redirections": len(item.redirections),
        "only": list(item.only),
        "exclusions": exclusions(item.exclusions),
    }


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """What was built, module by module, and that it was proved; or the refusal."""
    if result["verdict"] == "refused":
        head: list[Block] = [
            Line("refused: no package was written", Tone.BAD),
            Pairs((("baseline", result["baseline"]), ("fixed", result["fixed"]))),
        ]
        return head + finding_blocks(result["findings"])
    result_blocks: list[Block] = [
        Line(f"built {result['path']}", Tone.GOOD),
        Pairs(
            (
                ("id", result["id"]),
                ("product", result["product"] or "-"),
                ("sequence", str(result["sequence"])),
                ("advisories", ", ".join(result["advisories"]) or "-"),
                *_line(result),
                ("sha256", result["sha256"]),
                ("size", counted(result["size"], "byte")),
                ("attached", _attached(result["attachments"])),
                ("signatures", "none yet: hpbuild sign adds them"),
            )
        ),
    ]
    left_out = {proof["module"]: proof["left_out"] for proof in result["proofs"]}
    for entry in result["modules"]:
        result_blocks += _module_blocks(entry, left_out.get(entry["path"], []), full=full)
    if result["unchanged"]:
        result_blocks.append(Line(f"{counted(len(result['unchanged']), 'file')} unchanged", Tone.FAINT))
    if result["left_out"]:
        text = f"{counted(len(result['left_out']), 'file')} left out whole: {', '.join(result['left_out'])}"
        result_blocks.append(Line(text, Tone.WARN))
    result_blocks.append(Heading("closure proof"))
    for proof in result["proofs"]:
        tone = Tone.GOOD if proof["verdict"] == "proved" else Tone.BAD
        result_blocks.append(
            Line(f"  {proof['module']}: {proof['verdict']}{exception(proof['left_out'])}", tone)
        )
    return result_blocks + finding_blocks(result["findings"])


def _attached(names: Sequence[str]) -> str:
    return ", ".join(name.removeprefix(ATTACHMENTS) for name in names) or "none"


def _module_blocks(entry: Document, left_out: Sequence[Document], *, full: bool) -> list[Block]:
    rows = tuple((item["reason"], item["name"] or "(no name)", item["cause"]) for item in entry["functions"])
    counts = f"{counted(len(rows), 'function')}, {counted(entry['redirections'], 'redirection')}"
    blocks_of_module: list[Block] = [Heading(f"{entry['path']}: {counts}")]
    blocks_of_module += shortened(Table(("why", "function", "first difference"), rows), full=full)
    if entry["data"]:
        data = tuple((item["reason"], item["kind"], item["name"] or "(no name)") for item in entry["data"])
        blocks_of_module += [Heading("data"), *shortened(Table(("why", "kind", "datum"), data), full=full)]
    blocks_of_module += left_out_blocks(entry["only"], left_out, full=full)
    return blocks_of_module + exclusion_blocks(entry["exclusions"], full=full)
