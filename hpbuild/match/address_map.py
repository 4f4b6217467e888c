"""The address map: fixed data to baseline data, each with its evidence; code comes from the pairing."""

from enum import IntEnum

import numpy as np

from hpbuild.code.columns import among, distinct
from hpbuild.code.model import I64
from hpbuild.dataclass import dataclass
from hpbuild.match.agreement import Agreement, Testimony, expand, in_step, same_forms
from hpbuild.match.alignment import aligned_atoms, aligned_references
from hpbuild.match.atoms import Memory
from hpbuild.match.content import MAX_PADDING
from hpbuild.match.data_pairs import DataPairs
from hpbuild.match.pairing import Pairing, join_unique, once
from hpbuild.match.sides import Side

Columns = tuple[I64, I64]


class Evidence(IntEnum):
    """Why an atom of the fixed image corresponds to a place of the baseline."""

    NONE = 0
    TESTIMONY = 1
    NAME = 2
    NEIGHBOUR = 3
    ALIGNMENT = 4
    """The same place in the code of a changed function."""

    @property
    def label(self) -> str:
        """Name for reports."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMap:
    """By fixed atom: ``baseline`` the RVA of its counterpart or -1, ``evidence``, and ``same`` False
    where the content differs."""

    baseline: I64
    evidence: I64
    same: np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Map:
    """A ``DataMap`` that is not finished: ``mate`` is the baseline's atom or -1."""

    mate: I64
    evidence: I64
    same: np.ndarray[tuple[int], np.dtype[np.bool_]]


def map_data(fixed: Side, baseline: Side, pairing: Pairing, changed: I64) -> tuple[Agreement, DataMap]:
    """Judge all testimony and extend the map to data that only neighbours or changed functions speak for.

    ``changed`` are the fixed fragments whose partners have another form.
    """
    by_name, by_loader = _named(fixed, baseline), _in_structures(fixed, baseline)
    named = np.concatenate([by_name[0], by_loader[0]]), np.concatenate([by_name[1], by_loader[1]])
    extra = named
    testimony = Testimony(fixed, baseline, pairing)
    agreement = testimony.agreement(extra)
    data = _settle(fixed, baseline, agreement.data, named, extra)
    for _ in range(4):
        fresh = _neighbours(fixed, baseline, pairing, data)
        if not len(fresh[0]):
            break
        extra = (np.concatenate([extra[0], fresh[0]]), np.concatenate([extra[1], fresh[1]]))
        before = np.count_nonzero(data.mate >= 0)
        agreement = testimony.agreement(fresh)
        data = _settle(fixed, baseline, agreement.data, named, extra)
        if np.count_nonzero(data.mate >= 0) == before:
            break
    data = _align(fixed, baseline, data, _same_places(fixed, baseline, pairing, agreement))
    rows = aligned_references(
        fixed, baseline, pairing, _telling_pairs(fixed, baseline, pairing, data, changed)
    )
    data = _align(fixed, baseline, data, aligned_atoms(fixed, baseline, rows))
    place = np.where(data.mate >= 0, np.append(baseline.atoms.start, 0)[data.mate], -1)
    grown = _grown(fixed, baseline, place)
    return agreement, DataMap(baseline=place, evidence=data.evidence, same=data.same & ~grown)


def _same_places(fixed: Side, baseline: Side, pairing: Pairing, agreement: Agreement) -> Columns:
    """Atom pairs that pairs of equal form name in the same place though they are not identical: what one of
    them names has changed."""
    owners = same_forms(fixed, baseline, pairing)
    _, row, other = in_step(fixed, baseline, pairing, owners[~agreement.identical[owners]])
    start = (fixed.targets.offset[row] == 0) & (baseline.targets.offset[other] == 0)
    return aligned_atoms(fixed, baseline, (row[start], other[start]))


def _named(fixed: Side, baseline: Side) -> Columns:
    """Atoms that begin at a data symbol or data export of one name, unique on both sides."""
    left, right = _unique_names(fixed), _unique_names(baseline)
    pairs = [(left[name], right[name]) for name in sorted(left.keys() & right.keys())]
    ours, theirs = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    constant = fixed.atoms.memory[ours] == Memory.RODATA
    alike = constant == (baseline.atoms.memory[theirs] == Memory.RODATA)
    return ours[alike], theirs[alike]


_STRUCTURES = ("tls-directory", "load-configuration")
"""Loader structures with a fixed layout, one in an image: what they name in one place is the same thing."""


