"""The result of ``compare``: what two packages do differently."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hpbuild.dataclass import dataclass
from hpbuild.manifest.left_out import LeftOutPart
from hpbuild.manifest.model import Exclusion, Function, Manifest, Module, Pin
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, counted, shortened, start
from hpbuild.values import Digest

IDENTITY_FIELDS = ("id", "product", "sequence", "advisories", "created", "tool")
PIN_FIELDS = ("file_name", "size", "sha256", "version", "time_date_stamp", "checksum", "size_of_image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One side. ``members`` are all but the signatures; ``code`` gives the patch image's bytes of a
    function, by (module path, function index); ``statement`` holds what the manifest does not have."""

    path: str
    sha256: str
    manifest: Manifest
    statement: Mapping[str, Any]
    signatures: int
    members: Mapping[str, bytes]
    code: Mapping[tuple[str, int], bytes]


def document(first: Package, second: Package) -> Document:
    """Every difference in content. Signatures lie outside the content: they are counted, not compared."""
    differences = [*_identity(first, second), *_modules(first, second)]
    if not differences:
        # Whatever the lists above do not look at still shows here.
        differences = list(_members(first, second))
    return {
        **start("compare"),
        "verdict": "different" if differences else "same",
        "a": _side(first),
        "b": _side(second),
        "same_bytes": first.sha256 == second.sha256,
        "differences": differences,
    }


def _members(first: Package, second: Package) -> Iterator[Document]:
    for name in sorted(first.members.keys() | second.members.keys()):
        a, b = first.members.get(name), second.members.get(name)
        if a != b:
            digests = (None if data is None else Digest.of(data) for data in (a, b))
            yield _difference("member", "", name, *digests)


def _side(package: Package) -> Document:
    manifest = package.manifest
    return {
        "path": package.path,
        "sha256": package.sha256,
        "id": manifest.id,
        "sequence": manifest.sequence,
        "modules": len(manifest.modules),
        "functions": sum(len(module.functions) for module in manifest.modules),
        "signatures": package.signatures,
    }


def _difference(kind: str, module: str, place: str, a: Any, b: Any) -> Document:
    return {"kind": kind, "module": module, "place": place, "a": _shown(a), "b": _shown(b)}


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(getattr(value, "hex", value)) if not isinstance(value, bytes) else value.hex()


def _pairs(first: Iterable[Any], second: Iterable[Any], key: Any) -> Iterator[tuple[Any, Any, Any]]:
    """(key, entry of the first or None, entry of the second or None), in order of the keys."""
    one = {key(entry): entry for entry in first}
    two = {key(entry): entry for entry in second}
    for name in sorted(one.keys() | two.keys()):
        yield name, one.get(name), two.get(name)


def _identity(first: Package, second: Package) -> Iterator[Document]:
    for name in IDENTITY_FIELDS:
        a, b = getattr(first.manifest, name), getattr(second.manifest, name)
        if a != b:
            yield _difference("identity", "", name, a, b)
    for name in sorted(first.statement.keys() | second.statement.keys()):
        a, b = first.statement.get(name), second.statement.get(name)
        if a != b:
            yield _difference("identity", "", name, a, b)
    if first.manifest.unchanged != second.manifest.unchanged:
        yield _difference("unchanged", "", "unchanged", first.manifest.unchanged, second.manifest.unchanged)


def _modules(first: Package, second: Package) -> Iterator[Document]:
    pairs = _pairs(first.manifest.modules, second.manifest.modules, lambda module: module.path)
    for path, a, b in pairs:
        if a is None or b is None:
            yield _difference("module", path, path, a and "patched", b and "patched")
            continue
        yield from _pin(path, "baseline", a.baseline, b.baseline)
        yield from _pin(path, "fixed", a.fixed, b.fixed)
        yield from _functions(path, _of_module(first, a), _of_module(second, b))
        yield from _redirections(path, a, b)
        yield from _data(path, a, b)
        yield from _rest(path, a, b)


def _pin(path: str, side: str, a: Pin, b: Pin) -> Iterator[Document]:
    for name in PIN_FIELDS:
        if getattr(a, name) != getattr(b, name):
            yield _difference("pin", path, f"{side}.{name}", getattr(a, name), getattr(b, name))


Carried = tuple[Function, bytes]


