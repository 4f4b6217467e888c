"""The certificate that the builder hands to the proof: which bytes correspond, and how.

Nothing in it is believed. Every row is checked against the bytes of both images; the rows only spare the
proof the search. All addresses are RVAs.
"""

from dataclasses import fields

import numpy as np
import numpy.typing as npt

from hpbuild.codes.prove import MALFORMED_CLAIMS
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.image import Image
from hpbuild.prove.references import by_rows

Rows = npt.NDArray[np.uint32]

ADDR32NB = 1
"""Field kind: 4 bytes that hold the RVA of the target."""
TABLE32 = 2
"""Field kind: 4 bytes that hold target - origin, signed."""
END32NB = 3
"""Field kind: 4 bytes that hold the RVA behind the last byte of a run: it belongs to the byte before."""

_COLUMNS = {"code": 3, "data": 3, "padding": 2, "metadata": 2, "opaque": 2, "fields": 4, "excluded": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What the builder says about the fixed image. Arrays of uint32, sorted by their first column.

    ``code`` (n, 3): (fixed start, fixed end, baseline start) of code fragments said to be identical.
    ``data`` (n, 3): the same for runs of data that correspond.
    ``padding``, ``metadata`` (n, 2): runs of the fixed image that are filler, or loader metadata.
    ``opaque`` (n, 2): data inside code, compared as data and not decoded.
    ``fields`` (n, 4): (fixed site, width, kind, origin) of fields in data or opaque runs that name an
    address without a base relocation; ``kind`` is ADDR32NB, END32NB or TABLE32 (then ``origin`` is the RVA
    that the value is relative to).
    ``excluded`` (n, 2): runs of the fixed image that are declared as not delivered.
    """

    code: Rows
    data: Rows
    padding: Rows
    metadata: Rows
    opaque: Rows
    fields: Rows
    excluded: Rows

    @classmethod
    def of(cls, **rows: list[tuple[int, ...]] | npt.NDArray[np.int64]) -> "Claims":
        """Claims from rows in any order, sorted; a name that is not given becomes an empty array."""
        arrays = {}
        for name, width in _COLUMNS.items():
            table = np.array(rows.get(name, []), dtype=np.int64).reshape(-1, width)
            arrays[name] = table[by_rows(*table.T)].astype(np.uint32)
        return cls(**arrays)


def check_claims(claims: Claims, fixed: Image, baseline: Image) -> None:
    """Raise HpbuildError (MALFORMED_CLAIMS) unless every array has its shape, is sorted and disjoint, and
    stays inside its image."""
    for field in fields(claims):
        rows: Rows = getattr(claims, field.name)
        width = _COLUMNS[field.name]
        if rows.dtype != np.uint32 or rows.ndim != 2 or rows.shape[1] != width:
            raise HpbuildError(MALFORMED_CLAIMS, f"claims.{field.name}", f"not an array of {width} uint32")
        starts = rows[:, 0].astype(np.int64)
        sizes = rows[:, 1].astype(np.int64)
        ends = starts + sizes if field.name == "fields" else sizes
        _check_runs(f"claims.{field.name}", starts, ends, fixed.size_of_image)
        if width == 3:
            _check_inside(f"claims.{field.name}", rows[:, 2] + (ends - starts), baseline.size_of_image)
    _check_fields(claims.fields)


def _check_runs(place: str, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], limit: int) -> None:
    if bool(np.any(starts >= ends)):
        raise HpbuildError(MALFORMED_CLAIMS, place, "a run is empty")
    if bool(np.any(ends[:-1] > starts[1:])):
        row = int(np.argmax(ends[:-1] > starts[1:]))
        raise HpbuildError(MALFORMED_CLAIMS, place, f"rows {row} and {row + 1} overlap or are not sorted")
    _check_inside(place, ends, limit)


def _check_inside(place: str, ends: npt.NDArray[np.int64], limit: int) -> None:
    if len(ends) and int(ends.max()) > limit:
        raise HpbuildError(MALFORMED_CLAIMS, place, f"a run ends at {int(ends.max()):#x}, outside the image")


def _check_fields(rows: Rows) -> None:
    if bool(np.any(rows[:, 1] != 4)) or bool(np.any(~np.isin(rows[:, 2], (ADDR32NB, TABLE32, END32NB)))):
        raise HpbuildError(MALFORMED_CLAIMS, "claims.fields", "a field has an unknown width or kind")
