"""Unwind records with their language-specific data: how long each is and which fields name addresses.

Sources: Microsoft "x64 exception handling" (UNWIND_INFO, scope table), the Itanium C++ ABI exception
tables as GCC and LLVM emit them (LSDA, DWARF pointer encodings).
"""

from hpbuild.code.exceptions_msvc import Field, Language, func_info, func_info4
from hpbuild.code.model import FieldForm
from hpbuild.code.stack_cookies import NOTHING_KNOWN, HandlerForms, cookie_words, in_frame, stack_cookie
from hpbuild.dataclass import dataclass
from hpbuild.pe.image import Image

_EHANDLER, _UHANDLER, _CHAININFO = 1, 2, 4
_OMIT, _ABSPTR, _PCREL_SDATA4, _INDIRECT_PCREL_SDATA4 = 0xFF, 0x00, 0x1B, 0x9B
_MAX_SCOPES = 4096


@dataclass(frozen=True, slots=True)
class Record:
    """One UNWIND_INFO at ``rva``, ``size`` bytes with its language data as far as it is understood.
    ``known`` is False when language data is there whose form hpbuild cannot move; it is ``doubtful`` when its
    words may be addresses or the place of a stack cookie as well."""

    rva: int
    size: int
    fields: tuple[Field, ...]
    known: bool
    funclets: tuple[int, ...] = ()
    """Sites of the fields that name code which runs on this function's frame: handlers and filters."""
    doubtful: bool = False


def read_record(image: Image, rva: int, forms: HandlerForms = NOTHING_KNOWN) -> Record | None:
    """The record at ``rva``; None when it leaves the image. ``forms`` is what the other records tell of its
    handler."""
    try:
        return _read_record(image, rva, forms)
    except IndexError:
        return None


def _read_record(image: Image, rva: int, forms: HandlerForms) -> Record:
    head = image.read(rva, 4)
    flags = head[0] >> 3
    size = 4 + 2 * (head[2] + head[2] % 2)
    if flags & _CHAININFO:
        begin_field, end_field, unwind_field = (
            _rva_field(image, rva + size + offset) for offset in (0, 4, 8)
        )
        return Record(rva, size + 12, (begin_field, _end(end_field), unwind_field), True)
    if not flags & (_EHANDLER | _UHANDLER):
        return Record(rva, size, (), True)
    handler = _rva_field(image, rva + size)
    place = rva + size + 4
    found, doubtful = _language(image, rva, place, forms)
    if found is None:
        return Record(rva, size + 4, (handler,), False, doubtful=doubtful)
    return Record(rva, size + 4 + found.size, (handler, *found.fields), True, found.funclets)


def _language(image: Image, rva: int, place: int, forms: HandlerForms) -> tuple[Language | None, bool]:
    """The language data at ``place`` in the first form that it has, None for no known one; and whether it may
    be something else as well."""
    handler, first = image.u32(place - 4), image.u32(place)
    if handler in forms.numbers:
        return cookie_words(image, place), False
    # What the first word tells at once is not tried: of many records in one form that is most of the work.
    found = _scope_table(image, place) if 1 <= first <= _MAX_SCOPES else None
    if found is None and first & 0xFF == _OMIT:
        found = _lsda(image, place)
    if found is None and first % 4 == 0:
        found = func_info(image, place)
    if found is None:
        found = stack_cookie(image, place)
    if found is not None:
        return found, False
    if handler not in forms.others and in_frame(image, rva, place):
        return None, True
    return func_info4(image, place), False


def _rva_field(image: Image, site: int) -> Field:
    return (site, image.u32(site), FieldForm.ADDR32NB, 0)


def _end(field: Field) -> Field:
    return (field[0], field[1], FieldForm.END32NB, field[3])


def _executable(image: Image, rva: int) -> bool:
    section = image.section_at(rva)
    return section is not None and section.executable


