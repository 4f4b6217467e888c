"""Colour refinement over the reference graph: fragments whose surroundings are unique on both sides pair.

A fragment's colour is its form mixed with the labels of everything it refers to and of everything that
refers to it; labels of paired fragments name the pair, so every new pair sharpens its neighbours
(Weisfeiler and Leman's refinement, started from forms and known pairs).
"""

import numpy as np

from hpbuild.code.model import I64
from hpbuild.match.atoms import Memory
from hpbuild.match.pairing import Level, Pairing, join_unique
from hpbuild.match.sides import Places, Side

U64 = np.ndarray[tuple[int], np.dtype[np.uint64]]
_A, _B, _C = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)


def mix(left: U64, right: U64) -> U64:
    """A 64-bit mixing function of two columns (multiply, rotate, add; no claim to be cryptographic)."""
    value = (left * _A) ^ (right + _B)
    value ^= value >> np.uint64(29)
    value = value * _C
    value ^= value >> np.uint64(32)
    return value


def pair_by_colour(fixed: Side, baseline: Side, pairing: Pairing, rounds: int) -> int:
    """Pair fragments that are alone with their colour on both sides, ``rounds`` times; pairs made."""
    made = 0
    colours = (_start(fixed), _start(baseline))
    for number in range(rounds):
        known_f, known_b = _known(pairing)
        colours = (_refine(fixed, colours[0], known_f), _refine(baseline, colours[1], known_b))
        level = Level.CONTEXT
        left, right = join_unique(
            colours[0].view(np.int64),
            colours[1].view(np.int64),
            _free(fixed, pairing.fixed),
            _free(baseline, pairing.baseline),
        )
        found = pairing.add(left, right, level)
        made += found
        if number and not found:
            break
    return made


def pair_by_form(fixed: Side, baseline: Side, pairing: Pairing) -> int:
    """Pair fragments that are alone with their form on both sides."""
    left, right = join_unique(
        fixed.forms, baseline.forms, _free(fixed, pairing.fixed), _free(baseline, pairing.baseline)
    )
    return pairing.add(left, right, Level.FORM)


def final_colours(fixed: Side, baseline: Side, pairing: Pairing, rounds: int) -> tuple[I64, I64]:
    """Colours after ``rounds`` of refinement without pairing, comparable across the two sides."""
    known_f, known_b = _known(pairing)
    left, right = _start(fixed), _start(baseline)
    for _ in range(rounds):
        left, right = _refine(fixed, left, known_f), _refine(baseline, right, known_b)
    return left.view(np.int64), right.view(np.int64)


def _free(side: Side, partner: I64) -> I64:
    return np.flatnonzero((partner < 0) & (side.forms != 0))


def _known(pairing: Pairing) -> tuple[U64, U64]:
    """Labels of paired fragments, equal on both sides; 0 for the others."""
    left = np.where(pairing.fixed >= 0, pairing.fixed + 1, 0).astype(np.uint64)
    right = np.where(pairing.baseline >= 0, np.arange(len(pairing.baseline)) + 1, 0).astype(np.uint64)
    return left, right


def _start(side: Side) -> U64:
    return side.forms.view(np.uint64).copy()


def _refine(side: Side, colours: U64, known: U64) -> U64:
    """One round: own form, what it refers to, in order, and who refers to it."""
    references = side.program.references
    target = _target_labels(side, side.targets, colours, known)
    order = (np.arange(len(references)) - side.first[references.fragment]).astype(np.uint64)
    outgoing = summed(mix(target, order), references.fragment, len(colours))
    code = side.targets.code
    at = np.flatnonzero(code >= 0)
    owner = references.fragment[at]
    caller = np.where(known[owner] > 0, known[owner] * _B, colours[owner])
    incoming = summed(
        mix(mix(caller, order[at]), side.targets.offset[at].view(np.uint64)), code[at], len(colours)
    )
    fields = np.flatnonzero(side.pointers.code >= 0)
    holder = _field_labels(side, fields)
    incoming = incoming + summed(holder, side.pointers.code[fields], len(colours))
    return mix(mix(side.forms.view(np.uint64), outgoing), incoming)


def _target_labels(side: Side, places: Places, colours: U64, known: U64) -> U64:
    code = np.maximum(places.code, 0)
    fragment = (
        np.where(known[code] > 0, known[code] * _B, colours[code]) if len(colours) else code.view(np.uint64)
    )
    labels = places.other.view(np.uint64).copy()
    labels = np.where(places.code >= 0, mix(fragment, places.offset.view(np.uint64)), labels)
    if len(side.atoms):
        atom = np.maximum(places.atom, 0)
        content = side.atoms.digest[atom].view(np.uint64)
        constant = (places.atom >= 0) & (side.atoms.memory[atom] == Memory.RODATA)
        labels = np.where(constant, content, labels)
    return labels


def _field_labels(side: Side, rows: I64) -> U64:
    """Label of the data that holds each field: the atom's content and the field's place in it."""
    fields = side.program.fields
    atom = side.atoms.at(fields.site[rows])
    known = np.maximum(atom, 0)
    place = (
        (fields.site[rows] - side.atoms.start[known]).view(np.uint64)
        if len(side.atoms)
        else rows.view(np.uint64)
    )
    content = side.atoms.digest[known].view(np.uint64) if len(side.atoms) else place
    return np.where(atom >= 0, mix(content, place), np.uint64(0))


def summed(values: U64, groups: I64, count: int) -> U64:
    """Sum of ``values`` by group, modulo 2**64 (order does not matter, repetition does)."""
    result = np.zeros(count, dtype=np.uint64)
    np.add.at(result, groups, values)
    return result
