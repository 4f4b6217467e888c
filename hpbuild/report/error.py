"""The document and the text of a run that ended without a result."""

from hpbuild.errors import Finding
from hpbuild.report.blocks import Block, Line, Pairs, Tone
from hpbuild.report.document import Document, finding, start


def document(item: Finding) -> Document:
    """The error document: exit status and the finding that ended the run."""
    return {**start("error"), "status": int(item.code.exit), "error": {**finding(item), "why": item.code.why}}


def blocks(item: Finding) -> list[Block]:
    """Code and title, place, cause, remedy, and where to read more."""
    return [
        Line(f"error: {item.code.id} {item.code.title}", Tone.BAD),
        Pairs(
            (
                ("  place", item.place or "-"),
                ("  cause", item.cause),
                ("  remedy", item.remedy),
                ("  more", f"hpbuild explain {item.code.id}"),
            )
        ),
    ]