def _in_structures(fixed: Side, baseline: Side) -> Columns:
    """Atoms whose start the loader's structures name in the same place on both sides."""
    left, right = _named_by_loader(fixed), _named_by_loader(baseline)
    table = np.array(
        [
            (left[place], right[place])
            for place in sorted(left.keys() & right.keys())
            if fixed.atoms.memory[left[place]] == baseline.atoms.memory[right[place]]
        ],
        dtype=np.int64,
    ).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _named_by_loader(side: Side) -> dict[tuple[str, int], int]:
    fields = side.program.fields
    found: dict[tuple[str, int], int] = {}
    for name, start, end in side.program.metadata:
        if name not in _STRUCTURES:
            continue
        low, high = np.searchsorted(fields.site, (start, end)).tolist()
        for row in range(low, high):
            if side.pointers.atom[row] >= 0 and side.pointers.offset[row] == 0:
                found[name, int(fields.site[row]) - start] = int(side.pointers.atom[row])
    return found


def _unique_names(side: Side) -> dict[str, int]:
    found: dict[str, int] = {}
    many: set[str] = set()
    exported = side.program.exported_data
    atoms = side.atoms.at(np.array([rva for rva, _ in exported], dtype=np.int64)).tolist()
    for atom, name in [*side.atoms.names.items(), *zip(atoms, (name for _, name in exported), strict=True)]:
        if atom >= 0 and found.setdefault(name, atom) != atom:
            many.add(name)
    return {name: atom for name, atom in found.items() if name not in many}


def _settle(fixed: Side, baseline: Side, pairs: DataPairs, named: Columns, extra: Columns) -> _Map:
    """One counterpart for each atom: valid pairs, equal content first, then the lowest address. What is only
    in ``extra``, not in ``named``, was suggested by neighbours."""
    count = len(fixed.atoms)
    # The pairs are in order: what is written last is the first one, of equal content where there is one.
    rows = np.flatnonzero(pairs.valid)[::-1]
    rows = np.concatenate([rows, rows[pairs.same[rows]]])
    chosen = np.full(count, -1, dtype=np.int64)
    chosen[pairs.fixed[rows]] = rows
    atoms = np.flatnonzero(chosen >= 0)
    rows = chosen[atoms]
    mate = np.full(count, -1, dtype=np.int64)
    mate[atoms] = pairs.baseline[rows]
    same = np.zeros(count, dtype=np.bool_)
    same[atoms] = pairs.same[rows]
    evidence = np.where(mate >= 0, np.int64(Evidence.TESTIMONY), np.int64(Evidence.NONE))
    evidence[extra[0][mate[extra[0]] == extra[1]]] = Evidence.NEIGHBOUR
    evidence[named[0][mate[named[0]] >= 0]] = Evidence.NAME
    return _Map(mate=mate, evidence=evidence, same=same)


def _neighbours(fixed: Side, baseline: Side, pairing: Pairing, data: _Map) -> Columns:
    """Candidates for unmapped atoms: at the distance of the mapped atom before or behind in the section.
    Writable atoms only where both distances agree or one side has no mapped atom."""
    mapped = np.flatnonzero(data.mate >= 0)
    free = np.flatnonzero(data.mate < 0)
    if not len(free) or not len(baseline.atoms):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    has_before, has_after, shift_before, shift_after = _nearest(fixed, baseline, data, mapped, free)
    taken = _taken(baseline, data)
    writable = fixed.atoms.memory[free] != Memory.RODATA
    agreed = ~(has_before & has_after) | (shift_before == shift_after)
    alone, start_shift = _section_shifts(fixed, baseline, free, has_before | has_after)
    in_code, code_shift = _code_shifts(fixed, baseline, pairing, free)
    parts = []
    for has, distance in (
        (has_before, shift_before),
        (has_after, shift_after),
        (alone, start_shift),
        (in_code, code_shift),
    ):
        target = fixed.atoms.start[free] + distance
        atom = baseline.atoms.at(target)
        starts = baseline.atoms.start[np.maximum(atom, 0)] == target
        memory = baseline.atoms.memory[np.maximum(atom, 0)] == fixed.atoms.memory[free]
        ok = (has != 0) & (atom >= 0) & starts & memory & ~taken[np.maximum(atom, 0)] & (~writable | agreed)
        parts.append((free[ok], atom[ok]))
    parts.append(_same_contents(fixed, baseline, free, np.flatnonzero(~taken)))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _nearest(
    fixed: Side, baseline: Side, data: _Map, mapped: I64, free: I64
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], np.ndarray[tuple[int], np.dtype[np.bool_]], I64, I64]:
    """For each unmapped atom: whether its section has a mapped one before it, and one behind it; and their
    distances to their counterparts, 0 where there is none."""
    if not len(mapped):
        nowhere, none = np.zeros(len(free), dtype=np.bool_), np.zeros(len(free), dtype=np.int64)
        return nowhere, nowhere, none, none
    place = np.cumsum(data.mate >= 0)[free]
    section = fixed.atoms.section
    before = np.maximum(place - 1, 0)
    after = np.minimum(place, len(mapped) - 1)
    has_before = (place > 0) & (section[mapped[before]] == section[free])
    has_after = (place < len(mapped)) & (section[mapped[after]] == section[free])
    shifts = (
        baseline.atoms.start[data.mate[atoms]] - fixed.atoms.start[atoms]
        for atoms in (mapped[before], mapped[after])
    )
    return has_before, has_after, *shifts


