"""Packages as the looking commands need them: read, decoded, nothing verified."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hpbuild.attachments.record import KINDS
from hpbuild.bundle.layout import ENVELOPE, MANIFEST, STATEMENT
from hpbuild.bundle.reader import Bundle, read_bundle_file
from hpbuild.bundle.statement import Statement, decode_statement, encode_statement, make_revert_statement
from hpbuild.cli.hints import key_hints
from hpbuild.cli.output import Output
from hpbuild.codes import cli as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.codec import decode, encode
from hpbuild.manifest.model import Manifest, Module
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.report.compare import Package
from hpbuild.report.disassembly import function
from hpbuild.report.document import Document
from hpbuild.values import Interval

if TYPE_CHECKING:
    from hpbuild.assembly.work import Work


def comparable(path: Path) -> Package:
    """One side of ``compare``. Raises HpbuildError for a file that is no well-formed package."""
    bundle = read_bundle_file(path)
    manifest = decode(bundle.manifest)
    statement = decode_statement(bundle.statement)
    return Package(
        path=str(path),
        sha256=bundle.sha256.hex,
        manifest=manifest,
        statement=_line(statement),
        signatures=len(key_hints(bundle)),
        members={name: data for name, data in bundle.members.items() if name != ENVELOPE},
        code=_code(bundle, manifest),
    )


def _line(statement: Statement) -> dict[str, object]:
    """What the statement says and the manifest does not."""
    said: dict[str, object] = {"supersedes": statement.supersedes, "expiry": statement.expiry}
    if (reverts := statement.reverts) is not None:
        said |= {
            "own id": statement.id,
            "own sequence": statement.sequence,
            "takes back": f"{reverts.id} (sequence {reverts.sequence}), statement {reverts.statement.hex}",
            "reason": reverts.reason,
        }
    return said


def _code(bundle: Bundle, manifest: Manifest) -> dict[tuple[str, int], bytes]:
    code = {}
    for module in manifest.modules:
        image = patch_image(bundle, module)
        for index, entry in enumerate(module.functions):
            code[module.path, index] = b"".join(_bytes(image, part) for part in entry.patch)
    return code


def patch_image(bundle: Bundle, module: Module) -> Image:
    """The patch image of a module. HpbuildError: HP9014 when the package does not hold it, HP1xxx."""
    data = bundle.members.get(module.image.member)
    if data is None:
        raise HpbuildError(codes.PART_UNREADABLE, module.path, f"there is no member {module.image.member}")
    return parse_image(data, module.image.member)


def _bytes(image: Image, part: Interval) -> bytes:
    if part.end > image.size_of_image:
        raise HpbuildError(codes.PART_UNREADABLE, image.name, f"{part} leaves the image")
    return image.read(part.start, len(part))


def disassembled(bundle: Bundle, manifest: Manifest, baseline: Path | None) -> list[Document]:
    """The carried functions as instructions, old and new. ``baseline`` is the file, or the tree of files;
    HpbuildError HP9012 when it is another build than the package is for."""
    from hpbuild.code.disassembly import disassemble

    def instructions(image: Image, ranges: tuple[Interval, ...]) -> list[tuple[int, str, str]]:
        return [item for part in ranges for item in disassemble(_bytes(image, part), part.start)]

    functions = []
    for module in manifest.modules:
        new = patch_image(bundle, module)
        old = None if baseline is None else _baseline_image(baseline, module)
        for entry in module.functions:
            before = None if old is None else instructions(old, entry.baseline)
            functions.append(function(module.path, entry.name, before, instructions(new, entry.patch)))
    return functions


def _baseline_image(baseline: Path, module: Module) -> Image:
    path = baseline / module.path if baseline.is_dir() else baseline
    image = read_image(path)
    if (found := image.data.digest()) != module.baseline.sha256:
        cause = f"SHA-256 {found.hex}, the package is for {module.baseline.sha256.hex}"
        raise HpbuildError(codes.BASELINE_DIFFERS, str(path), cause)
    return image


def unsigned_members(path: Path) -> dict[str, bytes]:
    """Members of a package without the signatures."""
    return {name: data for name, data in read_bundle_file(path).members.items() if name != ENVELOPE}


def remade_members(
    given: Mapping[str, bytes], baseline: Path, fixed: Path, symbols: str, output: Output, work: "Work"
) -> dict[str, bytes]:
    """Members of a new build with the parameters that the given package records; none when the build is
    refused or finds nothing to patch."""
    from hpbuild.bundle.reader import read_bundle
    from hpbuild.pipeline import BuildRequest, assemble, build

    manifest = decode(given[MANIFEST])
    statement = decode_statement(given[STATEMENT])
    request = BuildRequest(
        baseline=baseline,
        fixed=fixed,
        id=manifest.id,
        sequence=manifest.sequence,
        product=manifest.product,
        advisories=manifest.advisories,
        created=manifest.created,
        symbols=symbols,
        only=_list(manifest, tree=baseline.is_dir()),
    )
    with output.progress() as progress:
        result = build(request, progress, work)
    if result.refused or not result.members:
        return {}
    if statement.reverts is not None:
        return _remade_revert(statement, result.manifest, result.members)
    data = assemble(
        result,
        attach=any(name in given for name in KINDS.values()),
        supersedes=statement.supersedes,
        expiry=statement.expiry,
    )
    return dict(read_bundle(data).members)


def _remade_revert(statement: Statement, manifest: Manifest, images: Mapping[str, bytes]) -> dict[str, bytes]:
    """Members of the revert package once more. Which statement it takes back cannot be derived from the two
    builds; that is taken from the given one."""
    reverts = statement.reverts
    assert reverts is not None
    members = {MANIFEST: encode(manifest), **images}
    own = (statement.id, statement.sequence)
    made = make_revert_statement(manifest, members, own, reverts, statement.expiry)
    return {STATEMENT: encode_statement(made), **members}


def _list(manifest: Manifest, *, tree: bool) -> tuple[str, ...]:
    """The list of functions that a package was limited to, as a build takes it."""
    return tuple(
        f"{module.path}!{entry}" if tree else entry for module in manifest.modules for entry in module.only
    )
