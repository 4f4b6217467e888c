"""The result of ``inspect`` for a package: its contents as they are. Nothing in it is verified."""

from collections.abc import Mapping, Sequence

from hpbuild.bundle.layout import ATTACHMENTS
from hpbuild.manifest.model import Manifest, Module, Redirection
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import (
    Document,
    counted,
    exclusion_blocks,
    exclusions,
    extent,
    extents,
    finding_blocks,
    recorded_finding,
    shortened,
    start,
)
from hpbuild.report.left_out import left_out, left_out_blocks
from hpbuild.values import Digest

UNVERIFIED = "nothing here was verified: anybody can write such a file; `hpbuild verify` checks it"


def document(
    path: str,
    sha256: str,
    members: Mapping[str, bytes],
    manifest: Manifest,
    statement: Document,
    signatures: Sequence[str],
) -> Document:
    """``statement`` is the statement's wire form, ``signatures`` the key ids of the envelope, which are
    only what the signer wrote there."""
    return {
        **start("inspect"),
        "kind": "package",
        "verified": False,
        "notice": UNVERIFIED,
        "path": path,
        "sha256": sha256,
        "size": sum(map(len, members.values())),
        "members": [
            {"name": name, "size": len(data), "sha256": Digest.of(data).hex} for name, data in members.items()
        ],
        "attachments": _attachments(members),
        "signatures": [{"key_hint": hint, "verified": False} for hint in signatures],
        "statement": statement,
        "id": manifest.id,
        "product": manifest.product,
        "sequence": manifest.sequence,
        "advisories": list(manifest.advisories),
        "created": manifest.created,
        "built_by": manifest.tool,
        "modules": [_module(module) for module in manifest.modules],
        "unchanged": list(manifest.unchanged),
        "left_out": list(manifest.left_out),
    }


def _attachments(members: Mapping[str, bytes]) -> list[Document]:
    if not any(name.startswith(ATTACHMENTS) for name in members):
        return []
    from hpbuild.report.attachments import attachments

    return attachments(members)


def _module(module: Module) -> Document:
    return {
        "path": module.path,
        "baseline": _pin(module.baseline),
        "fixed": _pin(module.fixed),
        "image": {
            "member": module.image.member,
            "size": module.image.size,
            "sha256": module.image.sha256.hex,
            "range": extent(module.image.range),
        },
        "functions": [
            {
                "name": entry.name,
                "reason": entry.reason,
                "match_level": entry.level,
                "cause": entry.cause,
                "baseline": extents(entry.baseline),
                "fixed": extents(entry.fixed),
                "patch": extents(entry.patch),
            }
            for entry in module.functions
        ],
        "data": [
            {
                "name": entry.name,
                "reason": entry.reason,
                "kind": entry.kind,
                "cause": entry.cause,
                "baseline": extent(entry.baseline),
                "fixed": extent(entry.fixed),
                "patch": extent(entry.patch),
            }
            for entry in module.data
        ],
        "redirections": [_redirection(module, entry) for entry in module.redirections],
        "fixups": {name: len(getattr(module.fixups, name)) for name in ("addr64", "rel32", "addr32nb")},
        "references": len(module.references),
        "only": list(module.only),
        "left_out": left_out(module.left_out),
        "exclusions": exclusions(module.exclusions),
        "findings": [
            recorded_finding(entry.code, entry.severity, entry.place, entry.cause)
            for entry in module.findings
        ],
        "account": [{"class": entry.klass, "size": entry.size} for entry in module.account],
    }


def _redirection(module: Module, entry: Redirection) -> Document:
    known = 0 <= entry.function < len(module.functions)
    return {
        "function": module.functions[entry.function].name if known else "",
        "kind": entry.kind,
        "entry": int(entry.entry),
        "window": extent(entry.window),
        "old": entry.old.hex(),
        "new": entry.new.hex(),
    }


