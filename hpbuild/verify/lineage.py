"""Another package of the same line, written into an installed file: recognised by its native hotpatch table.

A patch image keeps its table in its section ``.hotp``: the load configuration at the section's first byte,
the table behind it (``hpbuild.patchimage.format``). Written into a file, that section lies above the
baseline's own image. The table names the baseline by TimeDateStamp, CheckSum and SHA-256, has a sequence
number, and lists every entry that it redirects with the entry's first four bytes; a package of the same
line names the same baseline with another sequence.

Nothing here is a proof of origin: whoever can write the file can write such a table. The answer is used to
say what is there and never to say that a file is good.
"""

from collections.abc import Iterable, Sequence

from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import HpbuildError
from hpbuild.manifest.model import Pin, Redirection
from hpbuild.patchimage.format import HOTP, LOAD_CONFIG_SIZE, REACH
from hpbuild.patchimage.redirection import ENTRY_JUMP, PAD_JUMP, redirected, written_range
from hpbuild.pe import hotpatch_format as native
from hpbuild.pe.access import LOAD_CONFIG
from hpbuild.pe.hotpatch_chunks import HotPatchRecord
from hpbuild.pe.hotpatch_table import HotPatchBase, read_hotpatch_table
from hpbuild.pe.image import Image, Section
from hpbuild.values import Interval
from hpbuild.verify.windows import Window, WindowState


@dataclass(frozen=True, slots=True)
class Jump:
    """A redirection that the file holds: the bytes of ``written`` (RVAs)."""

    written: Interval
    content: bytes


@dataclass(frozen=True, slots=True)
class OtherPackage:
    """A package of the same line in a file: its sequence, and all its redirections as they are."""

    sequence: int
    jumps: tuple[Jump, ...]

    def explains(self, window: Window) -> bool:
        """True when ``window`` holds the baseline's bytes, but for a redirection of this package."""
        if window.state is WindowState.OLD:
            return True
        extent = window.redirection.window
        return any(
            extent.covers(jump.written) and window.found == _over(window.redirection.old, extent, jump)
            for jump in self.jumps
        )

    def touches(self, ranges: Iterable[Interval]) -> bool:
        """True when one of ``ranges`` holds bytes that this package changed."""
        return any(jump.written.overlaps(extent) for extent in ranges for jump in self.jumps)

    def remains_in(self, extent: Interval, redirections: Iterable[Redirection]) -> bool:
        """True when bytes of this package lie in ``extent`` outside the windows of ``redirections``."""
        windows = [item.window for item in redirections if item.window.overlaps(extent)]
        return any(
            jump.written.overlaps(extent) and not any(window.covers(jump.written) for window in windows)
            for jump in self.jumps
        )


def find_other(pin: Pin, image: Image, sequence: int) -> OtherPackage | None:
    """The one package for the build ``pin`` whose sequence is not ``sequence`` and that is wholly in effect
    in ``image``: its table is there and each entry which it lists leads to the place that it says. None
    when there is no such package, or more than one table."""
    tables = [_table(image, section) for section in _added(pin, image) if section.name == HOTP]
    if len(tables) != 1 or tables[0] is None:
        return None
    base = tables[0]
    if base.sequence == sequence or not _names(base, pin):
        return None
    records = [
        record
        for chunk in base.chunks
        if chunk.kind == native.KIND_FUNCTION and not chunk.inverse
        for record in chunk.records
    ]
    jumps = [_jump(pin, image, record) for record in records]
    found = [jump for jump in jumps if jump is not None]
    if not jumps or len(found) != len(jumps):
        return None
    return OtherPackage(base.sequence, tuple(found))


def all_explained(other: OtherPackage, windows: Sequence[Window]) -> bool:
    """True when every window holds the baseline's bytes or leads to the other package's code."""
    return all(other.explains(window) for window in windows)


def _added(pin: Pin, image: Image) -> list[Section]:
    return [section for section in image.sections if section.rva >= pin.size_of_image]


def _table(image: Image, section: Section) -> HotPatchBase | None:
    """The only base image of the table in ``section``, read as strictly as any; None when it is none."""
    extent = Interval(section.rva, section.rva + LOAD_CONFIG_SIZE)
    directories = list(image.directories)
    directories[LOAD_CONFIG] = extent
    if extent.end > image.size_of_image:
        return None
    try:
        table = read_hotpatch_table(replace(image, directories=tuple(directories)))
    except HpbuildError:
        return None
    if table is None or len(table.bases) != 1 or table.bases[0].sequence != table.sequence:
        return None
    return table.bases[0]


def _names(base: HotPatchBase, pin: Pin) -> bool:
    """True when the table was written for the build ``pin``."""
    return (
        base.hashes is not None
        and base.hashes.sha256 == pin.sha256
        and (base.original_time_date_stamp, base.original_checksum) == (pin.time_date_stamp, pin.checksum)
    )


def _jump(pin: Pin, image: Image, record: HotPatchRecord) -> Jump | None:
    """The redirection of ``record`` if ``image`` holds it in one of the two forms that packages write."""
    entry, target = int(record.written), int(record.other)
    host = image.section_at(target) if target < image.size_of_image else None
    if host is None or not host.executable or not pin.size_of_image <= target < REACH:
        return None
    for kind in (ENTRY_JUMP, PAD_JUMP):
        written = written_range(kind, entry)
        if written.end > pin.size_of_image:
            continue
        found = image.read(written.start, len(written))
        if found == redirected(kind, entry, written, found, target):
            return Jump(written, found)
    return None


def _over(old: bytes, window: Interval, jump: Jump) -> bytes:
    """``old``, the bytes of ``window``, with ``jump`` written over them."""
    begin = jump.written.start - window.start
    return old[:begin] + jump.content + old[begin + len(jump.content) :]
