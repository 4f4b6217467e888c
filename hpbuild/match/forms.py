"""Canonical form of code fragments: equal forms differ at most in what their references name."""

from hashlib import blake2b

import numpy as np

from hpbuild.code.model import I64, U8, Program
from hpbuild.match.masked import Masked


def fragment_forms(program: Program, masked: U8) -> I64:
    """A 64-bit digest for each fragment: its bytes with reference fields zeroed, and the place, width and
    kind of every reference. Opaque fragments get 0: they are data."""
    fragments, references = program.fragments, program.references
    first = np.searchsorted(references.site, fragments.start)
    last = np.searchsorted(references.site, fragments.end)
    owner = references.fragment
    place = references.site - fragments.start[owner] if len(references) else references.site
    shape = place << 8 | references.kind.astype(np.int64) << 4 | references.width
    code = np.flatnonzero(~fragments.opaque)
    pieces = map(slice, fragments.start[code].tolist(), fragments.end[code].tolist())
    rows = zip(pieces, (first[code] * 8).tolist(), (last[code] * 8).tolist(), strict=True)
    view, shapes, fresh = memoryview(masked.data), shape.astype("<i8").tobytes(), blake2b(digest_size=8).copy
    found = bytearray()
    for piece, low, high in rows:
        state = fresh()
        state.update(view[piece])
        if low < high:
            state.update(shapes[low:high])
        found += state.digest()
    forms = np.zeros(len(fragments), dtype=np.int64)
    forms[code] = np.frombuffer(found, dtype="<i8") | 1
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
    return _rows(site, fragments.start, first), _rows(site, fragments.end, last)


def _rows(sites: I64, keys: I64, guess: I64) -> I64:
    """The number of ``sites``, which are ascending, below each key. It is the guess nearly everywhere: to see
    that takes less time than to search."""
    if not len(sites):
        return np.zeros(len(keys), dtype=np.int64)
    below = (guess == 0) | (sites[guess - 1] < keys)
    above = (guess == len(sites)) | (sites[np.minimum(guess, len(sites) - 1)] >= keys)
    wrong = np.flatnonzero(~(below & above))
    found = guess.astype(np.int64)
    found[wrong] = np.searchsorted(sites, keys[wrong])
    return found
