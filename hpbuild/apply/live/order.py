"""What the agent is asked to do, and its wire form.

An order is what a verified package means for one process: everything the agent must know, and nothing it
has to trust. Little-endian; offsets count from the order's first byte; a *list* is a pair (offset, count),
a *blob* a pair (offset, size in bytes), both of 32 bits; lists begin at multiples of 4. ``agent/order.h``
is the reader.

::

    header, 128 bytes                  module, 160 bytes                redirection, 32 bytes
      0  magic "HPORDER" 01              0  name (blob, UTF-8)            0  function (index)
      8  version 1                       8  base, 0: by name (64)         4  1 pad-jump, 2 entry-jump
     12  bytes of the header            16  preferred base (64)           8  entry (RVA)
     16  bytes of the order (64)        24  TimeDateStamp                12  bytes: 7 or 5, by kind
     24  sequence                       28  CheckSum                     16  old bytes, zero-filled
     28  window limit, milliseconds     32  SizeOfImage                  24  new bytes, zero-filled
     32  SHA-256 of the bundle          36  nominal start, end (RVAs)
     64  id (blob)                      44  zero                        expected range, 12 bytes
     72  product (blob)                 48  SHA-256 of the patch image    0  RVA
     80  modules (list)                 80  patch image (blob)            4  size of its content
     88  zero                           88  ADDR64 sites (list of u32)    8  offset of its content
                                        96  REL32 sites
                                       104  ADDR32NB sites              function name, 8 bytes
                                       112  redirections (list)           0  a blob
                                       120  function names (list)
                                       128  expected ranges (list)
                                       136  relocation sites (u32)
                                       144  call targets (u32)
                                       152  zero
"""

import struct
from itertools import pairwise
from typing import Final

from hpbuild.codes import live as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.manifest.model import Fixups, Redirection
from hpbuild.values import Digest, Interval, Rva

MAGIC: Final = b"HPORDER\x01"
VERSION: Final = 1
MAX_MODULES: Final = 256
MAX_ORDER: Final = 1 << 30
MAX_TEXT: Final = 1024
"""Bytes of a name, an id or a product."""
FIELD: Final = 8
"""Bytes of a field with a base relocation (DIR64)."""

