"""The one value that all attachments of a package are written from."""

from collections.abc import Mapping

from hpbuild.bundle.layout import ATTACHMENTS, MANIFEST
from hpbuild.dataclass import dataclass, field
from hpbuild.manifest.model import Manifest
from hpbuild.values import Digest

PROVENANCE = f"{ATTACHMENTS}provenance.intoto.json"
SBOM = f"{ATTACHMENTS}sbom.cdx.json"
VEX = f"{ATTACHMENTS}vex.openvex.json"
KINDS: Mapping[str, str] = {"provenance": PROVENANCE, "sbom": SBOM, "vex": VEX}
"""Member name of each kind of attachment, by the name that trust policies use."""
NO_TIME = "1980-01-01T00:00:00Z"
"""What stands where a format demands a time and the package has none: the time of a bundle's ZIP members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A package as its attachments tell it.

    ``manifest_bytes`` are those of the member; ``symbols`` says for a module's path where names came from
    ('pdb', 'coff', 'none', or 'pdb/none' for baseline and fixed); ``supersedes`` and ``expiry`` are what the
    statement will say. The statement itself cannot be named: the attachments are among its subjects.
    """

    manifest: Manifest
    manifest_bytes: bytes
    symbols: Mapping[str, str] = field(default_factory=dict)
    supersedes: tuple[str, ...] = ()
    expiry: str = ""

    @property
    def time(self) -> str:
        """When the package was made, as far as it says so; else ``NO_TIME``."""
        return self.manifest.created or NO_TIME


def subjects(manifest: Manifest, manifest_bytes: bytes) -> dict[str, Digest]:
    """What the provenance is about: the manifest and the patch images, by member name, sorted."""
    found = {module.image.member: module.image.sha256 for module in manifest.modules}
    return dict(sorted({**found, MANIFEST: Digest.of(manifest_bytes)}.items()))


def inputs(manifest: Manifest) -> tuple[tuple[str, Digest], ...]:
    """The files that the package was made from, as (name, digest): ``baseline/PATH`` and ``fixed/PATH``."""
    baseline = [(f"baseline/{module.path}", module.baseline.sha256) for module in manifest.modules]
    return (*baseline, *((f"fixed/{module.path}", module.fixed.sha256) for module in manifest.modules))


def file_urn(digest: Digest) -> str:
    """A file by its content."""
    return f"urn:hpbuild:file:sha256:{digest.hex}"


def patched_urn(manifest: Manifest, baseline: Digest) -> str:
    """A baseline file with this package applied, on disk or in memory. It has no digest of its own that would
    be the same everywhere, and it must not be taken for the baseline alone, which has the defect still."""
    return f"urn:hpbuild:patched:{manifest.id}:{manifest.sequence}:sha256:{baseline.hex}"


def is_library(path: str) -> bool:
    """False for the files that Windows starts as programs."""
    from pathlib import PurePosixPath

    return PurePosixPath(path).suffix.casefold() not in (".exe", ".com", ".scr")
