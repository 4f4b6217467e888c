"""Data of MSVC's stack-cookie handler alone: where in the frame the cookie lies.

Source: the structure GS_HANDLER_DATA of gshandler.cpp in the C runtime (cookie offset with three flags in its
low bits; with the third of them the offset of the aligned base, and the alignment), Microsoft "x64 exception
handling" (unwind codes).

An offset is a plain number and must never be taken for an address. No flag tells whose data it is, so the
handler is judged by all its records: the cookie of a frame lies inside of what the prolog allocated.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hpbuild.code.exceptions_msvc import Language
from hpbuild.pe.image import Image

_HANDLED = 3
"""UNW_FLAG_EHANDLER and UNW_FLAG_UHANDLER."""
_WRAPS, _ALIGNED, _FLAGS = 3, 4, 7
"""Low bits of the offset: the wrapped handler's flags (none wrapped: 0), and an aligned frame."""
_SLOTS = (1, 2, 1, 1, 2, 3, 2, 3, 2, 3, 1)
"""Slots of each unwind code, UWOP_PUSH_NONVOL to UWOP_PUSH_MACHFRAME."""
_PUSH, _LARGE, _SMALL, _EPILOG, _MACHINE = 0, 1, 2, 6, 10
_SLOT, _MACHINE_FRAME = 8, 40


@dataclass(frozen=True, slots=True)
class HandlerForms:
    """RVAs of handlers by what follows their address: ``numbers`` take the place of a cookie in every record,
    ``others`` have a record whose data cannot be one."""

    numbers: frozenset[int] = frozenset()
    others: frozenset[int] = frozenset()


NOTHING_KNOWN = HandlerForms()


def handler_forms(image: Image, records: Iterable[int]) -> HandlerForms:
    """Judge the handlers of the unwind records at these RVAs; those outside of the image are left out."""
    small: set[int] = set()
    others: set[int] = set()
    for rva in records:
        try:
            place = _handler_place(image, rva)
            if place is None:
                continue
            handler = image.u32(place)
            if not in_frame(image, rva, place + 4):
                others.add(handler)
            elif image.u32(place + 4) < _lowest(image):
                small.add(handler)
        except IndexError:
            continue
    return HandlerForms(numbers=frozenset(small - others), others=frozenset(others))


def _handler_place(image: Image, rva: int) -> int | None:
    """Where the record at ``rva`` has its handler's address; None when it has none."""
    head, _, count, _ = image.read(rva, 4)
    return rva + 4 + 2 * (count + count % 2) if head >> 3 & 7 in (1, 2, _HANDLED) else None


def in_frame(image: Image, record: int, place: int) -> bool:
    """The words at ``place`` can be the place of a cookie in the frame that the unwind record describes."""
    value = image.u32(place)
    room = allocated(image, record)
    if value & _WRAPS or not value & ~_FLAGS < room:
        return False
    if not value & _ALIGNED:
        return True
    base, alignment = image.u32(place + 4), image.u32(place + 8)
    return base <= room and alignment.bit_count() == 1 and alignment <= room


def allocated(image: Image, record: int) -> int:
    """Bytes of stack that the unwind codes of the record at RVA ``record`` allocate; 0 when they are damaged.

    Raises IndexError when the record leaves the image.
    """
    head, _, count, _ = image.read(record, 4)
    version = head & 7
    at, stop, total = record + 4, record + 4 + 2 * count, 0
    while at < stop:
        operation, information = (byte := image.read(at, 2)[1]) & 15, byte >> 4
        if operation >= len(_SLOTS) or (operation == _LARGE and information > 1):
            return 0
        slots = _SLOTS[operation] + (operation == _LARGE and information)
        if operation == _EPILOG and version == 2:  # one slot for each epilog
            slots = 1
        if at + 2 * slots > stop:
            return 0
        if operation == _PUSH:
            total += _SLOT
        elif operation == _SMALL:
            total += _SLOT * information + _SLOT
        elif operation == _LARGE:
            number = int.from_bytes(image.read(at + 2, 4 if information else 2), "little")
            total += number if information else _SLOT * number
        elif operation == _MACHINE:
            total += _MACHINE_FRAME + _SLOT * information
        at += 2 * slots
    return total


def cookie_words(image: Image, place: int) -> Language:
    """The place of a cookie at ``place``: one word, or three in an aligned frame. No address in them."""
    return Language(12 if image.u32(place) & _ALIGNED else 4, (), ())


def stack_cookie(image: Image, place: int) -> Language | None:
    """What can only be a number, for it lies below everything that has an address: the place of a cookie."""
    return cookie_words(image, place) if image.u32(place) < _lowest(image) else None


def _lowest(image: Image) -> int:
    """The lowest RVA behind the headers that anything can have."""
    return int(min((section.rva for section in image.sections), default=image.size_of_headers))
