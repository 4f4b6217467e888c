"""The result of ``sign``."""

from collections.abc import Iterable

from hpbuild.report.blocks import Block, Heading, Pairs, Table
from hpbuild.report.document import Document, start


def document(path: str, sha256: str, keys: Iterable[tuple[str, str]]) -> Document:
    """``keys`` are (algorithm, SPKI SHA-256) of the signatures made by this run."""
    return {
        **start("sign"),
        "path": path,
        "sha256": sha256,
        "signatures": [{"algorithm": algorithm, "spki_sha256": key} for algorithm, key in keys],
    }


def blocks(result: Document) -> list[Block]:
    """The written file and who signed it."""
    rows = tuple((entry["algorithm"], entry["spki_sha256"]) for entry in result["signatures"])
    return [
        Pairs((("written", result["path"]), ("sha256", result["sha256"]))),
        Heading("signed by"),
        Table(("algorithm", "key (SPKI SHA-256)"), rows),
    ]
