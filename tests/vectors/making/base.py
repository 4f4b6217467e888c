"""The packages that the cases are made from: built by hpbuild from the committed example binaries."""

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from hpbuild.attachments.record import Record
from hpbuild.attachments.writer import attachments
from hpbuild.bundle.layout import MANIFEST
from hpbuild.manifest.codec import encode, to_document
from hpbuild.manifest.model import Manifest
from hpbuild.pipeline import BuildRequest, build
from tests.conftest import ROOT
from tests.vectors.making.sealing import Document, canonical, sealed, statement_of

BINARIES = ROOT / "testdata" / "bin"
CREATED = "2026-01-15T00:00:00Z"
PRODUCT = "Example"
GADGET, CODEC = "variants/pad_jump/{}/gadget.dll", "{}/codec.dll"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A package in parts: the manifest as a wire document, patch images and attachments by member name."""

    manifest: Document
    images: Mapping[str, bytes]
    attachments: Mapping[str, bytes]

    @property
    def module(self) -> Document:
        """The first module, of a copy of the manifest."""
        found: Document = copy.deepcopy(self.manifest)["modules"][0]
        return found

    def members(self) -> dict[str, bytes]:
        """Everything that a statement lists."""
        return {MANIFEST: canonical(self.manifest), **self.images, **self.attachments}

    def statement(self, **predicate: Any) -> bytes:
        """The bytes of its statement, with other entries in the predicate."""
        return canonical(statement_of(self.manifest, self.members(), **predicate))

    def package(self, signatures: list[Document] | None = None, **predicate: Any) -> bytes:
        """The file; signed by ``release`` unless ``signatures`` are given."""
        return sealed(self.members(), self.statement(**predicate), signatures)

    def changed(self, change: Callable[[Document], object]) -> "Parts":
        """The same with another manifest: ``change`` alters a copy of it in place."""
        manifest = copy.deepcopy(self.manifest)
        change(manifest)
        return replace(self, manifest=manifest)

    def module_changed(self, change: Callable[[Document], object]) -> "Parts":
        """The same with another first module."""
        return self.changed(lambda manifest: change(manifest["modules"][0]))


def parts_of(
    name: str = "KB-1", sequence: int = 1, product: str = PRODUCT, *, attach: bool = False, pair: str = GADGET
) -> Parts:
    """The package of one module. ``pair`` is the place of the files, {} standing for baseline or fixed."""
    sides = [BINARIES / pair.format(side) for side in ("baseline", "fixed")]
    return _built(sides[0], sides[1], name, sequence, product, attach)


def set_of_two() -> Parts:
    """A package for two files in a tree."""
    with tempfile.TemporaryDirectory() as folder:
        for side in ("baseline", "fixed"):
            for place, pair in (("bin", GADGET), ("lib", CODEC)):
                source = BINARIES / pair.format(side)
                target = Path(folder) / side / place / source.name
                target.parent.mkdir(parents=True)
                target.write_bytes(source.read_bytes())
        return _built(Path(folder) / "baseline", Path(folder) / "fixed", "KB-1", 1, PRODUCT, False)


def built_from(baseline: bytes, fixed: bytes, name: str = "gadget.dll") -> Parts:
    """The package for one file with these contents."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / side / name for side in ("baseline", "fixed")]
        for path, data in zip(paths, (baseline, fixed), strict=True):
            path.parent.mkdir()
            path.write_bytes(data)
        return _built(paths[0], paths[1], "KB-1", 1, PRODUCT, False)


@cache
def _built(baseline: Path, fixed: Path, name: str, sequence: int, product: str, attach: bool) -> Parts:
    request = BuildRequest(
        baseline=baseline,
        fixed=fixed,
        id=name,
        sequence=sequence,
        product=product,
        advisories=("CVE-2026-0001",),
        created=CREATED,
        symbols="none",
    )
    result = build(request, lambda *_: None)
    if not result.members or not all(proof.ok for proof in result.proofs):
        raise ValueError(f"{baseline}: nothing was built")
    attached = _attached(result.manifest) if attach else {}
    return Parts(manifest=to_document(result.manifest), images=result.members, attachments=attached)


def _attached(manifest: Manifest) -> Mapping[str, bytes]:
    return attachments(Record(manifest=manifest, manifest_bytes=encode(manifest)))
