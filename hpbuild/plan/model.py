"""The plan: what the package carries and how each baseline entry is redirected. Values only.

A *chunk* is a run of bytes taken from the fixed image (or made for it) that the patch image carries as
one piece. Its *fields* are the places whose value depends on where the chunk or the field's target lies.
The patch image writer is a small linker over chunks; it needs no decoder and no matcher.
"""

from collections.abc import Iterable
from enum import StrEnum

from hpbuild.dataclass import dataclass
from hpbuild.errors import Finding, Severity
from hpbuild.values import Interval, Rva


class ChunkKind(StrEnum):
    """Which section of the patch image a chunk goes to."""

    CODE = "code"
    RODATA = "rodata"
    DATA = "data"
    BSS = "bss"
    UNWIND = "unwind"


class FieldKind(StrEnum):
    """How a field names its target; COFF relocation names (PE specification, "Type Indicators")."""

    REL8 = "REL8"
    """1 byte: target - (address of field + 1 + trailing). Only inside one chunk group."""
    REL32 = "REL32"
    """4 bytes: target - (address of field + 4 + trailing)."""
    ADDR64 = "ADDR64"
    """8 bytes: image base + target."""
    ADDR32NB = "ADDR32NB"
    """4 bytes: the target's RVA."""
    TABLE32 = "TABLE32"
    """4 bytes: target - ``origin``; entries of clang and gcc jump tables and relative tables."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a field points: ``chunk`` is an index into ``Plan.chunks`` and ``offset`` a byte offset in
    it (may lie one past its end), or ``chunk`` is None and ``offset`` is a baseline RVA."""

    chunk: int | None
    offset: int


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a chunk. ``offset`` is the field's byte offset in the chunk; ``trailing`` counts the
    instruction bytes after the field (an immediate behind a RIP-relative displacement), REL32/REL8 only;
    ``origin`` is the target that a TABLE32 value is relative to."""

    offset: int
    kind: FieldKind
    target: Target
    trailing: int = 0
    origin: Target | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Bytes to carry. ``content`` has the fixed image's bytes (fields still hold the fixed image's
    values and are overwritten by the linker); empty for BSS, whose length is ``size``.
    ``source`` is the range in the fixed image. ``alignment`` is a power of two, in bytes."""

    kind: ChunkKind
    name: str
    source: Interval
    size: int
    content: bytes
    alignment: int
    fields: tuple[Field, ...] = ()


class Reason(StrEnum):
    """Why the package carries a function or datum."""

    CHANGED = "changed"
    ADDED = "added"
    REFERRER = "referrer"
    """Identical itself, but it refers to a datum whose changed copy is carried."""
    HANDLER = "handler"
    """Handler or filter of a carried function, reached only through exception data, or a part split off. The
    baseline's own is not redirected: it serves threads that are still inside the old function, on the old
    frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedFunction:
    """A function that the package provides. ``chunks`` are indices of its CODE chunks, the primary
    range first, in step with ``fixed`` (ranges in the fixed image); ``baseline`` are its ranges in the
    baseline, entry range first, empty for an added function; ``cause`` is the first difference in words;
    ``level`` is the match level that paired it ('' when added)."""

    name: str
    reason: Reason
    level: str
    cause: str
    chunks: tuple[int, ...]
    fixed: tuple[Interval, ...]
    baseline: tuple[Interval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedDatum:
    """A constant or variable that the package provides. ``baseline`` is its old place, None when new."""

    name: str
    reason: Reason
    kind: ChunkKind
    cause: str
    chunk: int
    fixed: Interval
    baseline: Interval | None


@dataclass(frozen=True, slots=True)
class UnwindEntry:
    """One future RUNTIME_FUNCTION: code ``[begin, end)`` in bytes of chunk ``code``; its UNWIND_INFO
    begins at ``unwind`` (a target, normally offset 0 of an UNWIND chunk)."""

    code: int
    begin: int
    end: int
    unwind: Target


class RedirectionKind(StrEnum):
    """How a baseline entry is sent to the new code (design, section 6)."""

    PAD_JUMP = "pad-jump"
    ENTRY_JUMP = "entry-jump"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectionSite:
    """A baseline entry to redirect. ``function`` is an index into ``Plan.functions``; ``window`` is the
    whole range of baseline RVAs examined and ``old`` its bytes in the file (pad-jump: starts at
    entry - 5, ends at entry + 2 at least; entry-jump: starts at entry, ends at entry + 5 at least)."""

    function: int
    kind: RedirectionKind
    entry: Rva
    window: Interval
    old: bytes


NOT_SELECTED = "not-selected"
"""Class of exclusions that a list of functions asked for."""
LINE_ONLY = "line-only"
"""Class of exclusions for functions in which nothing but line numbers differ."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A difference that a hotpatch does not deliver, declared. ``klass`` is one of 'version-resource',
    'resource', 'export', 'import', 'metadata', 'line-only', 'thread-local', 'unreferenced-function',
    'unreferenced-data', 'not-selected'. The last is for what a list of functions leaves out (``LeftOut``):
    ``fixed`` are its ranges in the fixed image, ``baseline`` in step with the first of them where the
    baseline's version lies, which stays. For 'line-only' they are the 4-byte line numbers, in step."""

    klass: str
    place: str
    cause: str
    fixed: tuple[Interval, ...] = ()
    baseline: tuple[Interval, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An exclusion for a function or datum that a list of functions leaves out: ``what`` it is ('function',
    'rodata', 'data', 'bss') and how it compares with the baseline ('changed', 'new', 'same')."""

    what: str
    change: str
    place: str
    cause: str
    fixed: tuple[Interval, ...]
    baseline: tuple[Interval, ...]
    klass: str = NOT_SELECTED


@dataclass(frozen=True, slots=True)
class BaselineUse:
    """A place of the baseline that carried code or data refers to: the range that must be there, and
    whether its content is constant (False for variables and import slots)."""

    range: Interval
    constant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decision for one module. Empty ``functions`` means that there is nothing to patch; ``only`` are the
    functions that the plan is limited to, as they were listed, empty when it is not."""

    chunks: tuple[Chunk, ...]
    functions: tuple[CarriedFunction, ...]
    data: tuple[CarriedDatum, ...]
    unwind: tuple[UnwindEntry, ...]
    redirections: tuple[RedirectionSite, ...]
    exclusions: tuple[Exclusion | LeftOut, ...]
    findings: tuple[Finding, ...]
    uses: tuple[BaselineUse, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """True when a finding forbids the package."""
        return refuses(self.findings)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Those of the exclusions that the list of functions asked for."""
        return left_out_of(self.exclusions)

    @property
    def unwind_records(self) -> tuple[Interval, ...]:
        """Where the carried unwind records lie in the fixed image."""
        return tuple(chunk.source for chunk in self.chunks if chunk.kind is ChunkKind.UNWIND)


def refuses(findings: Iterable[Finding]) -> bool:
    """True when one of the findings forbids the package."""
    return any(finding.code.severity is Severity.REFUSE for finding in findings)


def left_out_of(exclusions: Iterable[Exclusion | LeftOut]) -> tuple[LeftOut, ...]:
    """Those that a list of functions asked for."""
    return tuple(item for item in exclusions if isinstance(item, LeftOut))


def declared(exclusions: Iterable[Exclusion | LeftOut]) -> tuple[Exclusion, ...]:
    """All exclusions in one form, as reports tell them."""
    return tuple(
        Exclusion(item.klass, item.place, item.cause, item.fixed, item.baseline)
        if isinstance(item, LeftOut)
        else item
        for item in exclusions
    )
