"""What was found in many runs of code, as columns."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hpbuild.code.columns import members
from hpbuild.code.model import I64, U32
from hpbuild.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Scanned:
    """Columns of references as in ``ReferenceColumns``: those of run ``n`` are the rows
    ``[first[n], ends[n])``; ``sizes`` the bytes of each run up to the first that is no instruction;
    ``falls_through`` and ``image_base`` (by run) as in ``Run``; ``wide_at`` are the RVAs of all instructions
    that may have a displacement which is an RVA, in no order."""

    site: U32
    target: U32
    meta: U32
    first: I64
    ends: I64
    sizes: I64
    falls_through: npt.NDArray[np.bool_]
    image_base: dict[int, frozenset[int]]
    wide_at: U32

    def only(self, chosen: npt.NDArray[np.bool_]) -> "Scanned":
        """The ``chosen`` runs; ``wide_at`` stays as it is."""
        first, ends = self.first[chosen], self.ends[chosen]
        rows, counts, number = members(first, ends), np.cumsum(ends - first), np.cumsum(chosen) - 1
        return Scanned(
            site=self.site[rows],
            target=self.target[rows],
            meta=self.meta[rows],
            first=counts - (ends - first),
            ends=counts,
            sizes=self.sizes[chosen],
            falls_through=self.falls_through[chosen],
            image_base={int(number[run]): found for run, found in self.image_base.items() if chosen[run]},
            wide_at=self.wide_at,
        )


_NO_RVAS, _NO_RUNS = np.zeros(0, dtype=np.uint32), np.zeros(0, dtype=np.int64)
_NOTHING_SCANNED = Scanned(
    site=_NO_RVAS, target=_NO_RVAS, meta=_NO_RVAS, first=_NO_RUNS, ends=_NO_RUNS, sizes=_NO_RUNS,
    falls_through=np.zeros(0, dtype=np.bool_), image_base={}, wide_at=_NO_RVAS,
)  # fmt: skip


def joined(parts: Sequence[Scanned]) -> Scanned:
    """The runs of all ``parts``, those of one part behind those of the other."""
    parts = parts or [_NOTHING_SCANNED]
    if len(parts) == 1:
        return parts[0]
    rows = np.cumsum([0, *(len(part.site) for part in parts[:-1])]).tolist()
    runs = np.cumsum([0, *(len(part.sizes) for part in parts[:-1])]).tolist()
    return Scanned(
        site=np.concatenate([part.site for part in parts]),
        target=np.concatenate([part.target for part in parts]),
        meta=np.concatenate([part.meta for part in parts]),
        first=np.concatenate([part.first + before for part, before in zip(parts, rows, strict=True)]),
        ends=np.concatenate([part.ends + before for part, before in zip(parts, rows, strict=True)]),
        sizes=np.concatenate([part.sizes for part in parts]),
        falls_through=np.concatenate([part.falls_through for part in parts]),
        image_base={
            before + run: found
            for part, before in zip(parts, runs, strict=True)
            for run, found in part.image_base.items()
        },
        wide_at=np.concatenate([part.wide_at for part in parts]),
    )


def in_order(scanned: Scanned, numbers: I64) -> Scanned:
    """The runs in the order of their ``numbers`` (each of those from 0 on once)."""
    order = np.empty_like(numbers)
    order[numbers] = np.arange(len(numbers))
    return Scanned(
        site=scanned.site,
        target=scanned.target,
        meta=scanned.meta,
        first=scanned.first.take(order),
        ends=scanned.ends.take(order),
        sizes=scanned.sizes.take(order),
        falls_through=scanned.falls_through.take(order),
        image_base={int(numbers[run]): found for run, found in scanned.image_base.items()},
        wide_at=scanned.wide_at,
    )
