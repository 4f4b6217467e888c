"""The result of ``line show``: what was accepted of each product line."""

from hpbuild.bundle.statement import reverts_document
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, counted, shortened, start
from hpbuild.values import moment_text
from hpbuild.verify.line import Accepted, AcceptedLine, AcceptedLines


def document(path: str, accepted: AcceptedLines) -> Document:
    """Lines by product, packages in the order of acceptance."""
    return {**start("line"), "path": path, "lines": [_line(line) for line in accepted.lines]}


def _line(line: AcceptedLine) -> Document:
    in_effect = {item.statement for item in line.in_effect}
    return {
        "product": line.product,
        "highest": line.highest,
        "in_effect": [item.id for item in line.in_effect],
        "packages": [_package(item, _standing(item, line, in_effect)) for item in line.packages],
    }


def _standing(item: Accepted, line: AcceptedLine, in_effect: set[str]) -> str:
    if item.reverts is not None:
        return "revert"
    if item.statement in in_effect:
        return "in-effect"
    return "taken-back" if item.statement in line.reverted else "superseded"


def _package(item: Accepted, standing: str) -> Document:
    reverts = item.reverts
    return {
        "id": item.id,
        "sequence": item.sequence,
        "statement_sha256": item.statement,
        "time": moment_text(item.time),
        "standing": standing,
        "supersedes": list(item.supersedes),
        "reverts": None if reverts is None else reverts_document(reverts),
    }


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """Line by line: where it is, and how it came there."""
    parts: list[Block] = [
        Line(f"{result['path']}: {counted(len(result['lines']), 'product line')}", Tone.GOOD)
    ]
    for line in result["lines"]:
        rows = tuple(
            (str(item["sequence"]), item["id"], item["standing"], item["time"], _remark(item))
            for item in line["packages"]
        )
        parts += [
            Heading(f"product {line['product']}"),
            Pairs(
                (
                    ("  highest sequence", str(line["highest"])),
                    ("  accepted, not withdrawn", ", ".join(line["in_effect"]) or "none"),
                )
            ),
            *shortened(
                Table(("sequence", "id", "standing", "accepted", "remark"), rows, frozenset({0})), full=full
            ),
        ]
    return parts


def _remark(item: Document) -> str:
    if reverts := item["reverts"]:
        return f"takes {reverts['id']} back: {reverts['reason']}"
    return f"supersedes {', '.join(item['supersedes'])}" if item["supersedes"] else ""
