"""From a module in memory back to the image that its file holds.

Relocations are taken off, so that the bytes are those of the preferred base. What the loader and the program
write (``hpbuild.pe.loader_writes``) is not in memory any more as the file has it; import slots are filled in
from the name tables, everything else from the file where the caller has one that it trusts. Either way
these places are listed as unknown: nothing that memory says about them was compared. What is in writable
sections is the process's own and is never the file's.
"""

import numpy as np
import numpy.typing as npt

from hpbuild.codes import process as codes
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.access import Words, merged_intervals
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.pe.image import Image
from hpbuild.pe.imports import import_extents, slot_tables
from hpbuild.pe.loader_writes import loader_written
from hpbuild.pe.preflight import MACHINE_X64, MAX_HEADERS, Headers, preflight
from hpbuild.pe.processes.model import PAGE, LoadedModule, Memory
from hpbuild.pe.relocations import relocation_sites
from hpbuild.values import Interval

_ANY_FILE = 1 << 62
"""Size of the file as far as a process tells: not at all."""
_MISSING: tuple[Code, ...] = (codes.MEMORY_UNREADABLE, codes.DUMP_INCOMPLETE)
_NAMED_GAPS = 8

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedImage:
    """A module of a process. ``image`` is as its file would be mapped at the preferred base, without the
    file's bytes (``data`` are the headers alone). ``base`` is where it lies, ``sites`` are the RVAs of its
    base relocations. ``unknown`` are the places in sections that are not writable of which memory does not
    tell what the file has there; ``writable`` the sections that the process may change. RVAs, ascending."""

    image: Image
    base: int
    sites: Words
    unknown: tuple[Interval, ...]
    writable: tuple[Interval, ...]

    @property
    def moved(self) -> int:
        """How far above its preferred base it lies; negative below it."""
        return self.base - self.image.image_base


def image_from_memory(
    memory: Memory, module: LoadedModule, *, preferred: int | None = None, file: Image | None = None
) -> MappedImage:
    """The image behind ``module``.

    ``preferred`` is the image base to assume where the headers in memory name the real one (Windows writes it
    there). ``file`` is the module's file when the caller knows that it is the one which was loaded; what the
    loader wrote is then looked up in it, and places that still hold the file's bytes are not unknown.
    Raises HpbuildError: as ``Memory.read`` when the headers or a section that is not writable cannot be read
    (all gaps are named); HP1010 to HP1032 for headers that are none; HP1111 to HP1115 for relocations;
    MAPPED_IMAGE when headers and list of modules disagree.
    """
    headers = preflight(header_bytes(memory, module), module.name, _ANY_FILE)
    optional = headers.optional
    if optional.size_of_image != module.size:
        cause = f"it has {optional.size_of_image:#x} bytes by its headers, {module.size:#x} by the list"
        raise HpbuildError(codes.MAPPED_IMAGE, module.name, cause)
    base = optional.image_base
    if base == module.base and preferred is not None:
        base = preferred
    raw = _mapped(memory, module, headers)
    image = _image(module, headers, base, raw)
    sites = relocation_sites(image) if file is None else relocation_sites(file)
    if len(sites) and int(sites[-1]) + 8 > len(raw):
        raise HpbuildError(codes.MAPPED_IMAGE, module.name, "its file has relocations outside it")
    _take_off(raw, sites, module.base - base)
    unknown = _fill_in(raw, image) if file is None else _fill_from(raw, image, file)
    raw.flags.writeable = False
    return MappedImage(
        image=image,
        base=module.base,
        sites=sites,
        unknown=unknown,
        writable=tuple(section.range for section in image.sections if section.writable),
    )


def header_bytes(memory: Memory, module: LoadedModule) -> bytes:
    """The headers of ``module`` as they are in memory, a page at least. Raises HpbuildError as
    ``Memory.read``."""
    first = memory.read(module.base, min(PAGE, module.size))
    offset = int.from_bytes(first[0x3C:0x40], "little")
    # SizeOfHeaders, once more checked by the pre-flight.
    at = min(offset, PAGE) + 24 + 60
    size = int.from_bytes(first[at : at + 4], "little")
    wanted = min(max(size, len(first)), MAX_HEADERS, module.size)
    return memory.read(module.base, wanted)


