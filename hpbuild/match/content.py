"""Equality of the content of two atoms, fields aside."""

import numpy as np

from hpbuild.code.model import I64, FieldForm
from hpbuild.match.sides import Side

MAX_PADDING = 63
"""Zero bytes at an atom's end that may be alignment filler (alignments up to 64 are common)."""


def contents_agree(
    fixed: Side, baseline: Side, left: I64, right: I64
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """True where the fixed atom's bytes stand at the baseline atom's place, with fields at the same
    offsets in the same forms. Where the two atoms differ in length (another neighbour, other filler), the
    fixed atom's length counts, less zero filler at its end."""
    equal: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
        fixed.atoms.digest[left] == baseline.atoms.digest[right]
    )
    length = fixed.atoms.end[left] - fixed.atoms.start[left]
    # Where the lengths are one, the digests tell all.
    for row in np.flatnonzero(length != baseline.atoms.end[right] - baseline.atoms.start[right]).tolist():
        equal[row] = _agree(fixed, baseline, int(left[row]), int(right[row]))
    return equal


def _agree(fixed: Side, baseline: Side, left: int, right: int) -> bool:
    start, place = int(fixed.atoms.start[left]), int(baseline.atoms.start[right])
    length = agreed_length(fixed, baseline, left, place)
    section = baseline.program.image.section_at(place)
    if section is None or place + length > section.rva + section.virtual_size:
        return False
    if not np.array_equal(fixed.masked[start : start + length], baseline.masked[place : place + length]):
        return False
    return _same_fields(fixed, baseline, (start, start + length), place)


def agreed_length(fixed: Side, baseline: Side, atom: int, place: int) -> int:
    """How many bytes of a fixed atom must stand at ``place`` in the baseline: all, less zero filler at its
    end where the baseline's atom is shorter."""
    start, end = int(fixed.atoms.start[atom]), int(fixed.atoms.end[atom])
    mate = baseline.atoms.one(place)
    room = int(baseline.atoms.end[mate]) - place if mate >= 0 else 0
    length = end - start
    if length <= room:
        return length
    # What is more than this from the end is no filler, whatever it is.
    tail = min(length, MAX_PADDING + 1)
    content = fixed.masked[end - tail : end].tobytes()
    used = max(length - tail + len(content.rstrip(b"\0")), _fields_end(fixed, atom) - start)
    return max(used, min(room, length)) if length - max(used, room) <= MAX_PADDING else length


def _fields_end(side: Side, atom: int) -> int:
    """RVA behind the last field of an atom; its start when it has none."""
    last = int(side.atoms.last_field[atom])
    if last == int(side.atoms.first_field[atom]):
        return int(side.atoms.start[atom])
    fields = side.program.fields
    return int(fields.site[last - 1]) + (8 if fields.form[last - 1] == FieldForm.ADDR64 else 4)


def _same_fields(fixed: Side, baseline: Side, run: tuple[int, int], place: int) -> bool:
    ours, theirs = fixed.program.fields, baseline.program.fields
    low, high = np.searchsorted(ours.site, run)
    other_low, other_high = np.searchsorted(theirs.site, (place, place + run[1] - run[0]))
    if high - low != other_high - other_low:
        return False
    shift = place - run[0]
    return bool(
        np.array_equal(ours.site[low:high] + shift, theirs.site[other_low:other_high])
        and np.array_equal(ours.form[low:high], theirs.form[other_low:other_high])
    )
