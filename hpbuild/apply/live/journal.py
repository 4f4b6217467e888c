"""The agent's journal: what it did to the process, readable from outside without running anything in it.

``hpagent.dll`` exports the symbol ``hpagent_journal``, ``JOURNAL_SIZE`` bytes. Little-endian; text is UTF-8,
ended by a zero byte or the field's end. ``agent/journal.h`` is the writer.

::

    header, 4096 bytes                            package, 512 bytes            module, 192 bytes
       0  magic "HPJOURNL"                          0  id (128)                   0  package (index)
       8  version 1                               128  product (256)              4  redirections
      12  bytes of the header                     384  SHA-256 of the bundle      8  name (128)
      16  round: odd while it is being written    416  sequence                 136  base (64)
      20  phase (PHASES)                          420  first module             144  the block (64)
      24  packages that are active                424  modules                  152  bytes of the block (64)
      28  modules of them                                                       160  delta (64)
      32  commands carried out (64)
      40  protocol of the courier
      48  waits: count, longest, sum (3 * 64, nanoseconds)
      72  looks: likewise
      96  id of the package being written (128)
     224  last error (32), its module (128), function (256), detail (512)
    1152  waits by length: 352 counters; 2560: looks likewise (see bucket_ns)
    3968  ids of the threads that are stopped for a look (16 * 32)
    4096  16 packages; 12288: 256 modules
"""

import struct
from typing import Final

from hpbuild.codes import live as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError

JOURNAL_SYMBOL: Final = "hpagent_journal"
AGENT_LIBRARY: Final = "hpagent.dll"
MAGIC: Final = b"HPJOURNL"
VERSION: Final = 1
PHASES: Final = ("idle", "preparing", "writing", "undoing")
MAX_PACKAGES: Final = 16
MAX_MODULES: Final = 256
BUCKETS: Final = 352

_HEADER_SIZE: Final = 4096
_HEADER: Final = struct.Struct("<8s6IQI4x3Q3Q128s32s128s256s512s")
_WAITS_AT: Final = 1152
_LOOKS_AT: Final = 2560
_PACKAGE: Final = struct.Struct("<128s256s32s3I84x")
_MODULE: Final = struct.Struct("<2I128s4Q24x")
_PACKAGES_AT: Final = _HEADER_SIZE
_MODULES_AT: Final = _PACKAGES_AT + MAX_PACKAGES * _PACKAGE.size
JOURNAL_SIZE: Final = _MODULES_AT + MAX_MODULES * _MODULE.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """How long threads were kept, since the agent came. ``lengths`` counts them by ``bucket_ns``."""

    count: int
    longest_ns: int
    sum_ns: int
    lengths: tuple[int, ...]

    @property
    def median_ns(self) -> int:
        """Half of them were not longer, to about a tenth; 0 when there was none."""
        total, seen = sum(self.lengths), 0
        for index, count in enumerate(self.lengths):
            seen += count
            if 2 * seen >= total > 0:
                return bucket_ns(index)
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalModule:
    """One patched module: where it and its new code lie, ``delta`` bytes above the nominal place."""

    name: str
    base: int
    block: int
    block_size: int
    delta: int
    redirections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPackage:
    """An active package."""

    id: str
    product: str
    sequence: int
    bundle_sha256: str
    modules: tuple[JournalModule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """Why the last command failed; ``slug`` is '' when it did not."""

    slug: str
    module: str
    function: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """The journal at one moment. ``settled``: no command is at work and the text was not being written;
    only then is ``packages`` what the process has. ``pending`` is the id of the package at work, ''
    otherwise. ``commands`` counts applies and reverts that came to an end."""

    settled: bool
    phase: str
    pending: str
    packages: tuple[JournalPackage, ...]
    commands: int
    protocol: int
    waits: Stops
    looks: Stops
    last_error: LastError


def bucket_ns(index: int) -> int:
    """Largest time in nanoseconds that the counter ``index`` counts: single ones below 8, then eight for
    each power of two; the last one has no end."""
    if index < 8:
        return index
    power, eighth = divmod(index, 8)
    return ((8 + eighth + 1) << (power - 1)) - 1


def parse_journal(memory: bytes) -> Journal:
    """The journal in the ``JOURNAL_SIZE`` bytes at the symbol; HpbuildError HP7331 when they are none."""
    if len(memory) != JOURNAL_SIZE:
        raise _bad(f"{len(memory)} bytes, {JOURNAL_SIZE} are needed")
    (
        magic, version, size, round_, phase, packages, modules, commands, protocol,
        waits, longest_wait, all_waits, looks, longest_look, all_looks,
        pending, slug, module, function, detail,
    ) = _HEADER.unpack_from(memory)  # fmt: skip
    if magic != MAGIC or version != VERSION or size != _HEADER_SIZE:
        raise _bad(f"it begins with {magic!r}, version {version}")
    if phase >= len(PHASES) or packages > MAX_PACKAGES or modules > MAX_MODULES:
        raise _bad(f"phase {phase}, {packages} packages, {modules} modules")
    return Journal(
        settled=round_ % 2 == 0 and PHASES[phase] == "idle",
        phase=PHASES[phase],
        pending=_text(pending),
        packages=tuple(_package(memory, index, modules) for index in range(packages)),
        commands=commands,
        protocol=protocol,
        waits=Stops(
            count=waits, longest_ns=longest_wait, sum_ns=all_waits, lengths=_lengths(memory, _WAITS_AT)
        ),
        looks=Stops(
            count=looks, longest_ns=longest_look, sum_ns=all_looks, lengths=_lengths(memory, _LOOKS_AT)
        ),
        last_error=LastError(
            slug=_text(slug), module=_text(module), function=_text(function), detail=_text(detail)
        ),
    )


def _package(memory: bytes, index: int, modules: int) -> JournalPackage:
    at = _PACKAGES_AT + index * _PACKAGE.size
    identity, product, sha256, sequence, first, count = _PACKAGE.unpack_from(memory, at)
    if first + count > modules:
        raise _bad(f"package {index} has modules {first} to {first + count} of {modules}")
    return JournalPackage(
        id=_text(identity),
        product=_text(product),
        sequence=sequence,
        bundle_sha256=sha256.hex(),
        modules=tuple(_module(memory, index, each) for each in range(first, first + count)),
    )


def _module(memory: bytes, package: int, index: int) -> JournalModule:
    owner, redirections, name, base, block, size, delta = _MODULE.unpack_from(
        memory, _MODULES_AT + index * _MODULE.size
    )
    if owner != package:
        raise _bad(f"module {index} belongs to package {owner}, not {package}")
    return JournalModule(
        name=_text(name), base=base, block=block, block_size=size, delta=delta, redirections=redirections
    )


def _lengths(memory: bytes, at: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{BUCKETS}I", memory, at)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _bad(cause: str) -> HpbuildError:
    return HpbuildError(codes.BAD_JOURNAL, "the agent's journal", cause)
