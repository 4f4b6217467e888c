"""The statement: the small document that is signed (in-toto Attestation Framework, Statement v1).

Its subjects are all members of the bundle but itself and the signatures; its predicate says for whom, and
until when, the package is.
"""

from collections.abc import Mapping
from itertools import pairwise

from hpbuild.bundle.layout import UNSIGNED
from hpbuild.codes import bundle as codes
from hpbuild.codes import manifest as json_codes
from hpbuild.dataclass import dataclass, replace
from hpbuild.manifest.model import Manifest
from hpbuild.manifest.paths import MAX_MEMBER, member_defect
from hpbuild.manifest.readers import Node, root
from hpbuild.manifest.strict_json import JsonLimits, JsonValue, canonical, parse_canonical
from hpbuild.manifest.text_fields import read_created, read_id, read_path, read_unique_texts
from hpbuild.values import Digest

DOCUMENT = "statement.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:hpbuild:predicate:hotpatch:1"
PREDICATE_SCHEMA = "urn:hpbuild:schema:predicate:1"
MAX_SEQUENCE = 2**32 - 1
LIMITS = JsonLimits(size=4 << 20, depth=8, values=200_000, text=1 << 16)

MAX_REASON = 1000

_PREDICATE = frozenset({"id", "product", "sequence", "supersedes", "expiry", "pins", "advisories", "tool"})
_REVERTS = frozenset({"id", "sequence", "statement", "reason"})


@dataclass(frozen=True, slots=True)
class Subject:
    """A member and the SHA-256 of its content."""

    name: str
    sha256: Digest


