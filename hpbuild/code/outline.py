"""What runs of gaps are made of, before anything is decoded: much int3, and other bytes."""

import numpy as np

from hpbuild.code.columns import picked
from hpbuild.code.cutter import Flags
from hpbuild.code.model import I64, U8
from hpbuild.dataclass import dataclass
from hpbuild.pe.access import values_at
from hpbuild.pe.image import Image

_INT3, _NEAR_JUMP = 0xCC, 0xE9
JUMP = 5
"""Bytes of a jump with a 32-bit distance."""
_MUCH = 4
"""Bytes of int3 that hardly are operands: they are told apart also between other bytes."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Of ascending runs: ``filler`` are all int3 and not named. ``jumps`` hold one jump with a 32-bit
    distance, out of the run, from ``body`` on, and int3. All others consist of the ``pieces``, the rows
    (start, end), and of the ``int3`` between, before and behind those; both are ascending."""

    filler: Flags
    jumps: Flags
    body: I64
    pieces: I64
    int3: I64


def outline(image: Image, start: I64, end: I64, named: Flags) -> Outline:
    """The outline of the runs ``[start, end)``, which are ascending, disjoint and not empty; of those that
    are ``named`` something names the first byte."""
    same = _joined(image, start, end) == _INT3
    place = np.cumsum(end - start) - (end - start)
    edge = np.ones(len(same), dtype=np.bool_)
    np.not_equal(same[1:], same[:-1], out=edge[1:])
    edge[place] = True
    at = np.flatnonzero(edge)
    first = np.searchsorted(at, place)
    last = np.append(first[1:], len(at)) - 1
    run = np.repeat(np.arange(len(start)), last + 1 - first)
    int3, at = same[at], at + (start - place)[run]
    ends = np.append(at[1:], 0)
    ends[last] = end
    lead, tail = int3[first], int3[last]
    filler = lead & (first == last) & ~named
    body = np.where(lead & ~named, ends[first], start)
    jumps = ~filler & _lone_jumps(image, body, np.where(tail, at[last], end), start, end)
    much = int3 & (ends - at >= _MUCH)
    much[first], much[last] = lead, tail
    rest = ~(filler | jumps)[run]
    begins, stops = np.append(True, much[:-1]), np.append(much[1:], True)
    begins[first] = stops[last] = True
    others = ~much & rest
    pieces = np.stack([picked(at, others & begins), picked(ends, others & stops)], axis=1)
    return Outline(filler, jumps, body, pieces, np.stack([at, ends], axis=1)[much & rest])


def _joined(image: Image, start: I64, end: I64) -> U8:
    """The bytes of all runs. Very many of them have one right in front of them."""
    apart = start[1:] != end[:-1]
    memory, first = image.memory.data, np.append(True, apart)[: len(start)]
    bounds = zip(start[first].tolist(), end[np.append(first[1:], True)[: len(start)]].tolist(), strict=True)
    return np.frombuffer(b"".join([memory[low:high] for low, high in bounds]), dtype=np.uint8)


def _lone_jumps(image: Image, body: I64, stop: I64, start: I64, end: I64) -> Flags:
    """Which runs ``[start, end)`` hold nothing but a jump out of them in ``[body, stop)``."""
    runs = np.flatnonzero((end - body >= JUMP) & (stop <= body + JUMP))
    runs = runs[image.memory[body[runs]] == _NEAR_JUMP]
    at = body[runs]
    target = at + JUMP + values_at(image, at + 1, "<i4")
    found = np.zeros(len(body), dtype=np.bool_)
    found[runs[(target < start[runs]) | (target >= end[runs])]] = True
    return found