def _scope_table(image: Image, place: int) -> Language | None:
    """C scope table: count, then rows (begin, end, filter or 1, target or 0), all RVAs."""
    count = image.u32(place)
    if not 1 <= count <= _MAX_SCOPES:
        return None
    fields: list[Field] = []
    filters: list[int] = []
    for row in range(place + 4, place + 4 + 16 * count, 16):
        first, last, handler, target = (image.u32(row + offset) for offset in (0, 4, 8, 12))
        if not (first < last and _executable(image, first) and _executable(image, last - 1)):
            return None
        if handler != 1 and not _executable(image, handler):
            return None
        if target and not _executable(image, target):
            return None
        fields += [_rva_field(image, row), _end(_rva_field(image, row + 4))]
        if handler != 1:
            fields.append(_rva_field(image, row + 8))
            filters.append(row + 8)
        fields += [_rva_field(image, row + 12)] if target else []
    return Language(4 + 16 * count, tuple(fields), tuple(filters))


class _Cursor:
    """Reads the variable-length numbers of an LSDA (DWARF, section "Variable Length Data"). IndexError behind
    the image, and in front of it."""

    __slots__ = ("_octets", "at")

    def __init__(self, image: Image, at: int) -> None:
        if at < 0:
            raise IndexError(f"{at:#x} leaves the image")
        self._octets = image.memory.data
        self.at = at

    def byte(self) -> int:
        self.at += 1
        return self._octets[self.at - 1]

    def uleb(self) -> int:
        value = shift = 0
        while shift < 63:
            byte = self._octets[self.at]
            self.at += 1
            if byte < 0x80:
                return value | byte << shift
            value |= (byte & 0x7F) << shift
            shift += 7
        raise IndexError("a ULEB128 number is too long")

    def sleb(self) -> int:
        value = shift = 0
        while shift < 63:
            byte = self._octets[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - (1 << shift) if byte & 0x40 else value
        raise IndexError("an SLEB128 number is too long")


def _lsda(image: Image, place: int) -> Language | None:
    """GCC-style exception table: header, call sites, actions, type table (grows downwards)."""
    cursor = _Cursor(image, place)
    if cursor.byte() != _OMIT:
        return None
    encoding = cursor.byte()
    if encoding not in (_OMIT, _ABSPTR, _PCREL_SDATA4, _INDIRECT_PCREL_SDATA4):
        return None
    types = 0
    if encoding != _OMIT:
        distance = cursor.uleb()
        types = cursor.at + distance
    if cursor.byte() != 0x01:  # call sites in ULEB128
        return None
    sites_end = cursor.uleb()
    sites_end += cursor.at
    if sites_end - place > 1 << 20 or (types and not sites_end <= types <= place + (1 << 20)):
        return None
    actions = set()
    while cursor.at < sites_end:
        for _ in range(3):
            cursor.uleb()
        action = cursor.uleb()
        if action:
            actions.add(sites_end + action - 1)
    if cursor.at != sites_end:
        return None
    end, filters, specifications = _actions(image, actions, sites_end)
    if not types:
        return Language(end - place, (), ())
    return _types(image, place, types, encoding, filters, specifications)


def _actions(image: Image, starts: set[int], table: int) -> tuple[int, int, int]:
    """Follow every action chain: (end of the action table, highest type filter, lowest negative one)."""
    end, highest, lowest = table, 0, 0
    pending, seen = sorted(starts), set[int]()
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        cursor = _Cursor(image, at)
        kind = cursor.sleb()
        place = cursor.at
        step = cursor.sleb()
        end = max(end, cursor.at)
        highest, lowest = max(highest, kind), min(lowest, kind)
        if step and len(seen) < 65536:
            pending.append(place + step)
    return end, highest, lowest


def _types(image: Image, place: int, types: int, encoding: int, filters: int, lowest: int) -> Language | None:
    """Fields of the type table that ends at ``types``; exception specifications follow it."""
    width = 8 if encoding == _ABSPTR else 4
    if filters * width > types - place:
        return None
    fields: list[Field] = []
    for index in range(1, filters + 1):
        site = types - index * width
        if width == 4 and image.u32(site):
            value = int.from_bytes(image.read(site, 4), "little", signed=True)
            fields.append((site, site + value, FieldForm.TABLE32, site))
    end = types
    if lowest < 0:
        cursor = _Cursor(image, types - lowest - 1)
        while cursor.uleb():
            pass
        end = cursor.at
    return Language(end - place, tuple(fields), ())
