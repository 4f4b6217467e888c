"""Steps of ``inspect``: what kind of file it is, and reading its parts."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from hpbuild.cli.bounds import Bounds, bounds
from hpbuild.cli.confined import confined
from hpbuild.cli.output import Output
from hpbuild.codes import cli as codes
from hpbuild.errors import ExitStatus, Finding, HpbuildError
from hpbuild.report.blocks import Block
from hpbuild.report.document import Document

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from pathlib import Path
    from typing import Any

Blocks = Callable[[Document, bool], list[Block]]

BUNDLE_MAGIC = b"PK\x03\x04"
IMAGE_MAGIC = b"MZ"


def run(
    file: str,
    *,
    asm: bool = False,
    baseline: Path | None = None,
    within: Bounds | None = None,
    output: Output | None = None,
) -> ExitStatus:
    """``hpbuild inspect``; ``within`` and ``output`` are None for what goes without options. Raises as
    ``inspection``."""
    shown = output or Output()
    document, blocks = inspection(file, asm=asm, baseline=baseline, bounds=within or bounds())
    shown.emit(document, lambda entries: blocks(entries, shown.full))
    return ExitStatus.YES


def inspection(path: str, *, asm: bool, baseline: Path | None, bounds: Bounds) -> tuple[Document, Blocks]:
    """The document of a package or an image, and the function that makes text of it. All but the first bytes
    is read in a child process within ``bounds``.

    Raises HpbuildError: HP9004 for a path that cannot be read, HP9010 for another kind of file, HP9001 for
    options that do not fit, the codes of the readers, and those of ``confined``."""
    magic = _first_bytes(path)
    if baseline is not None and not asm:
        raise HpbuildError(codes.USAGE, "hpbuild inspect", "--baseline is only for --asm")
    if magic == BUNDLE_MAGIC:
        from hpbuild.report import inspect as report  # noqa: F401 - here, so that not both processes import it

        def work() -> Document:
            return _package(path, asm=asm, baseline=baseline)

        return confined(work, bounds, path, meanwhile=_prepare), package_blocks
    if not magic.startswith(IMAGE_MAGIC):
        raise HpbuildError(codes.UNKNOWN_KIND, path, f"it starts with {magic.hex(' ') or 'nothing'}")
    if asm:
        raise HpbuildError(codes.USAGE, "hpbuild inspect", "--asm is only for packages")
    return confined(lambda: _image(path), bounds, path), image_blocks


def _first_bytes(path: str) -> bytes:
    mode = os.stat(path).st_mode  # noqa: PTH116 - without pathlib
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        raise HpbuildError(codes.FILE_UNUSABLE, path, f"it is {kind}")
    with open(path, "rb") as stream:  # noqa: PTH123
        return stream.read(4)


def _package(path: str, *, asm: bool, baseline: Path | None) -> Document:
    from hpbuild.bundle.reader import read_bundle_file
    from hpbuild.bundle.statement import decode_statement, to_document
    from hpbuild.cli.hints import key_hints
    from hpbuild.manifest.codec import decode
    from hpbuild.report import inspect

    bundle = read_bundle_file(path)
    manifest = decode(bundle.manifest)
    statement = to_document(decode_statement(bundle.statement))
    document = inspect.document(
        path, bundle.sha256.hex, bundle.members, manifest, statement, key_hints(bundle)
    )
    if asm:
        from hpbuild.cli.packages import disassembled

        document["disassembly"] = disassembled(bundle, manifest, baseline)
    return document


def _prepare() -> None:
    """Import what makes text of a document."""
    from hpbuild.report import attachments, plain  # noqa: F401


def package_blocks(entries: Document, full: bool) -> list[Block]:
    """The text of a package's document."""
    from hpbuild.report import inspect

    blocks = inspect.blocks(entries, full=full)
    if "disassembly" in entries:
        from hpbuild.report import disassembly

        blocks += disassembly.blocks(entries["disassembly"])
    return blocks


def _image(path: str) -> Document:
    from pathlib import Path

    from hpbuild.pe.exports import exports
    from hpbuild.pe.hotpatch_table import read_hotpatch_table
    from hpbuild.pe.identity import identity
    from hpbuild.pe.imports import imports
    from hpbuild.pe.reader import read_image
    from hpbuild.pe.relocations import relocation_sites
    from hpbuild.pe.unwind import runtime_functions
    from hpbuild.report import inspect_image

    image = read_image(Path(path))
    findings: list[Finding] = []
    counts = {
        "runtime functions": _part(findings, lambda: len(runtime_functions(image).begin)),
        "exports": _part(findings, lambda: len(exports(image))),
        "imports": _part(findings, lambda: len(imports(image))),
        "relocation sites": _part(findings, lambda: len(relocation_sites(image))),
    }
    return inspect_image.document(
        path,
        image,
        pin=_part(findings, lambda: identity(image, cross_check=False)),
        counts={name: count for name, count in counts.items() if count is not None},
        hotpatch_table=_part(findings, lambda: read_hotpatch_table(image)),
        findings=findings,
    )


def image_blocks(entries: Document, full: bool) -> list[Block]:
    """The text of an image's document."""
    from hpbuild.report import inspect_image

    return inspect_image.blocks(entries, full=full)


def _part(findings: list[Finding], read: Callable[[], Any]) -> Any:
    """What ``read`` gives; when it refuses, None, and its finding is kept: one broken table does not hide
    the others from somebody who is looking."""
    try:
        return read()
    except HpbuildError as error:
        findings.append(error.finding)
        return None