_HEADER: Final = struct.Struct("<8sIIQII32s6I40x")
_MODULE: Final = struct.Struct("<2IQQ6I32s18I8x")
_REDIRECTION: Final = struct.Struct("<4I8s8s")
_EXPECTED: Final = struct.Struct("<3I")
_PAIR: Final = struct.Struct("<2I")
_KINDS: Final = {"pad-jump": (1, -5, 7), "entry-jump": (2, 0, 5)}
"""Kind -> its number, where the written bytes begin relative to the entry, how many they are."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Bytes that the module must have at ``rva``: those of the baseline file, at its preferred base. The
    agent moves the fields at ``OrderModule.sites`` to the real base before it compares; such a field lies
    wholly inside the range or wholly outside."""

    rva: Rva
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderModule:
    """One module to be patched. ``base`` is where it is loaded, 0 to let the agent find it by ``name``
    (a file name without folder). ``nominal`` are the patch image's RVAs as linked, ``functions`` names for
    messages (``Redirection.function`` indexes them), ``expected`` ascending and disjoint, ``sites`` the RVAs
    of DIR64 base relocations, ascending, ``call_targets`` nominal RVAs of carried functions."""

    name: str
    base: int
    time_date_stamp: int
    checksum: int
    size_of_image: int
    image_base: int
    patch_image: bytes
    patch_sha256: Digest
    nominal: Interval
    fixups: Fixups
    redirections: tuple[Redirection, ...]
    functions: tuple[str, ...]
    expected: tuple[Expected, ...]
    sites: tuple[int, ...]
    call_targets: tuple[Rva, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to apply. ``window_limit_ms``: how long a thread may stand in the bytes of an entry before the
    agent gives up."""

    id: str
    product: str
    sequence: int
    bundle_sha256: Digest
    modules: tuple[OrderModule, ...]
    window_limit_ms: int = 2000


class _Writer:
    """The bytes so far; everything it appends begins at a multiple of 4."""

    def __init__(self, size: int) -> None:
        self._parts: list[bytes] = []
        self.size = size

    def blob(self, content: bytes) -> int:
        """Append; answers the offset."""
        at = self.size
        padded = content + bytes(-len(content) % 4)
        self._parts.append(padded)
        self.size += len(padded)
        return at

    def numbers(self, values: tuple[int, ...]) -> tuple[int, int]:
        """Append a list of u32."""
        return self.blob(struct.pack(f"<{len(values)}I", *values)), len(values)

    def text(self, text: str, place: str) -> tuple[int, int]:
        """Append text as UTF-8."""
        raw = text.encode("utf-8", "surrogatepass")
        if not raw or len(raw) > MAX_TEXT:
            raise HpbuildError(
                codes.BAD_ORDER, place, f"{len(raw)} bytes of text, 1 to {MAX_TEXT} are possible"
            )
        return self.blob(raw), len(raw)

    def joined(self) -> bytes:
        """Everything appended."""
        return b"".join(self._parts)


def encode(order: Order) -> bytes:
    """The wire form of ``order``. Raises HpbuildError HP7301 when it cannot be written or the agent could
    not accept it."""
    if not 1 <= len(order.modules) <= MAX_MODULES:
        raise HpbuildError(codes.BAD_ORDER, order.id, f"{len(order.modules)} modules")
    writer = _Writer(_HEADER.size)
    try:
        records = b"".join(_module(writer, module) for module in order.modules)
        identity = writer.text(order.id, "the order's id")
        product = writer.text(order.product or order.id, "the order's product")
        modules = writer.blob(records)
        if writer.size > MAX_ORDER:
            raise HpbuildError(codes.BAD_ORDER, order.id, f"{writer.size} bytes, {MAX_ORDER} are possible")
        header = _HEADER.pack(
            MAGIC, VERSION, _HEADER.size, writer.size, order.sequence, order.window_limit_ms,
            order.bundle_sha256.raw, *identity, *product, modules, len(order.modules),
        )  # fmt: skip
    except struct.error as error:
        raise HpbuildError(codes.BAD_ORDER, order.id, f"a value does not fit its field: {error}") from None
    return header + writer.joined()


def _module(writer: _Writer, module: OrderModule) -> bytes:
    _check_expected(module)
    names = b"".join(_PAIR.pack(*writer.text(name, module.name)) for name in module.functions)
    redirections = b"".join(_redirection(module, item) for item in module.redirections)
    expected = b"".join(
        _EXPECTED.pack(item.rva, len(item.content), writer.blob(item.content)) for item in module.expected
    )
    return _MODULE.pack(
        *writer.text(module.name, "a module's name"),
        module.base, module.image_base, module.time_date_stamp, module.checksum, module.size_of_image,
        module.nominal.start, module.nominal.end, 0, module.patch_sha256.raw,
        writer.blob(module.patch_image), len(module.patch_image),
        *writer.numbers(module.fixups.addr64), *writer.numbers(module.fixups.rel32),
        *writer.numbers(module.fixups.addr32nb),
        writer.blob(redirections), len(module.redirections), writer.blob(names), len(module.functions),
        writer.blob(expected), len(module.expected),
        *writer.numbers(module.sites), *writer.numbers(module.call_targets),
    )  # fmt: skip


def _redirection(module: OrderModule, item: Redirection) -> bytes:
    """Only the bytes that change: a window may have been examined further than it is written."""
    if item.kind not in _KINDS:
        raise HpbuildError(codes.BAD_ORDER, module.name, f"{item.kind!r} is no kind of redirection")
    number, first, size = _KINDS[item.kind]
    begin = item.entry + first - item.window.start
    old, new = item.old[begin : begin + size], item.new[begin : begin + size]
    if begin < 0 or len(old) != size or len(new) != size:
        cause = f"the window {item.window} does not hold a {item.kind} of {item.entry:#x}"
        raise HpbuildError(codes.BAD_ORDER, module.name, cause)
    return _REDIRECTION.pack(item.function, number, item.entry, size, old, new)


def _check_expected(module: OrderModule) -> None:
    for before, after in pairwise(module.expected):
        if after.rva < before.rva + len(before.content):
            cause = f"the expected ranges at {before.rva:#x} and {after.rva:#x} overlap or are out of order"
            raise HpbuildError(codes.BAD_ORDER, module.name, cause)
    edges = [edge for item in module.expected for edge in (item.rva, item.rva + len(item.content))]
    at = 0
    for site in module.sites:
        while at < len(edges) and edges[at] <= site:
            at += 1
        if at < len(edges) and edges[at] < site + FIELD:
            cause = f"the relocated field at {site:#x} crosses the edge {edges[at]:#x} of an expected range"
            raise HpbuildError(codes.BAD_ORDER, module.name, cause)