@dataclass(frozen=True, slots=True)
class ModulePin:
    """The exact pin of a module's baseline file, so that applicability shows without the manifest."""

    path: str
    sha256: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverts:
    """The package that a revert package takes back: its ``id`` and ``sequence``, the SHA-256 of its
    ``statement``, and why. ``reason`` has at most 1000 characters."""

    id: str
    sequence: int
    statement: Digest
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is signed. ``subjects`` are sorted by name; ``supersedes`` are ids of packages that this one
    replaces; ``expiry`` is a UTC time as in RFC 3339, '' for never. ``reverts`` is set in a revert package:
    ``id`` and ``sequence`` are then its own, while the manifest and the patch images are those of the package
    that it takes back."""

    subjects: tuple[Subject, ...]
    id: str
    product: str
    sequence: int
    supersedes: tuple[str, ...]
    expiry: str
    pins: tuple[ModulePin, ...]
    advisories: tuple[str, ...]
    tool: str
    reverts: Reverts | None = None


def make_statement(
    manifest: Manifest, members: Mapping[str, bytes], supersedes: tuple[str, ...] = (), expiry: str = ""
) -> Statement:
    """Statement about ``members`` (name to content; statement and envelope are left out)."""
    names = sorted(members.keys() - UNSIGNED)
    return Statement(
        subjects=tuple(Subject(name, Digest.of(members[name])) for name in names),
        id=manifest.id,
        product=manifest.product,
        sequence=manifest.sequence,
        supersedes=supersedes,
        expiry=expiry,
        pins=tuple(ModulePin(module.path, module.baseline.sha256) for module in manifest.modules),
        advisories=manifest.advisories,
        tool=manifest.tool,
    )


def make_revert_statement(
    manifest: Manifest,
    members: Mapping[str, bytes],
    own: tuple[str, int],
    reverts: Reverts,
    expiry: str = "",
) -> Statement:
    """Statement of a package that takes back the one with ``manifest`` and ``members``; ``own`` are the id
    and the sequence of the new package."""
    name, sequence = own
    statement = make_statement(manifest, members, expiry=expiry)
    return replace(statement, id=name, sequence=sequence, reverts=reverts)


def encode_statement(statement: Statement) -> bytes:
    """Canonical bytes (RFC 8785); raises what ``decode_statement`` would raise about them."""
    data = canonical(to_document(statement), DOCUMENT)
    decode_statement(data)
    return data


def reverts_document(reverts: Reverts) -> dict[str, JsonValue]:
    """What is taken back as plain JSON values, in statements, state files and reports alike."""
    return {
        "id": reverts.id,
        "sequence": reverts.sequence,
        "statement": reverts.statement.hex,
        "reason": reverts.reason,
    }


def read_reverts(node: Node) -> Reverts:
    """What ``reverts_document`` wrote; HP40xx for anything else."""
    fields = node.fields(_REVERTS)
    return Reverts(
        id=read_id(fields["id"]),
        sequence=fields["sequence"].integer(1, MAX_SEQUENCE),
        statement=fields["statement"].digest(),
        reason=fields["reason"].text(MAX_REASON, empty=False),
    )


def to_document(statement: Statement) -> dict[str, JsonValue]:
    """The wire form as plain JSON values."""
    reverts = statement.reverts
    taken_back: dict[str, JsonValue] = {}
    if reverts is not None:
        taken_back["reverts"] = reverts_document(reverts)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": item.name, "digest": {"sha256": item.sha256.hex}} for item in statement.subjects
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "id": statement.id,
            "product": statement.product,
            "sequence": statement.sequence,
            "supersedes": list(statement.supersedes),
            "expiry": statement.expiry,
            "pins": [{"path": pin.path, "sha256": pin.sha256.hex} for pin in statement.pins],
            "advisories": list(statement.advisories),
            "tool": statement.tool,
            **taken_back,
        },
    }


def decode_statement(data: bytes, document: str = DOCUMENT) -> Statement:
    """The statement in ``data``; refuses with HP40xx, HP4207, HP4301, HP4307 and HP4308."""
    fields = root(parse_canonical(data, document, LIMITS), document).fields(
        {"_type", "subject", "predicateType", "predicate"}
    )
    for key, wanted in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if (found := fields[key].text()) != wanted:
            raise fields[key].error(codes.BAD_STATEMENT, f"{found[:80]!r}, {wanted!r} is needed")
    node = fields["predicate"]
    predicate = node.fields(_PREDICATE, {"reverts"})
    statement = Statement(
        subjects=_subjects(fields["subject"]),
        id=read_id(predicate["id"]),
        product=predicate["product"].text(200),
        sequence=predicate["sequence"].integer(1, MAX_SEQUENCE),
        supersedes=tuple(read_id(item) for item in predicate["supersedes"].items(10_000)),
        expiry=read_created(predicate["expiry"]),
        pins=tuple(_pin(item) for item in predicate["pins"].items(10_000)),
        advisories=read_unique_texts(predicate["advisories"]),
        tool=predicate["tool"].text(200),
        reverts=read_reverts(predicate["reverts"]) if "reverts" in predicate else None,
    )
    _check_line(node, statement)
    return statement


def _check_line(node: Node, statement: Statement) -> None:
    """HP4307 and HP4308: a package does not replace itself, nor does it take itself or a later one back."""
    supersedes, reverts = statement.supersedes, statement.reverts
    if len(set(supersedes)) != len(supersedes) or statement.id in supersedes:
        raise node.error(codes.SUPERSEDES_CONTRADICTS, "an id occurs twice, or it is the package's own")
    if reverts is None:
        return
    defects = (
        (reverts.id == statement.id, "the package takes itself back"),
        (
            reverts.sequence >= statement.sequence,
            f"its sequence {statement.sequence} is not above {reverts.sequence}, which it takes back",
        ),
        (bool(supersedes), "it also supersedes packages; it may only take one back"),
    )
    for present, cause in defects:
        if present:
            raise node.error(codes.REVERT_CONTRADICTS, cause)


def _subjects(node: Node) -> tuple[Subject, ...]:
    subjects = tuple(_subject(item) for item in node.items(20_000))
    names = [subject.name for subject in subjects]
    if any(left >= right for left, right in pairwise(names)):
        raise node.error(json_codes.NOT_SORTED, "subjects are listed once each, sorted by name")
    return subjects


def _subject(node: Node) -> Subject:
    fields = node.fields({"name", "digest"})
    name = fields["name"].text(MAX_MEMBER)
    if defect := member_defect(name):
        raise fields["name"].error(codes.BAD_NAME, defect)
    return Subject(name, fields["digest"].fields({"sha256"})["sha256"].digest())


def _pin(node: Node) -> ModulePin:
    fields = node.fields({"path", "sha256"})
    return ModulePin(read_path(fields["path"]), fields["sha256"].digest())
