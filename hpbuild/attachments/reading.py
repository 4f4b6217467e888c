"""Reading attachments: strict JSON in canonical form, and of it only what is compared or shown.

The formats tell their readers to ignore keys that they do not know, so keys beside those read here are legal
and never interpreted.
"""

from collections.abc import Mapping

from hpbuild.attachments.provenance import BUILD_TYPE, PREDICATE_TYPE
from hpbuild.attachments.record import PROVENANCE, SBOM, VEX
from hpbuild.attachments.sbom import FORMAT, MODULE_REF, VERSION
from hpbuild.attachments.vex import CONTEXT
from hpbuild.bundle.statement import STATEMENT_TYPE
from hpbuild.codes import attachments as codes
from hpbuild.codes import manifest as json_codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.manifest.readers import Node, root
from hpbuild.manifest.strict_json import JsonLimits, parse_canonical

LIMITS = JsonLimits(size=32 << 20, depth=16, values=1_000_000, text=1 << 16)
MAX_ITEMS = 50_000
"""Elements of one list."""

Pairs = tuple[tuple[str, str], ...]
"""Names with SHA-256 digests in hexadecimal, in the order of the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a provenance says. ``inputs`` are its resolved dependencies."""

    builder: str
    id: str
    product: str
    sequence: int
    advisories: tuple[str, ...]
    subjects: Pairs
    inputs: Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A component for a module: ``fixed`` and ``baseline`` are SHA-256 digests in hexadecimal."""

    path: str
    fixed: str
    baseline: tuple[str, ...]
    resolves: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sbom:
    """What an SBOM says; ``others`` is the number of components that are no modules."""

    name: str
    version: str
    components: tuple[Component, ...]
    others: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VexStatement:
    """One statement; ``products`` pair identifiers with digests ('' when there is none)."""

    advisory: str
    status: str
    products: Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Vex:
    """What a VEX document says."""

    author: str
    timestamp: str
    statements: tuple[VexStatement, ...]


Attachment = Provenance | Sbom | Vex


def read_attachment(name: str, data: bytes) -> Attachment:
    """The attachment in the member ``name`` of ``KINDS``. Raises HpbuildError: HP4501 for what is not
    well-formed, HP4502 for a limit, HP4503 for another kind of document."""
    read = {PROVENANCE: _provenance, SBOM: _sbom, VEX: _vex}[name]
    try:
        return read(root(parse_canonical(data, name, LIMITS), name))
    except HpbuildError as error:
        if error.code not in json_codes.ROWS:
            raise
        code = codes.LIMIT if error.code.exit is ExitStatus.LIMIT else codes.MALFORMED
        raise HpbuildError(code, error.finding.place, f"{error.finding.cause} ({error.code.id})") from None


def _provenance(document: Node) -> Attachment:
    fields = _pick(document, "_type", "subject", "predicateType", "predicate")
    _kind(fields["_type"], STATEMENT_TYPE)
    _kind(fields["predicateType"], PREDICATE_TYPE)
    predicate = _pick(fields["predicate"], "buildDefinition", "runDetails")
    build = _pick(predicate["buildDefinition"], "buildType", "externalParameters", "resolvedDependencies")
    _kind(build["buildType"], BUILD_TYPE)
    given = _pick(build["externalParameters"], "id", "product", "sequence", "advisories")
    return Provenance(
        builder=_pick(_pick(predicate["runDetails"], "builder")["builder"], "id")["id"].text(),
        id=given["id"].text(),
        product=given["product"].text(),
        sequence=given["sequence"].integer(),
        advisories=_texts(given["advisories"]),
        subjects=_descriptors(fields["subject"]),
        inputs=_descriptors(build["resolvedDependencies"]),
    )


def _sbom(document: Node) -> Attachment:
    fields = _pick(document, "bomFormat", "specVersion", "metadata", "components")
    _kind(fields["bomFormat"], FORMAT)
    _kind(fields["specVersion"], VERSION)
    package = _pick(_pick(fields["metadata"], "component")["component"], "name", "version")
    components, others = [], 0
    for item in fields["components"].items(MAX_ITEMS):
        reference = _maybe(item, "bom-ref")
        if reference is None or not reference.text().startswith(MODULE_REF):
            others += 1
            continue
        components.append(_component(item, reference.text().removeprefix(MODULE_REF)))
    return Sbom(
        name=package["name"].text(),
        version=package["version"].text(),
        components=tuple(components),
        others=others,
    )


def _component(item: Node, path: str) -> Component:
    fields = _pick(item, "hashes", "pedigree")
    pedigree = _pick(fields["pedigree"], "ancestors", "patches")
    patches = pedigree["patches"].items(MAX_ITEMS)
    resolved = [found for patch in patches if (found := _maybe(patch, "resolves")) is not None]
    return Component(
        path=path,
        fixed=_sha256(fields["hashes"]),
        baseline=tuple(
            _sha256(_pick(ancestor, "hashes")["hashes"])
            for ancestor in pedigree["ancestors"].items(MAX_ITEMS)
        ),
        resolves=tuple(
            _pick(issue, "id")["id"].text() for found in resolved for issue in found.items(MAX_ITEMS)
        ),
    )


def _vex(document: Node) -> Attachment:
    fields = _pick(document, "@context", "@id", "author", "timestamp", "version", "statements")
    _kind(fields["@context"], CONTEXT)
    return Vex(
        author=fields["author"].text(),
        timestamp=fields["timestamp"].text(),
        statements=tuple(_statement(item) for item in fields["statements"].items(MAX_ITEMS)),
    )


def _statement(item: Node) -> VexStatement:
    fields = _pick(item, "vulnerability", "products", "status")
    return VexStatement(
        advisory=_pick(fields["vulnerability"], "name")["name"].text(),
        status=fields["status"].text(),
        products=tuple(_product(product) for product in fields["products"].items(MAX_ITEMS)),
    )


def _product(item: Node) -> tuple[str, str]:
    hashes = _maybe(item, "hashes")
    digest = "" if hashes is None else _pick(hashes, "sha-256")["sha-256"].digest().hex
    return _pick(item, "@id")["@id"].text(), digest


def _descriptors(node: Node) -> Pairs:
    """in-toto ResourceDescriptors by name and SHA-256."""
    found = []
    for item in node.items(MAX_ITEMS):
        fields = _pick(item, "name", "digest")
        found.append((fields["name"].text(), _pick(fields["digest"], "sha256")["sha256"].digest().hex))
    return tuple(found)


def _sha256(hashes: Node) -> str:
    """The one SHA-256 of CycloneDX ``hashes``."""
    found = [_pick(item, "alg", "content") for item in hashes.items(MAX_ITEMS)]
    digests = [item["content"].digest().hex for item in found if item["alg"].text() == "SHA-256"]
    if len(digests) != 1:
        raise hashes.error(json_codes.OUT_OF_RANGE, f"{len(digests)} SHA-256 digests, one is needed")
    return digests[0]


def _texts(node: Node) -> tuple[str, ...]:
    return tuple(item.text() for item in node.items(MAX_ITEMS))


def _kind(node: Node, wanted: str) -> None:
    if (found := node.text()) != wanted:
        raise node.error(codes.WRONG_KIND, f"{found[:200]!r}, {wanted!r} is needed")


def _pick(node: Node, *names: str) -> dict[str, Node]:
    """The members ``names`` of an object, all of them required; others are not looked at."""
    if not isinstance(node.value, Mapping):
        raise node.wrong_type("an object")
    if missing := [name for name in names if name not in node.value]:
        raise node.error(json_codes.MISSING_KEY, f"key {missing[0]!r} is missing")
    return {name: Node(node.value[name], node, name) for name in names}


def _maybe(node: Node, name: str) -> Node | None:
    """The member ``name`` of an object, None when it has none."""
    present = isinstance(node.value, Mapping) and name in node.value
    return _pick(node, name)[name] if present else None
