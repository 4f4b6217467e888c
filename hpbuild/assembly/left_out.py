"""What a plan leaves out by choice, as the manifest says it: parts of one kind and shape together."""

from collections.abc import Iterable
from itertools import chain

from hpbuild.manifest import left_out as wire
from hpbuild.plan.model import LeftOut
from hpbuild.values import Interval


def left_out_groups(parts: Iterable[LeftOut]) -> tuple[wire.LeftOut, ...]:
    """The groups in the order of their keys, the parts of each by their entry."""
    groups: dict[tuple[str, str, bool, int, int], list[LeftOut]] = {}
    for part in sorted(parts, key=lambda part: part.fixed[0]):
        named = part.place != wire.address_name(part.what, part.fixed[0].start)
        key = (part.what, part.change, named, len(part.fixed), len(part.baseline))
        groups.setdefault(key, []).append(part)
    return tuple(
        wire.LeftOut(
            what=what,
            change=change,
            ranges=ranges,
            kept=kept,
            fixed=_borders(chain.from_iterable(part.fixed for part in group)),
            baseline=_borders(chain.from_iterable(part.baseline for part in group)),
            names=tuple(part.place for part in group) if named else (),
        )
        for (what, change, named, ranges, kept), group in sorted(groups.items(), key=lambda item: item[0])
    )


def _borders(ranges: Iterable[Interval]) -> tuple[int, ...]:
    return tuple([int(border) for run in ranges for border in (run.start, run.end)])
