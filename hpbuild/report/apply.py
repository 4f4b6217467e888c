"""The results of ``apply --offline`` and ``revert --offline``."""

from pathlib import Path

from hpbuild.apply.offline.copy import PatchedCopy
from hpbuild.apply.offline.result import OfflineResult, WrittenModule
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, finding, finding_blocks, start

DONE = {"apply": "applied", "revert": "reverted"}


def document(command: str, result: OfflineResult, installed: Path, output: Path) -> Document:
    """``command`` is ``apply`` or ``revert``; the document is that of the command."""
    verification = result.verification
    return {
        **start(command),
        "verdict": DONE[command] if result.done else "refused",
        "status": int(result.status),
        "mode": "offline",
        "path": verification.name,
        "sha256": verification.sha256,
        "id": verification.id,
        "product": verification.product,
        "sequence": verification.sequence,
        "authenticity": verification.authenticity.value,
        "installed": str(installed),
        "output": str(output) if result.done else None,
        "modules": [_module(module) for module in result.modules],
        "findings": [finding(item) for item in result.findings],
    }


def _module(module: WrittenModule) -> Document:
    entry: Document = {
        "path": module.path,
        "installed": str(module.installed),
        "output": str(module.output),
        "tier": module.tier,
        "before": {"sha256": module.before.hex, "size": module.before_size},
        "after": {"sha256": module.after.hex, "size": module.after_size},
    }
    return entry if module.copy is None else {**entry, "written": _copy(module.copy)}


def _copy(copy: PatchedCopy) -> Document:
    return {
        "sections": [
            {"name": section.name, "rva": section.rva, "size": section.size, "file_size": section.file_size}
            for section in copy.sections
        ],
        "redirections": copy.redirections,
        "unwind_rows": copy.unwind_rows,
        "call_targets": copy.call_targets,
        "relocations": copy.relocations,
        "certificate_removed": copy.certificate,
    }


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """The verdict, then file by file what was written."""
    done = result["verdict"] != "refused"
    text = f"{result['path']}: {result['verdict']}" + ("" if done else ", nothing was written")
    vouched = {"trusted": "signed by trusted keys", "waived": "NOT CHECKED: unsigned packages are allowed"}
    rows = [
        ("id", f"{result['id'] or '-'} (sequence {result['sequence']})"),
        ("origin", vouched.get(result["authenticity"], "nobody who is trusted vouches for this package")),
        ("installed", result["installed"]),
        ("written", result["output"] or "nothing"),
    ]
    parts: list[Block] = [Line(text, Tone.GOOD if done else Tone.BAD), Pairs(tuple(rows))]
    if result["modules"]:
        files = tuple(
            (module["path"], module["tier"], f"{module['after']['size']:,}", module["after"]["sha256"])
            for module in result["modules"]
        )
        parts += [Heading("files"), Table(("module", "baseline", "bytes", "sha256"), files, frozenset({2}))]
    for module in result["modules"]:
        if "written" in module:
            parts += _copy_blocks(module, full=full)
    return parts + finding_blocks(result["findings"])


def _copy_blocks(module: Document, *, full: bool) -> list[Block]:
    copy = module["written"]
    counts = (
        ("redirected entries", copy["redirections"]),
        ("exception directory", copy["unwind_rows"]),
        ("call targets", copy["call_targets"]),
        ("base relocations", copy["relocations"]),
    )
    parts: list[Block] = [
        Heading(module["path"]),
        Pairs(
            tuple(
                (name, f"{count:,}" if name == "redirected entries" else f"{count:,} added")
                for name, count in counts
            )
        ),
    ]
    if full:
        rows = tuple(
            (section["name"], f"{section['rva']:#x}", f"{section['size']:,}", f"{section['file_size']:,}")
            for section in copy["sections"]
        )
        parts.append(Table(("section", "rva", "memory", "file"), rows, frozenset({1, 2, 3})))
    return parts
