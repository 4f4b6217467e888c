"""Canonical form of code fragments: equal forms differ at most in what their references name."""

from hashlib import blake2b

import numpy as np

from hpbuild.code.model import I64, Program
from hpbuild.match.digests import Pieces, digests
from hpbuild.match.masked import Masked


def fragment_forms(program: Program, masked: Masked) -> I64:
    """A 64-bit digest for each fragment: its bytes with reference fields zeroed, and the place, width and
    kind of every reference. Opaque fragments get 0: they are data."""
    fragments, references = program.fragments, program.references
    code = np.flatnonzero(~fragments.opaque)
    first, last = reference_ranges(program)
    marks = references.kind << np.uint8(4) | references.width
    shape = references.site - fragments.start.take(references.fragment)
    shape <<= 8
    shape |= marks
    pieces = Pieces(
        start=fragments.start[code],
        end=fragments.end[code],
        first=first[code],
        last=last[code],
        sites=references.site,
        marks=marks,
        tails=shape.view(np.uint8),
        tail=8,
    )
    forms = np.zeros(len(fragments), dtype=np.int64)
    forms[code] = digests(masked, pieces) | 1
    return forms


def fragment_form(program: Program, masked: Masked, fragment: int) -> int:
    """The form of one code fragment, as ``fragment_forms`` makes it."""
    references = program.references
    start, end = int(program.fragments.start[fragment]), int(program.fragments.end[fragment])
    low, high = np.searchsorted(references.site, [start, end]).tolist()
    shape = (
        (references.site[low:high] - start) << 8
        | references.kind[low:high].astype(np.int64) << 4
        | references.width[low:high]
    )
    state = blake2b(masked[start:end].tobytes(), digest_size=8)
    state.update(shape.astype(np.int64).tobytes())
    return int.from_bytes(state.digest(), "little", signed=True) | 1


def reference_ranges(program: Program) -> tuple[I64, I64]:
    """First and one-past-last row of each fragment in ``program.references``."""
    fragments, references = program.fragments, program.references
    behind = np.cumsum(np.bincount(references.fragment + 1, minlength=len(fragments) + 1))
    site, first, last = references.site, behind[: len(fragments)], behind[1 : len(fragments) + 1]
    return rows_below(site, fragments.start, first), rows_below(site, fragments.end, last)


def rows_below(sites: I64, keys: I64, guess: I64) -> I64:
    """The number of ``sites``, which are ascending, below each key. It is the guess nearly everywhere: to see
    that takes less time than to search."""
    if not len(sites):
        return np.zeros(len(keys), dtype=np.int64)
    below = (guess == 0) | (sites.take(guess - 1) < keys)
    above = (guess == len(sites)) | (sites.take(guess, mode="clip") >= keys)
    wrong = np.flatnonzero(~(below & above))
    found = guess.astype(np.int64)
    found[wrong] = np.searchsorted(sites, keys[wrong])
    return found
