"""The attachments of a package as ``inspect`` shows them: what they say, believed by nobody."""

from __future__ import annotations

from collections.abc import Mapping

from hpbuild.bundle.layout import ATTACHMENTS
from hpbuild.errors import HpbuildError
from hpbuild.report.blocks import Block, Heading, Table
from hpbuild.report.document import Document, counted, finding, shortened

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from hpbuild.attachments.reading import Attachment

SHOWN = 5
"""Names of one list that the gist gives; the rest is counted."""


def attachments(members: Mapping[str, bytes]) -> list[Document]:
    """Every attachment; ``kind`` and ``gist`` are null for one of an unknown kind, ``gist`` also for one that
    cannot be read, and ``finding`` says why."""
    return [_attachment(name, data) for name, data in members.items() if name.startswith(ATTACHMENTS)]


def _attachment(name: str, data: bytes) -> Document:
    from hpbuild.attachments.reading import read_attachment  # with all readers of their formats
    from hpbuild.attachments.record import KINDS

    kind = {member: kind for kind, member in KINDS.items()}.get(name)
    entry: Document = {"member": name, "size": len(data), "kind": kind, "gist": None, "finding": None}
    if kind is None:
        return entry
    try:
        return {**entry, "gist": _gist(read_attachment(name, data))}
    except HpbuildError as error:
        return {**entry, "finding": finding(error.finding)}


def _gist(document: Attachment) -> str:
    from hpbuild.attachments.reading import Provenance, Sbom

    if isinstance(document, Provenance):
        made = f"SLSA provenance v1: {document.id} by {document.builder}"
        files = f"{counted(len(document.subjects), 'subject')} from {counted(len(document.inputs), 'file')}"
        return f"{made}; {files}"
    if isinstance(document, Sbom):
        fixes = {issue for item in document.components for issue in item.resolves}
        components = counted(len(document.components), "patched component")
        return f"CycloneDX 1.6: {document.name}; {components}; {_listed('resolves', sorted(fixes))}"
    statuses: dict[str, list[str]] = {}
    for item in document.statements:
        statuses.setdefault(item.status, []).append(item.advisory)
    said = "; ".join(_listed(status, names) for status, names in statuses.items())
    return f"OpenVEX 0.2.0 by {document.author}: {said or 'no statement'}"


def _listed(verb: str, names: list[str]) -> str:
    if not names:
        return f"{verb} nothing"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{verb} {', '.join(names[:SHOWN])}{more}"


def attachment_blocks(entries: list[Document], *, full: bool) -> list[Block]:
    """A table of the attachments; nothing when there are none."""
    if not entries:
        return []
    rows = tuple((entry["member"], _said(entry)) for entry in entries)
    return [Heading("attachments"), *shortened(Table(("member", "says"), rows), full=full)]


def _said(entry: Document) -> str:
    if entry["finding"]:
        return f"{entry['finding']['code']} {entry['finding']['title']}"
    return str(entry["gist"] or "of a kind that hpbuild does not know")