def _mapped(memory: Memory, module: LoadedModule, headers: Headers) -> Bytes:
    """The bytes of the image as they are in memory. Gaps in writable sections are zeros, others refuse."""
    found = np.zeros(module.size, dtype=np.uint8)
    gaps: list[Interval] = []
    error: HpbuildError | None = None
    parts = [(Interval(0, headers.optional.size_of_headers), False)]
    parts += [(section.range, section.writable) for section in headers.sections]
    for part, writable in parts:
        whole = Interval(part.start, min(-(-part.end // PAGE) * PAGE, module.size))
        try:
            found[whole.start : whole.end] = np.frombuffer(
                memory.read(module.base + whole.start, len(whole)), dtype=np.uint8
            )
        except HpbuildError as refused:
            if refused.code not in _MISSING:
                raise
            missing = _page_by_page(memory, module.base, whole, found)
            if not writable:
                error, gaps = error or refused, gaps + missing
    if error is not None and gaps:
        gaps = list(merged_intervals(gaps))
        named = ", ".join(str(gap) for gap in gaps[:_NAMED_GAPS])
        more = f" and {len(gaps) - _NAMED_GAPS} more" if len(gaps) > _NAMED_GAPS else ""
        cause = f"{module.name} at {module.base:#x}: not readable are the RVAs {named}{more}"
        raise HpbuildError(error.code, error.finding.place, cause)
    return found


def _page_by_page(memory: Memory, base: int, part: Interval, found: Bytes) -> list[Interval]:
    """Read what can be read of ``part`` and return the pages that cannot."""
    gaps = []
    for start in range(part.start, part.end, PAGE):
        end = min(start + PAGE, part.end)
        try:
            found[start:end] = np.frombuffer(memory.read(base + start, end - start), dtype=np.uint8)
        except HpbuildError as error:
            if error.code not in _MISSING:
                raise
            gaps.append(Interval(start, end))
    return gaps


def _image(module: LoadedModule, headers: Headers, base: int, raw: Bytes) -> Image:
    optional = headers.optional
    return Image(
        name=module.name,
        data=FileBytes.of(raw[: optional.size_of_headers].tobytes()),
        memory=raw,
        machine=MACHINE_X64,
        image_base=base,
        entry_point=optional.entry_point,
        time_date_stamp=headers.time_date_stamp,
        checksum=optional.checksum,
        size_of_image=optional.size_of_image,
        size_of_headers=optional.size_of_headers,
        section_alignment=optional.section_alignment,
        file_alignment=optional.file_alignment,
        linker_version=optional.linker_version,
        characteristics=headers.characteristics,
        dll_characteristics=optional.dll_characteristics,
        subsystem=optional.subsystem,
        sections=headers.sections,
        directories=headers.directories,
    )


def _take_off(raw: Bytes, sites: Words, moved: int) -> None:
    """Subtract ``moved`` from the 8-byte fields at ``sites``."""
    if not moved or not len(sites):
        return
    index = sites.astype(np.int64)[:, None] + np.arange(8)
    fields = np.ascontiguousarray(raw[index]).view("<u8").reshape(-1)
    fields -= np.uint64(moved % (1 << 64))
    raw[index] = fields.view(np.uint8).reshape(-1, 8)


def _fill_in(raw: Bytes, image: Image) -> tuple[Interval, ...]:
    """Import slots from the name tables; all that the loader may have written is unknown.

    The tables are the process's own word. Only slots outside code are filled, and only from sections that are
    not writable, which are compared themselves; so nothing can vouch for itself.
    """
    unknown = [place for place in loader_written(image) if _is_in(image, place)]
    try:
        tables, extents = slot_tables(image), import_extents(image)
    except HpbuildError:
        return tuple(unknown)
    sources = (*extents.tables, *(table.names for table in tables))
    for table in tables:
        fits = (
            not table.delay
            and _is_in(image, table.names)
            and _is_in(image, table.slots)
            and not any(source.overlaps(table.slots) for source in sources)
        )
        if fits:
            raw[table.slots.start : table.slots.end] = raw[table.names.start : table.names.end]
    return tuple(unknown)


def _is_in(image: Image, place: Interval) -> bool:
    """Whether ``place`` lies in one section that is neither writable nor code. What the loader writes into
    code stays there and differs: code is never filled in."""
    section = image.section_at(place.start)
    if section is None or not section.range.covers(place):
        return False
    return not section.writable and not section.executable


def _fill_from(raw: Bytes, image: Image, file: Image) -> tuple[Interval, ...]:
    """The file's bytes where the loader writes, and of these places those that held something else."""
    unknown = []
    for place in loader_written(file):
        if not _is_in(image, place):
            continue
        if not np.array_equal(raw[place.start : place.end], file.memory[place.start : place.end]):
            unknown.append(place)
            raw[place.start : place.end] = file.memory[place.start : place.end]
    return tuple(unknown)


def with_names(image: Image, names: tuple[str, ...]) -> Image:
    """``image`` with other section names: those longer than 8 bytes are in the file only, behind a number."""
    renamed = tuple(
        replace(section, name=name) if section.name.startswith("/") else section
        for section, name in zip(image.sections, names, strict=False)
    )
    return replace(image, sections=(*renamed, *image.sections[len(renamed) :]))
