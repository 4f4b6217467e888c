"""Packages in a process: their code lies in memory of its own, somewhere above the module.

Such a block is taken back to its nominal place, in a copy, together with the jumps that lead to it. Then the
module looks as a file does into which the package was written, and is compared as such a file is. A block
that is not in every page what the package becomes at that place is not taken back, and so fails that
comparison.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import HpbuildError
from hpbuild.manifest.model import Module, Redirection
from hpbuild.patchimage.format import GRANULARITY, HOTP, LOAD_CONFIG_SIZE, PAGE, REACH, SECTIONS, TEXT
from hpbuild.patchimage.place import place
from hpbuild.patchimage.redirection import ENTRY_JUMP, PAD_JUMP, redirected, written_range
from hpbuild.pe import hotpatch_format as native
from hpbuild.pe.access import LOAD_CONFIG
from hpbuild.pe.hotpatch_table import read_hotpatch_table
from hpbuild.pe.image import Image, Section
from hpbuild.pe.processes import Memory
from hpbuild.values import Interval, Rva

LARGEST_SEARCH = 1 << 28
"""How far above a jump's target another package's table is looked for, in bytes."""
LARGEST_TABLE = 1 << 26
_REL32 = struct.Struct("<i")
_NO_PATCH = ("", "the package's own patch image is unusable")
"""With nothing to compare with, the entries speak for themselves."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The image with a package's block at its nominal place; ``block`` are the addresses where it really is,
    None when there is none; ``wrong`` says how it is not what the package has there."""

    image: Image
    block: Interval | None
    wrong: str = ""


def settle_own(memory: Memory, base: int, image: Image, module: Module, patch: Image | None) -> Settled:
    """Take the block of the package itself back. ``image`` is the module as its file would be, ``base`` where
    it lies. Without windows that lead to one place above the module, ``image`` is returned as it is."""
    nominal = module.image.range
    deltas = [_delta(image, module, redirection) for redirection in module.redirections]
    counted = Counter(delta for delta in deltas if delta is not None)
    if not counted or (nominal.end <= image.size_of_image and 0 in counted):
        return Settled(image, None)
    delta = min(counted, key=lambda each: (-counted[each], each))
    if nominal.start < image.size_of_image:
        return Settled(image, None)
    differences = _differences(memory, base, delta, module, patch) if patch is not None else _NO_PATCH
    wrong = next((each for each in differences if each), "")
    if all(differences):
        # Nothing there is this package's: whatever the entries lead to, it is somebody else's.
        return Settled(image, None)
    content = np.zeros(nominal.end, dtype=np.uint8)
    content[: image.size_of_image] = image.memory
    for redirection, found in zip(module.redirections, deltas, strict=True):
        if found == delta:
            window = redirection.window
            content[window.start : window.end] = memoryview(redirection.new)
    sections = () if patch is None else patch.sections
    if patch is not None and not wrong:
        content[nominal.start : nominal.end] = patch.memory[nominal.start : nominal.end]
    content.flags.writeable = False
    settled = replace(
        image, memory=content, size_of_image=len(content), sections=(*image.sections, *sections)
    )
    start = base + nominal.start + delta
    return Settled(settled, Interval(start, start + len(nominal)), wrong)


def _delta(image: Image, module: Module, redirection: Redirection) -> int | None:
    """How far above its nominal place the window's jump expects the block; None without such a jump."""
    window = redirection.window
    if window.end > image.size_of_image:
        return None
    found = image.read(window.start, len(window))
    written = written_range(redirection.kind, redirection.entry)
    at = written.start - window.start
    (distance,) = _REL32.unpack_from(found, at + 1)
    target = module.functions[redirection.function].patch[0].start
    reached = written.start + 5 + distance
    try:
        expected = redirected(redirection.kind, redirection.entry, window, redirection.old, reached)
    except ValueError:
        return None
    delta = int(reached - target)
    possible = delta >= 0 and not delta % GRANULARITY and module.image.range.end + delta <= REACH
    return delta if possible and found == expected else None


