"""References that code and data make: columns of fields, how they name a target, and what for."""

from dataclasses import fields
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from hpbuild.dataclass import dataclass

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


class Form(IntEnum):
    """How a field names its target."""

    RELATIVE = 0
    """Signed, relative to the end of the instruction."""
    ABSOLUTE = 1
    """8 bytes, image base + target."""
    RVA = 2
    """4 bytes, the RVA of the target."""
    TABLE = 3
    """4 bytes, signed, relative to an origin."""
    END = 4
    """4 bytes, the RVA behind the last byte of the target."""


class Use(IntEnum):
    """What the reference is for: it decides which of two counterparts of a changed function is right."""

    BRANCH = 0
    ACCESS = 1
    ADDRESS = 2
    UNWIND = 3
    """An address in unwind data: only the exception dispatcher follows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Columns of int64, one element a field. ``site`` is the field's RVA in the fixed image, ``width`` its
    bytes, ``anchor`` the RVA that a RELATIVE value counts from (end of the instruction) or the origin of a
    TABLE value, ``form`` and ``use`` as above, ``row`` the index of the run it was found in."""

    site: Numbers
    width: Numbers
    anchor: Numbers
    form: Numbers
    use: Numbers
    row: Numbers

    def __len__(self) -> int:
        return len(self.site)


def join(parts: list[References]) -> References:
    """All columns of ``parts``, one after the other."""
    return References(
        **{
            column.name: np.concatenate([getattr(part, column.name) for part in parts])
            for column in fields(References)
        }
    )


def take(references: References, rows: Numbers) -> References:
    """Some of the references."""
    return References(
        **{column.name: getattr(references, column.name)[rows] for column in fields(References)}
    )


def signed(memory: Bytes, at: Numbers, width: int) -> Numbers:
    """Signed little-endian values of ``width`` bytes at offsets of a contiguous memory. Where they would
    leave it, the value is that of the last ``width`` bytes, or 0 when there are none."""
    last = len(memory) - width
    if last < 0:
        return np.zeros(len(at), dtype=np.int64)
    words = np.ndarray((last + 1,), dtype=f"<i{width}", buffer=memory, strides=(1,))
    return words[np.minimum(at, last)].astype(np.int64)


def distinct(values: Numbers) -> Numbers:
    """The values in ascending order, each once."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def among(values: Numbers, ordered: Numbers) -> npt.NDArray[np.bool_]:
    """By row: is the value one of ``ordered``, which ascend?"""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    found: npt.NDArray[np.bool_] = ordered.take(np.searchsorted(ordered, values), mode="clip") == values
    return found


def ascending(values: Numbers) -> Numbers:
    """Indices that put the values in ascending order, equal ones in the order they have. For RVAs and the
    like this is ten times faster than to ask numpy: it sorts numbers faster than their indices."""
    bits = len(values).bit_length()
    if not len(values) or values.min() < 0 or int(values.max()) >> (63 - bits):
        return np.argsort(values, kind="stable")
    ordered = values.astype(np.int64) << bits
    ordered |= np.arange(len(values))
    ordered.sort()
    ordered &= (1 << bits) - 1
    return ordered


def by_rows(*columns: Numbers) -> Numbers:
    """Indices that put rows in ascending order, by the first column, where that is the same by the next, and
    so on."""
    order = ascending(columns[0])
    first = columns[0][order]
    if (first[1:] == first[:-1]).any():
        order = np.arange(len(first))
        for column in reversed(columns):  # equal ones keep the order that the next columns give
            order = order[ascending(column[order])]
    return order
