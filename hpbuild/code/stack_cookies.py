"""Data of MSVC's stack-cookie handler alone: where in the frame the cookie lies.

Source: the structure GS_HANDLER_DATA of gshandler.cpp in the C runtime (cookie offset with three flags in its
low bits; with the third of them the offset of the aligned base, and the alignment), Microsoft "x64 exception
handling" (unwind codes).

An offset is a plain number and must never be taken for an address. No flag tells whose data it is, so the
handler is judged by all its records: the cookie of a frame lies inside of what the prolog allocated.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from hpbuild.code.exceptions_msvc import Language
from hpbuild.code.model import I64, U8
from hpbuild.dataclass import dataclass
from hpbuild.pe.access import values_at
from hpbuild.pe.image import Image

_HANDLED = 3
"""UNW_FLAG_EHANDLER and UNW_FLAG_UHANDLER."""
_WRAPS, _ALIGNED, _FLAGS = 3, 4, 7
"""Low bits of the offset: the wrapped handler's flags (none wrapped: 0), and an aligned frame."""
_SIZE, _ALIGNED_SIZE = 4, 12
"""Bytes of the data."""
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
    rvas = np.fromiter(records, dtype=np.int64)
    rvas = rvas[rvas + 4 <= image.size_of_image]
    rvas = rvas[np.isin(image.memory[rvas] >> 3 & 7, (1, 2, _HANDLED))]
    codes = image.memory[rvas + 2].astype(np.int64)
    places = rvas + 4 + 2 * (codes + codes % 2)
    inside = places + 8 <= image.size_of_image
    rvas, places = rvas[inside], places[inside]
    handlers, fits = values_at(image, places), _in_frames(image, rvas, places + 4)
    small = (fits == _FITS) & (values_at(image, places + 4) < _lowest(image))
    others = frozenset(handlers[fits == _NO_PLACE].tolist())
    return HandlerForms(numbers=frozenset(handlers[small].tolist()) - others, others=others)


def in_frame(image: Image, record: int, place: int) -> bool:
    """The words at ``place`` can be the place of a cookie in the frame that the unwind record describes.

    Raises IndexError when one of them leaves the image.
    """
    image.u32(place)
    fits = int(_in_frames(image, np.array([record]), np.array([place]))[0])
    if fits == _OUTSIDE:
        raise IndexError(f"the words at {place:#x} leave the image")
    return fits == _FITS


_NO_PLACE, _FITS, _OUTSIDE = 0, 1, 2


def _in_frames(image: Image, records: I64, places: I64) -> U8:
    """The same of many: whether the words at ``places``, the first of which lies in the image, are no place
    of a cookie, may be one, or leave the image."""
    value, room = values_at(image, places).astype(np.int64), _allocated(image, records)
    fits: npt.NDArray[np.bool_] = (value & _WRAPS == 0) & (value & ~_FLAGS < room)
    found = fits.astype(np.uint8)
    aligned = np.flatnonzero(fits & (value & _ALIGNED != 0))
    found[aligned] = _OUTSIDE
    aligned = aligned[places[aligned] + 12 <= image.size_of_image]
    base = values_at(image, places[aligned] + 4).astype(np.int64)
    alignment = values_at(image, places[aligned] + 8).astype(np.int64)
    one_bit = (alignment != 0) & (alignment & (alignment - 1) == 0)
    found[aligned] = (base <= room[aligned]) & one_bit & (alignment <= room[aligned])
    return found


def allocated(image: Image, record: int) -> int:
    """Bytes of stack that the unwind codes of the record at RVA ``record`` allocate; 0 when they are damaged.

    Raises IndexError when the record leaves the image.
    """
    count = image.read(record, 4)[2]
    image.read(record, 4 + 2 * count)
    return int(_allocated(image, np.array([record]))[0])


def _allocated(image: Image, records: I64) -> I64:
    """The same of many records, which lie in the image: of all of them one unwind code after the other."""
    version, total = image.memory[records] & 7, np.zeros(len(records), dtype=np.int64)
    at = records + 4
    stop = at + 2 * image.memory[records + 2].astype(np.int64)
    rows = np.flatnonzero(at < stop)
    while len(rows):
        byte = image.memory[at[rows] + 1].astype(np.int64)
        operation, information = byte & 15, byte >> 4
        slots = np.array(_SLOTS)[np.minimum(operation, _MACHINE)] + (operation == _LARGE) * information
        slots[(operation == _EPILOG) & (version[rows] == 2)] = 1  # one slot for each epilog
        fine = (operation <= _MACHINE) & ((operation != _LARGE) | (information <= 1))
        fine &= at[rows] + 2 * slots <= stop[rows]
        total[rows[~fine]] = 0
        rows, operation, information, slots = (
            column[fine] for column in (rows, operation, information, slots)
        )
        total[rows] += _taken(image, at[rows], operation, information)
        at[rows] += 2 * slots
        rows = rows[at[rows] < stop[rows]]
    return total


def _taken(image: Image, at: I64, operation: I64, information: I64) -> I64:
    """Bytes of stack that single unwind codes allocate."""
    taken = np.where(operation == _PUSH, _SLOT, 0)
    taken[operation == _SMALL] = _SLOT * information[operation == _SMALL] + _SLOT
    taken[operation == _MACHINE] = _MACHINE_FRAME + _SLOT * information[operation == _MACHINE]
    short = (operation == _LARGE) & (information == 0)
    taken[short] = _SLOT * values_at(image, at[short] + 2, "<u2").astype(np.int64)
    long = (operation == _LARGE) & (information == 1)
    taken[long] = values_at(image, at[long] + 2)
    return taken


def cookie_words(image: Image, place: int) -> Language:
    """The place of a cookie at ``place``: one word, or three in an aligned frame. No address in them."""
    return Language(_ALIGNED_SIZE if image.u32(place) & _ALIGNED else _SIZE, (), ())


def cookie_sizes(image: Image, places: I64) -> I64:
    """The bytes of each at many."""
    return np.where(values_at(image, places) & _ALIGNED, _ALIGNED_SIZE, _SIZE)


def stack_cookie(image: Image, place: int) -> Language | None:
    """What can only be a number, for it lies below everything that has an address: the place of a cookie."""
    return cookie_words(image, place) if image.u32(place) < _lowest(image) else None


def _lowest(image: Image) -> int:
    """The lowest RVA behind the headers that anything can have: sections are ascending."""
    return int(image.sections[0].rva if image.sections else image.size_of_headers)