def _of_module(package: Package, module: Module) -> list[Carried]:
    return [(entry, package.code[module.path, index]) for index, entry in enumerate(module.functions)]


def _function_key(carried: Carried) -> tuple[int, str]:
    """Baseline entry; an added function has none and is known by its name or its place in the fixed image."""
    entry = carried[0]
    if entry.baseline:
        return int(entry.baseline[0].start), ""
    return 1 << 32, entry.name or f"fixed {entry.fixed[0].start:#x}"


def _functions(path: str, first: list[Carried], second: list[Carried]) -> Iterator[Document]:
    for _, a, b in _pairs(first, second, _function_key):
        entry = (a or b)[0]
        place = entry.name or f"{(entry.baseline or entry.fixed)[0].start:#x}"
        if a is None or b is None:
            yield _difference("function", path, place, a and a[0].reason, b and b[0].reason)
            continue
        if a[0].reason != b[0].reason:
            yield _difference("reason", path, place, a[0].reason, b[0].reason)
        if a[0].baseline_sha256 != b[0].baseline_sha256:
            yield _difference("baseline-code", path, place, a[0].baseline_sha256, b[0].baseline_sha256)
        if a[1] != b[1]:
            yield _difference("code", path, place, counted(len(a[1]), "byte"), counted(len(b[1]), "byte"))


def _redirections(path: str, a: Module, b: Module) -> Iterator[Document]:
    for entry, one, two in _pairs(a.redirections, b.redirections, lambda item: int(item.entry)):
        old = one and f"{one.kind} {one.old.hex()} -> {one.new.hex()}"
        new = two and f"{two.kind} {two.old.hex()} -> {two.new.hex()}"
        if old != new:
            yield _difference("redirection", path, f"{entry:#x}", old, new)


def _data(path: str, a: Module, b: Module) -> Iterator[Document]:
    for place, one, two in _pairs(a.data, b.data, lambda item: item.name or f"fixed {item.fixed.start:#x}"):
        old = one and f"{one.reason} {one.kind}, {counted(len(one.patch), 'byte')}"
        new = two and f"{two.reason} {two.kind}, {counted(len(two.patch), 'byte')}"
        if old != new:
            yield _difference("data", path, place, old, new)


def _rest(path: str, a: Module, b: Module) -> Iterator[Document]:
    if a.image.sha256 != b.image.sha256:
        yield _difference("patch-image", path, a.image.member, a.image.sha256, b.image.sha256)
    if a.only != b.only:
        yield _difference("only", path, "only", a.only, b.only)
    for kind, ours, theirs in (
        ("exclusion", _exclusions(a), _exclusions(b)),
        ("finding", a.findings, b.findings),
    ):
        key = lambda item: (getattr(item, "klass", None) or item.code, item.place, item.cause)  # noqa: E731
        for place, one, two in _pairs(ours, theirs, key):
            if one is None or two is None:
                yield _difference(
                    kind,
                    path,
                    place[1],
                    one and f"{place[0]}: {place[2]}",
                    two and f"{place[0]}: {place[2]}",
                )


def _exclusions(module: Module) -> list[Exclusion | LeftOutPart]:
    """What is not delivered, also what a list leaves out, part by part."""
    return [*module.exclusions, *(part for item in module.left_out for part in item.parts())]


def blocks(result: Document, *, full: bool = False) -> list[Block]:
    """The verdict and a table of differences."""
    same = result["verdict"] == "same"
    a, b = result["a"], result["b"]
    head: list[Block] = [
        Line(
            "the packages have the same content" if same else "the packages differ",
            Tone.GOOD if same else Tone.BAD,
        ),
        Pairs(
            (
                ("A", f"{a['path']} ({a['id']}, {a['sequence']})"),
                ("B", f"{b['path']} ({b['id']}, {b['sequence']})"),
            )
        ),
    ]
    if same:
        text = "byte for byte" if result["same_bytes"] else "their files differ only in the signatures"
        return [*head, Line(text)]
    rows = tuple(
        (item["kind"], item["module"] or "-", item["place"], _cell(item["a"]), _cell(item["b"]))
        for item in result["differences"]
    )
    table = Table(("what", "module", "where", "A", "B"), rows)
    return [*head, Heading(counted(len(rows), "difference")), *shortened(table, full=full)]


def _cell(value: str | None) -> str:
    return "absent" if value is None else value or "(empty)"
