"""Does an attachment say the same as the manifest? Pure checks, each returns findings."""

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from hpbuild.attachments.reading import Pairs, Provenance, Sbom, Vex, read_attachment
from hpbuild.attachments.record import inputs, subjects
from hpbuild.attachments.vex import STATUS, products
from hpbuild.codes import attachments as codes
from hpbuild.errors import Code, Finding, HpbuildError
from hpbuild.manifest.model import Manifest

Item = TypeVar("Item")
_INPUTS = ("baseline/", "fixed/")


def findings(name: str, data: bytes, manifest: Manifest, manifest_bytes: bytes) -> tuple[Finding, ...]:
    """What is wrong with the attachment ``data`` in the member ``name`` of ``KINDS``: it cannot be read
    (HP4501 to HP4503), or it disagrees with the manifest (HP4504 to HP4506)."""
    try:
        document = read_attachment(name, data)
    except HpbuildError as error:
        return (error.finding,)
    if isinstance(document, Provenance):
        return _provenance(name, document, manifest, manifest_bytes)
    if isinstance(document, Sbom):
        return _sbom(name, document, manifest)
    return _vex(name, document, manifest)


def _provenance(
    name: str, document: Provenance, manifest: Manifest, manifest_bytes: bytes
) -> tuple[Finding, ...]:
    given = tuple(pair for pair in document.inputs if pair[0].startswith(_INPUTS))
    made = [(item, digest.hex) for item, digest in subjects(manifest, manifest_bytes).items()]
    used = [(item, digest.hex) for item, digest in inputs(manifest)]
    return (
        *_differs(codes.OTHER_PACKAGE, f"{name}: id", document.id, manifest.id),
        *_differs(codes.OTHER_PACKAGE, f"{name}: product", document.product, manifest.product),
        *_differs(codes.OTHER_PACKAGE, f"{name}: sequence", document.sequence, manifest.sequence),
        *_advisories(f"{name}: advisories", document.advisories, manifest),
        *_files(f"{name}: subject", document.subjects, made),
        *_files(f"{name}: resolvedDependencies", given, used),
    )


def _sbom(name: str, document: Sbom, manifest: Manifest) -> tuple[Finding, ...]:
    found = [(item.path, " ".join((item.fixed, *item.baseline))) for item in document.components]
    wanted = [(item.path, f"{item.fixed.sha256.hex} {item.baseline.sha256.hex}") for item in manifest.modules]
    return (
        *_differs(codes.OTHER_PACKAGE, f"{name}: name", document.name, manifest.id),
        *_differs(codes.OTHER_PACKAGE, f"{name}: version", document.version, str(manifest.sequence)),
        *_files(f"{name}: components", found, wanted),
        *(
            finding
            for item in document.components
            for finding in _advisories(f"{name}: {item.path}", item.resolves, manifest)
        ),
    )


def _vex(name: str, document: Vex, manifest: Manifest) -> tuple[Finding, ...]:
    wanted = list(products(manifest).items())
    said = tuple(item.advisory for item in document.statements)
    return (
        *_advisories(f"{name}: statements", said, manifest),
        *(
            Finding(
                codes.OTHER_ADVISORIES, f"{name}: {item.advisory}", f"status {item.status!r}, not {STATUS!r}"
            )
            for item in document.statements
            if item.status != STATUS
        ),
        *(
            finding
            for item in document.statements
            for finding in _files(f"{name}: {item.advisory}", item.products, wanted)
        ),
    )


def _differs(code: Code, place: str, found: str | int, wanted: str | int) -> tuple[Finding, ...]:
    if found == wanted:
        return ()
    return (Finding(code, place, f"{_short(found)!r}, the manifest says {_short(wanted)!r}"),)


def _advisories(place: str, found: tuple[str, ...], manifest: Manifest) -> tuple[Finding, ...]:
    odd = _odd(found, manifest.advisories)
    return (
        ()
        if odd is None
        else (Finding(codes.OTHER_ADVISORIES, place, f"{_short(odd)!r} is on one side only"),)
    )


def _files(
    place: str, found: Pairs | list[tuple[str, str]], wanted: list[tuple[str, str]]
) -> tuple[Finding, ...]:
    odd = _odd(found, wanted)
    if odd is None:
        return ()
    cause = f"{_short(odd[0])!r} with {_short(odd[1]) or 'no digest'} is on one side only"
    return (Finding(codes.OTHER_FILES, place, cause),)


def _odd(found: Iterable[Item], wanted: Iterable[Item]) -> Item | None:
    """An element that one side has more often than the other, None when they have the same in any order."""
    left, right = Counter(found), Counter(wanted)
    return next(iter((left - right) | (right - left)), None)


def _short(value: str | int) -> str | int:
    """A text of a stranger, cut so that a report stays readable."""
    return value[:200] if isinstance(value, str) else value
