"""The manifest: what a package contains and what it may be written into. Values only.

The wire form is made by ``hpbuild.manifest.codec``; names here and there are the same, snake_case.
RVAs, sizes and counts are JSON integers, 64-bit values hexadecimal strings, bytes lower-case hex.
"""

from hpbuild.dataclass import dataclass
from hpbuild.manifest.left_out import LeftOut
from hpbuild.values import Digest, Interval, Rva

SCHEMA_ID = "urn:hpbuild:schema:manifest:1"
LINE_ONLY = "line-only"
"""Class of exclusions for functions in which nothing but line numbers differ: it says where they stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionPin:
    """SHA-256 of one section's mapped raw data, base-relocation fields included as in the file."""

    name: str
    rva: Rva
    size: int
    sha256: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What ties a package to one build (tiers exact, authenticode, sections) and the ids people know.

    ``authenticode`` is None when the file does not meet the strict layout profile. ``pdb_guid`` is the
    32-digit lower-case hex GUID, '' when there is none; ``version`` the FILEVERSION as 'a.b.c.d' or ''.
    """

    file_name: str
    size: int
    sha256: Digest
    authenticode: Digest | None
    sections: tuple[SectionPin, ...]
    machine: int
    time_date_stamp: int
    checksum: int
    size_of_image: int
    image_base: int
    pdb_guid: str
    pdb_age: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchImagePin:
    """The bundle member with the patch image and where it wants to lie (baseline RVAs)."""

    member: str
    size: int
    sha256: Digest
    range: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function that the package provides. ``patch`` ranges are RVAs in the patch image, in step with
    ``fixed``; ``baseline`` ranges are empty for an added function. ``baseline_sha256`` is over the
    baseline ranges in order, base-relocation fields zeroed; None when added. ``fixed_sha256`` likewise
    over the fixed ranges."""

    name: str
    reason: str
    level: str
    cause: str
    baseline: tuple[Interval, ...]
    fixed: tuple[Interval, ...]
    patch: tuple[Interval, ...]
    baseline_sha256: Digest | None
    fixed_sha256: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """A constant or variable that the package provides; ``kind`` is rodata, data or bss."""

    name: str
    reason: str
    kind: str
    cause: str
    baseline: Interval | None
    fixed: Interval
    patch: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirection:
    """``old`` are the window's bytes in the baseline file; ``new`` the same window with the redirection
    written, the patch image at its nominal place. ``function`` indexes ``Module.functions``."""

    function: int
    kind: str
    entry: Rva
    window: Interval
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixups:
    """RVAs in the patch image of the fields that change when it is moved, ascending, by COFF name."""

    addr64: tuple[Rva, ...]
    rel32: tuple[Rva, ...]
    addr32nb: tuple[Rva, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineReference:
    """A place of the baseline that the new code refers to. For code the whole function range, for
    data the extent known to the builder; ``sha256`` over the bytes with base-relocation fields zeroed,
    None for writable data (its content is the process's own)."""

    range: Interval
    sha256: Digest | None


@dataclass(frozen=True, slots=True)
class PagePin:
    """SHA-256 of one 4 KiB page of the baseline that a redirection touches, as far as the image reaches, with
    base-relocation fields zeroed. ``rva`` is where the page begins."""

    rva: Rva
    sha256: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A difference between baseline and fixed that the package declares it does not deliver.

    ``fixed`` and ``baseline`` belong to the class LINE_ONLY alone: the 4-byte line numbers that differ, in
    step, ascending. What a list of functions leaves out is not here, but in ``Module.left_out``."""

    klass: str
    place: str
    cause: str
    fixed: tuple[Interval, ...] = ()
    baseline: tuple[Interval, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFinding:
    """A warning or note of the build, kept for the auditor."""

    code: str
    severity: str
    place: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteClass:
    """Bytes of the fixed image in one class of the account."""

    klass: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One patched file. ``path`` is relative to the release's root, '/'-separated. ``only`` is the list of
    functions that the package was limited to, as it was given, ascending; empty when it carries all changes.
    ``left_out`` is what such a list leaves out of this file.
    """

    path: str
    baseline: Pin
    fixed: Pin
    image: PatchImagePin
    functions: tuple[Function, ...]
    data: tuple[Datum, ...]
    redirections: tuple[Redirection, ...]
    pages: tuple[PagePin, ...]
    fixups: Fixups
    references: tuple[BaselineReference, ...]
    exclusions: tuple[Exclusion, ...]
    findings: tuple[ManifestFinding, ...]
    account: tuple[ByteClass, ...]
    only: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def line_only(self) -> tuple[Exclusion, ...]:
        """The functions in which nothing but line numbers differ."""
        return tuple(item for item in self.exclusions if item.klass == LINE_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The whole manifest. ``created`` is RFC 3339 UTC, from SOURCE_DATE_EPOCH, '' when that is unset;
    ``unchanged`` are paths of a directory build whose files need no patch, ``left_out`` those that differ and
    of which the list of functions names none."""

    id: str
    product: str
    sequence: int
    advisories: tuple[str, ...]
    created: str
    tool: str
    modules: tuple[Module, ...]
    unchanged: tuple[str, ...]
    left_out: tuple[str, ...] = ()