def _differences(memory: Memory, base: int, delta: int, module: Module, patch: Image) -> tuple[str, ...]:
    """For every section of ``patch`` that is not writable, what is wrong with it ``delta`` above its nominal
    place, in words; '' when its pages hold exactly what they become there."""
    nominal = module.image.range
    linked = patch.memory[nominal.start : nominal.end].tobytes()
    sections = [section for section in patch.sections if not section.writable]
    try:
        wanted = place(linked, nominal, patch.image_base, module.fixups, base, delta)
    except HpbuildError as error:
        return (str(error),) * len(sections)
    found = []
    for section in sections:
        extent = Interval(section.rva, -(-section.range.end // PAGE) * PAGE)
        expected = wanted[extent.start - nominal.start : extent.end - nominal.start]
        found.append(_difference(memory, base + delta + extent.start, expected, section.name))
    return tuple(found)


def _difference(memory: Memory, at: int, expected: bytes, name: str) -> str:
    try:
        found = memory.read(at, len(expected))
    except HpbuildError as error:
        return f"section {name} of the new code: {error.finding.cause}"
    if found == expected:
        return ""
    differing = np.frombuffer(found, dtype=np.uint8) != np.frombuffer(expected, dtype=np.uint8)
    first, count = at + int(np.argmax(differing)), int(np.count_nonzero(differing))
    return f"{count} bytes of section {name} of the new code differ, the first at {first:#x}"


def settle_other(memory: Memory, base: int, image: Image, targets: Iterable[int]) -> Settled:
    """Take the block of another package back. ``targets`` are addresses in no module that jumps of the module
    lead to. Nothing vouches for such a block; it serves to name what is there (``lineage``)."""
    for target in sorted(set(targets)):
        found = _find_table(memory, base, image, target)
        if found is not None:
            return found
    return Settled(image, None)


def _find_table(memory: Memory, base: int, image: Image, target: int) -> Settled | None:
    """The block around ``target``, if a native hotpatch table lies above it, in memory without a gap."""
    first = target // PAGE * PAGE
    for page in range(first, first + LARGEST_SEARCH, PAGE):
        try:
            head = memory.read(page, LOAD_CONFIG_SIZE)
        except HpbuildError:
            return None
        size = int.from_bytes(head[:4], "little")
        at = int.from_bytes(head[native.LOAD_CONFIG_HOT_PATCH_OFFSET :][:4], "little") - LOAD_CONFIG_SIZE
        delta = page - base - at
        if size == LOAD_CONFIG_SIZE and at >= image.size_of_image and not at % PAGE and delta >= 0:
            return _with_table(memory, base, image, Interval(first, page), at)
    return None


def _with_table(memory: Memory, base: int, image: Image, above: Interval, at: int) -> Settled | None:
    """``image`` with the table at RVA ``at`` that was found at the address ``above.end``, and with the code
    from ``above.start`` on."""
    delta = above.end - base - at
    start = above.start - base - delta
    try:
        raw = memory.read(above.end, LOAD_CONFIG_SIZE + 8)
        size = int.from_bytes(raw[LOAD_CONFIG_SIZE + 4 :], "little")
        if delta % GRANULARITY or size > LARGEST_TABLE or at + LOAD_CONFIG_SIZE + size > REACH // 2:
            return None
        table = memory.read(above.end, LOAD_CONFIG_SIZE + size)
    except HpbuildError:
        return None
    if start < image.size_of_image:
        return None
    end = -(-(at + len(table)) // PAGE) * PAGE
    content = np.zeros(end, dtype=np.uint8)
    content[: image.size_of_image] = image.memory
    content[at : at + len(table)] = memoryview(table)
    sections = (_section(TEXT, start, at - start), _section(HOTP, at, len(table)))
    candidate = replace(image, memory=content, size_of_image=end, sections=(*image.sections, *sections))
    for entry, reached in _entries(candidate, at):
        _lead_back(content, image.size_of_image, entry, reached, delta)
    content.flags.writeable = False
    return Settled(candidate, Interval(above.start, above.end + len(table)))


def _section(name: str, rva: int, size: int) -> Section:
    return Section(
        name=name,
        rva=Rva(rva),
        virtual_size=size,
        raw_offset=0,
        raw_size=size,
        characteristics=SECTIONS[name],
    )


def _entries(image: Image, at: int) -> Sequence[tuple[int, int]]:
    """(entry, nominal target) of every redirection that the table at RVA ``at`` lists."""
    directories = list(image.directories)
    directories[LOAD_CONFIG] = Interval(at, at + LOAD_CONFIG_SIZE)
    try:
        table = read_hotpatch_table(replace(image, directories=tuple(directories)))
    except HpbuildError:
        return ()
    return [
        (int(record.written), int(record.other))
        for base in (table.bases if table else ())
        for chunk in base.chunks
        if chunk.kind == native.KIND_FUNCTION and not chunk.inverse
        for record in chunk.records
    ]


def _lead_back(
    content: "np.ndarray[tuple[int], np.dtype[np.uint8]]", end: int, entry: int, target: int, delta: int
) -> None:
    """Where the entry's jump leads to ``target`` + ``delta``, make it lead to ``target``."""
    for kind in (ENTRY_JUMP, PAD_JUMP):
        if entry < 5:
            return
        written = written_range(kind, entry)
        if written.end > end:
            continue
        found = content[written.start : written.end].tobytes()
        try:
            if found == redirected(kind, entry, written, found, target + delta):
                nominal = redirected(kind, entry, written, found, target)
                content[written.start : written.end] = memoryview(nominal)
        except ValueError:
            continue