MIN_CONTENT = 8
"""Bytes of content below which being alone with it says nothing."""


def _same_contents(fixed: Side, baseline: Side, free: I64, others: I64) -> Columns:
    """Unmapped atoms that are alone with their content on both sides, where there is enough of it. A constant
    and a variable are not the same, whatever they hold."""
    left = free[_telling(fixed, free)]
    right = others[_telling(baseline, others)]
    rows, places = join_unique(fixed.atoms.digest, baseline.atoms.digest, left, right)
    alike = fixed.atoms.memory[rows] == baseline.atoms.memory[places]
    return rows[alike], places[alike]


def _telling(side: Side, atoms: I64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    span = side.atoms.end[atoms] - side.atoms.start[atoms]
    fields = side.atoms.last_field[atoms] > side.atoms.first_field[atoms]
    telling: np.ndarray[tuple[int], np.dtype[np.bool_]] = (span >= MIN_CONTENT) & (
        side.atoms.memory[atoms] != Memory.BSS
    )
    # Whose first bytes are not zero need not be read: no field begins before a datum.
    rows = np.flatnonzero(telling & ~fields)
    begins = side.atoms.start[atoms[rows]]
    memory = side.program.image.memory
    silent = ~memory[begins[:, None] + np.arange(MIN_CONTENT)].any(axis=1)
    for row in rows[silent].tolist():
        telling[row] = side.masked[side.atoms.start[atoms[row]] : side.atoms.end[atoms[row]]].any()
    return telling


def _section_shifts(
    fixed: Side, baseline: Side, free: I64, known: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Columns:
    """For atoms of sections without any mapped atom: whether the baseline has a section of that name, and
    the distance between the two sections' starts."""
    names = {section.name: section.rva for section in reversed(baseline.program.image.sections)}
    sections = fixed.program.image.sections
    shift = np.array(
        [names.get(section.name, section.rva) - section.rva for section in sections], dtype=np.int64
    )
    there = np.array([section.name in names for section in sections], dtype=np.int64)
    section = fixed.atoms.section[free]
    return np.where(known, 0, there[section]), shift[section]


def _code_shifts(fixed: Side, baseline: Side, pairing: Pairing, free: I64) -> Columns:
    """For data inside code: whether the fragment before it is paired, and that pair's distance."""
    ours, theirs = fixed.program.fragments, baseline.program.fragments
    if not len(ours) or not len(theirs):
        return np.zeros(len(free), dtype=np.int64), np.zeros(len(free), dtype=np.int64)
    before = np.searchsorted(ours.start, fixed.atoms.start[free], side="left") - 1
    code = np.maximum(before, 0)
    partner = pairing.fixed[code]
    same = fixed.forms[code] == baseline.forms[np.maximum(partner, 0)]
    sections = fixed.program.image.sections
    executable = np.array([section.executable for section in sections])[fixed.atoms.section[free]]
    known = executable & (before >= 0) & (partner >= 0) & same
    return known.astype(np.int64), theirs.start[np.maximum(partner, 0)] - ours.start[code]


def _taken(baseline: Side, data: _Map) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """By baseline atom: it is the counterpart of something."""
    taken = np.zeros(len(baseline.atoms) + 1, dtype=np.bool_)
    taken[data.mate] = True
    return taken[:-1]


def _telling_pairs(fixed: Side, baseline: Side, pairing: Pairing, data: _Map, changed: I64) -> I64:
    """Those of the ``changed`` fragments that name something unmapped, and whose partners name something that
    is nobody's counterpart. What the others name alike is settled."""
    free = data.mate < 0
    changed = changed[_names_some(fixed, changed, free)]
    return changed[_names_some(baseline, pairing.fixed[changed], ~_taken(baseline, data))]


def _names_some(
    side: Side, fragments: I64, atoms: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of ``fragments`` refer to one of the chosen ``atoms``."""
    number, row = expand(side.first[fragments], side.last[fragments], np.arange(len(fragments)))
    atom = side.targets.atom[row]
    chosen = np.zeros(len(fragments), dtype=np.bool_)
    known = atom >= 0
    chosen[number[known][atoms[atom[known]]]] = True
    return chosen


def _align(fixed: Side, baseline: Side, data: _Map, aligned: Columns) -> _Map:
    """Fill what is still unmapped from the places that changed functions name alike, first come."""
    mate, evidence, same = data.mate.copy(), data.evidence.copy(), data.same.copy()
    taken = _taken(baseline, data)
    constant = fixed.atoms.memory == Memory.RODATA, baseline.atoms.memory == Memory.RODATA
    rows = np.flatnonzero((mate[aligned[0]] < 0) & ~taken[aligned[1]])
    rows = rows[constant[0][aligned[0][rows]] == constant[1][aligned[1][rows]]]
    left, right = aligned[0][rows], aligned[1][rows]
    for row in np.flatnonzero(~(once(left) & once(right))).tolist():
        if mate[left[row]] < 0 and not taken[right[row]]:
            mate[left[row]], taken[right[row]] = right[row], True
        else:
            left[row] = -1
    rows = np.flatnonzero(left >= 0)
    left, right = left[rows], right[rows]
    mate[left], evidence[left] = right, Evidence.ALIGNMENT
    same[left] = _same_content(fixed, baseline, left, right)
    return _Map(mate=mate, evidence=evidence, same=same)


def _grown(fixed: Side, baseline: Side, places: I64) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Variables with less room at their ``places`` in the baseline than they have now: zeros behind them are
    no evidence, because they belong to another variable or to nobody. Up to ``MAX_PADDING`` zero bytes may be
    filler."""
    grown = np.zeros(len(fixed.atoms), dtype=np.bool_)
    ends_of, tails = _whole_ends(fixed)
    writable = fixed.atoms.memory != Memory.RODATA
    rows = np.flatnonzero((places >= 0) & writable)
    rows = rows[~among(rows, tails)]
    sections = baseline.program.image.sections
    ends = np.array([section.rva + section.virtual_size for section in sections], dtype=np.int64)
    bounds = distinct(np.concatenate([places[rows], ends]))
    place = places[rows]
    after = np.searchsorted(bounds, place, side="right")
    room = bounds[np.minimum(after, len(bounds) - 1)] - place
    start, end = fixed.atoms.start[rows], ends_of[rows]
    for row in np.flatnonzero(end - start > room).tolist():
        beyond = fixed.masked[start[row] + room[row] : end[row]]
        grown[rows[row]] = len(beyond) > MAX_PADDING or bool(beyond.any())
    return grown


def _whole_ends(side: Side) -> Columns:
    """Ends of atoms, and the atoms that are tails: a variable that the file holds only a part of ends with
    the part behind it."""
    atoms = side.atoms
    ends = atoms.end.copy()
    # One more stands for no atom, -1.
    named = np.zeros(len(atoms) + 1, dtype=np.bool_)
    for places in (side.targets.atom, side.pointers.atom):
        named[places] = True
    filled = np.array(
        [section.rva + section.raw_size for section in side.program.image.sections], dtype=np.int64
    )
    cut = np.flatnonzero(among(ends[:-1], np.sort(filled)) & (atoms.start[1:] == ends[:-1]) & ~named[1:-1])
    ends[cut] = atoms.end[cut + 1]
    return ends, cut + 1


def _same_content(
    fixed: Side, baseline: Side, left: I64, right: I64
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Equal bytes without any field: content whose fields were not judged does not count as equal."""
    same: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
        fixed.atoms.digest[left] == baseline.atoms.digest[right]
    )
    same &= fixed.atoms.first_field[left] == fixed.atoms.last_field[left]
    return same