def _pin(pin: object) -> Document:
    from hpbuild.report.inspect_image import pin_document

    return pin_document(pin)


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """The warning first, then the package from the outside in."""
    parts: list[Block] = [
        Line(UNVERIFIED, Tone.WARN),
        Pairs(
            (
                ("package", result["path"]),
                ("sha256", result["sha256"]),
                ("id", f"{result['id']} (sequence {result['sequence']})"),
                ("product", result["product"] or "-"),
                ("advisories", ", ".join(result["advisories"]) or "-"),
                *_line(result["statement"]["predicate"]),
                ("created", result["created"] or "not recorded"),
                ("built by", result["built_by"]),
                ("signatures", _signatures(result["signatures"])),
            )
        ),
    ]
    if full:
        rows = tuple((item["name"], f"{item['size']:,}", item["sha256"]) for item in result["members"])
        parts += [Heading("members"), Table(("member", "bytes", "sha256"), rows, frozenset({1}))]
    if result["attachments"]:
        from hpbuild.report.attachments import attachment_blocks

        parts += attachment_blocks(result["attachments"], full=full)
    for entry in result["modules"]:
        parts += _module_blocks(entry, full=full)
    if result["left_out"]:
        parts.append(Heading("files left out by choice"))
        parts += shortened(Table(("path",), tuple((path,) for path in result["left_out"])), full=full)
    if result["unchanged"]:
        parts.append(Heading("unchanged files"))
        parts += shortened(Table(("path",), tuple((path,) for path in result["unchanged"])), full=full)
    return parts


def _line(predicate: Document) -> list[tuple[str, str]]:
    """What the statement says about the release line, where it says something."""
    reverts = predicate.get("reverts")
    rows = [("supersedes", ", ".join(predicate["supersedes"])), ("expires", predicate["expiry"])]
    if reverts:
        taken = f"{reverts['id']} (sequence {reverts['sequence']}), statement {reverts['statement']}"
        rows += [
            ("revert package", f"{predicate['id']} (sequence {predicate['sequence']})"),
            ("takes back", taken),
            ("reason", reverts["reason"]),
        ]
    return [(name, text) for name, text in rows if text]


def _signatures(entries: list[Document]) -> str:
    if not entries:
        return "none"
    hints = ", ".join(entry["key_hint"] or "?" for entry in entries)
    return f"{counted(len(entries), 'signature')}, not checked; they call their keys {hints}"


def _module_blocks(entry: Document, *, full: bool) -> list[Block]:
    baseline, fixups = entry["baseline"], entry["fixups"]
    place = entry["image"]["range"]
    parts: list[Block] = [
        Heading(f"module {entry['path']}"),
        Pairs(
            (
                (
                    "  for",
                    f"{baseline['file_name']} {baseline['version']}".rstrip()
                    + f", sha256 {baseline['sha256']}",
                ),
                ("  makes it", f"{entry['fixed']['version']} sha256 {entry['fixed']['sha256']}".strip()),
                ("  patch image", f"{counted(place['size'], 'byte')} at {place['rva']:#x}"),
                ("  fixups", ", ".join(f"{count:,} {name.upper()}" for name, count in fixups.items())),
                ("  refers to", counted(entry["references"], "place") + " of the baseline"),
            )
        ),
    ]
    functions = tuple(
        (
            item["reason"],
            item["name"] or "(no name)",
            _places(item["baseline"]),
            _places(item["patch"]),
            item["cause"],
        )
        for item in entry["functions"]
    )
    columns = ("why", "function", "baseline", "patch image", "first difference")
    parts += [Heading("functions"), *shortened(Table(columns, functions), full=full)]
    if entry["data"]:
        data = tuple(
            (
                item["reason"],
                item["kind"],
                item["name"] or "(no name)",
                _places([item["patch"]]),
                item["cause"],
            )
            for item in entry["data"]
        )
        parts += [
            Heading("data"),
            *shortened(Table(("why", "kind", "datum", "patch image", "cause"), data), full=full),
        ]
    rows = tuple(
        (item["kind"], f"{item['entry']:#x}", item["old"], item["new"], item["function"] or "(no name)")
        for item in entry["redirections"]
    )
    parts += [Heading("redirections")]
    parts += shortened(Table(("kind", "entry", "old bytes", "new bytes", "function"), rows), full=full)
    parts += left_out_blocks(entry["only"], entry["left_out"], full=full)
    return parts + exclusion_blocks(entry["exclusions"], full=full) + finding_blocks(entry["findings"])


def _places(ranges: list[Document]) -> str:
    return ", ".join(f"{item['rva']:#x}+{item['size']}" for item in ranges) or "-"
