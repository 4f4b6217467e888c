"""Unwind records with the handlers that MSVC's functions have most often, many at once: the stack-cookie
handler alone, and __CxxFrameHandler4 of functions in one piece without try blocks.

What is told here is what ``exceptions.read_record`` tells of each; that one reads all others, and everything
about which the least is odd.
"""

import numpy as np

from hpbuild.code.columns import among
from hpbuild.code.exceptions_msvc import FUNC_INFO_MAGIC
from hpbuild.code.model import I64
from hpbuild.code.sections import Mask, in_code_sections, in_constants, section_numbers
from hpbuild.code.stack_cookies import HandlerForms, cookie_sizes
from hpbuild.dataclass import dataclass
from hpbuild.pe.access import values_at
from hpbuild.pe.image import Image

_ADDRESS = 4
_SCOPES, _LSDA = 4096, 0xFF
"""What the first word of scope tables is at most, and the first byte of GNU's tables."""
_BBT, _UNWIND_MAP, _RARE = 4, 8, 0x92
"""Flags of FuncInfo4; the last of what is rare: several pieces, try blocks, and what is reserved."""
_REACH = 16
"""Bytes in which the head of a table lies, or one of its rows."""
_MOST_ROWS = 64
"""Of an unwind map, whose rows are read one behind the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """The numbers of the records that were read, in no order; how many bytes each of them has from its
    handler's address on. Their fields, each an RVA, by record: numbers of the records, sites; the sites of
    those that name funclets."""

    numbers: I64
    sizes: I64
    owner: I64
    site: I64
    funclets: I64


def common_handlers(image: Image, handlers: I64, forms: HandlerForms) -> Handled:
    """Of the records that have the address of their handler at ``handlers``."""
    number = np.flatnonzero(handlers + 2 * _ADDRESS <= image.size_of_image)
    handler = values_at(image, handlers[number]).astype(np.int64)
    cookies = number[among(handler, _column(forms.numbers))]
    others = number[among(handler, _column(forms.others))]
    found = _read_maps(image, handlers[others] + _ADDRESS)
    compressed = others[found.fine]
    owner = np.concatenate([cookies, compressed, others[found.owner]])
    site = np.concatenate([handlers[cookies], handlers[compressed], found.site])
    order = np.argsort(owner, kind="stable")
    sizes = _ADDRESS + cookie_sizes(image, handlers[cookies] + _ADDRESS)
    return Handled(
        numbers=np.concatenate([cookies, compressed]),
        sizes=np.concatenate([sizes, np.full(len(compressed), 2 * _ADDRESS)]),
        owner=owner[order],
        site=site[order],
        funclets=found.funclets,
    )


def _column(numbers: frozenset[int]) -> I64:
    return np.array(sorted(numbers), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maps:
    """Which of the records were read; sites of their fields with the record's number, in no order but within
    a record; sites of those that name funclets."""

    fine: Mask
    owner: I64
    site: I64
    funclets: I64


def _read_maps(image: Image, places: I64) -> _Maps:
    """What FuncInfo4 and unwind maps hold that the words at ``places`` lead to."""
    start = values_at(image, places).astype(np.int64)
    fine = (start > _SCOPES) & (start & 0xFF != _LSDA) & in_constants(image, start, _REACH)
    fine[fine] = image.memory[start[fine]] & _RARE == 0
    fine[fine] = ~np.isin(values_at(image, start[fine]) & 0x1FFFFFFF, FUNC_INFO_MAGIC)
    number = np.flatnonzero(fine)
    header, at = image.memory[start[number]], start[number] + 1
    counted = header & _BBT != 0
    at[counted] = _numbers(image, at[counted])[1]
    mapped = header & _UNWIND_MAP != 0
    maps, states = at[mapped], at + _ADDRESS * mapped
    rows = _rows(image, values_at(image, maps).astype(np.int64))
    own = number[mapped]
    fine[number[_nowhere(image, states)]] = False
    fine[own[_nowhere(image, maps) | ~rows.fine]] = False
    named = values_at(image, states) != 0
    owner = np.concatenate([number, own, number[named], own[rows.owner]])
    site = np.concatenate([places[number], maps, states[named], rows.site])
    kept = fine[owner]
    funclets = rows.site[rows.funclet & fine[own[rows.owner]]]
    return _Maps(fine=fine, owner=owner[kept], site=site[kept], funclets=funclets)


def _nowhere(image: Image, sites: I64) -> Mask:
    """Where there is an address that lies in no section."""
    target = values_at(image, sites).astype(np.int64)
    found: Mask = (target != 0) & (section_numbers(image, target) < 0)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Which of the maps were read; sites of the addresses in their rows with the map's number, those of
    funclets behind the others, and which these are."""

    fine: Mask
    owner: I64
    site: I64
    funclet: Mask


def _rows(image: Image, starts: I64) -> _Rows:
    """The rows of the unwind maps at ``starts``: distance and kind (0 nothing, 1 and 2 a destructor and its
    object, 3 a funclet)."""
    fine = (starts > 0) & (starts + _REACH <= image.size_of_image)
    left, at = np.zeros_like(starts), starts.copy()
    left[fine], at[fine] = _numbers(image, starts[fine])
    fine &= left <= _MOST_ROWS
    active = np.flatnonzero(fine & (left > 0))
    none = np.zeros(0, dtype=np.int64)
    found = [(none, none, none)]
    while len(active):
        fine[active] = at[active] + _REACH <= image.size_of_image
        active = active[fine[active]]
        kind, behind = _numbers(image, at[active])
        kind &= 3
        some, objects = kind > 0, (kind == 1) | (kind == 2)
        found.append((active[some], behind[some], kind[some]))
        behind += _ADDRESS * some
        behind[objects] = _numbers(image, behind[objects])[1]
        at[active] = behind
        left[active] -= 1
        active = active[left[active] > 0]
    owner, site, kind = (np.concatenate(column) for column in zip(*found, strict=True))
    fine[owner[~in_code_sections(image, values_at(image, site).astype(np.int64))]] = False
    order = np.argsort(kind == 3, kind="stable")
    return _Rows(fine=fine, owner=owner[order], site=site[order], funclet=kind[order] == 3)


def _numbers(image: Image, at: I64) -> tuple[I64, I64]:
    """The compressed numbers at these places, five bytes in front of the end of the image or more, and where
    they end: ...0 1 byte, ..01 2, .011 3, 0111 4, 1111 5 bytes."""
    word = values_at(image, at)
    extra = _EXTRA[word & 15]
    long = values_at(image, at + 1).astype(np.int64)
    short = (word & _MASKS[extra]).astype(np.int64) >> (extra + 1)
    return np.where(extra == 4, long, short), at + extra + 1


_EXTRA = np.array([0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2, 0, 1, 0, 4], dtype=np.int64)
"""How many bytes follow the first of a compressed number, by its low four bits."""
_MASKS = np.array([0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0], dtype=np.uint32)
