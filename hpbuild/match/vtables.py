"""What lies in front of a virtual table: the words that belong with it though nothing names them.

Sources: rttidata.h (MSVC: a pointer to the CompleteObjectLocator), Itanium C++ ABI, "Virtual Table Layout"
(from the table downwards: pointer to the type information, offset to top, and where the class has virtual
bases the offsets of these and those of calls through them, as many as the class has).
"""

import numpy as np

from hpbuild.code.class_types import ClassTypes, name_starts
from hpbuild.code.columns import distinct
from hpbuild.code.model import I64, FieldForm, Program
from hpbuild.pe.symbols import SymbolKind

_LOCATOR_SELF = 20
"""Offset of its own RVA in a CompleteObjectLocator."""
_WORD = 8
_LARGEST = 1 << 31
"""No object is so large that an offset in it could be."""
Bool = np.ndarray[tuple[int], np.dtype[np.bool_]]


def table_heads(program: Program) -> tuple[I64, I64, I64]:
    """Starts and ends of such words, ascending by start: 8 bytes (MSVC), 16 bytes or more (Itanium). Each
    ends where a virtual table begins. And starts of the words of zero in front of them that may be offsets
    or filler."""
    fields = program.fields
    pointers = fields.form == FieldForm.ADDR64
    site, target = fields.site[pointers], fields.target[pointers]
    own = (fields.form == FieldForm.ADDR32NB) & (fields.site == fields.target + _LOCATOR_SELF)
    locators = site[_among(target, distinct(fields.target[own]))]
    typed, heads, zeros = _itanium(program, site, target)
    start = np.concatenate([locators, heads])
    order = np.argsort(start, kind="stable")
    return start[order], np.concatenate([locators, typed])[order] + _WORD, zeros


def _itanium(program: Program, site: I64, target: I64) -> tuple[I64, I64, I64]:
    """Pointers to type information (itself two pointers, the second to a name) with a number in front, which
    end in front of a table: of pointers to code, or of nothing, if the class has virtual bases and something
    names the place. With each the start of its words; and starts of words of zero."""
    memory, limit = program.image.memory, program.image.size_of_image
    if not len(site):
        return site, site, site
    rows = np.flatnonzero(~_among(site - _WORD, site) & (site >= _WORD))
    rows = rows[_among(target[rows], site)]
    rows = rows[_among(target[rows] + _WORD, site)]
    name = target[np.minimum(np.searchsorted(site, target[rows] + _WORD), len(site) - 1)]
    rows = rows[(name >= 0) & (name < limit) & name_starts(memory[np.clip(name, 0, limit - 1)])]
    octets = memory[(site[rows] - _WORD)[:, None] + np.arange(_WORD)] if len(rows) else memory[:0]
    top = np.ascontiguousarray(octets).reshape(-1, _WORD).view("<i8")[:, 0]
    rows, top = rows[np.abs(top) < _LARGEST], top[np.abs(top) < _LARGEST]
    types = ClassTypes(memory, site, target, program.slots)
    with_bases = sorted(types.with_virtual_bases(target[rows].tolist()))
    based = _among(target[rows], np.array(with_bases, dtype=np.int64))
    after = np.minimum(np.searchsorted(site, site[rows] + _WORD), len(site) - 1)
    table = (site[after] == site[rows] + _WORD) & _in_code(program, target[after])
    table[based] |= _named(program, site[rows[based]] + _WORD)
    typed, top, based = site[rows][table], top[table], based[table]
    heads, zeros = typed - _WORD, []
    if based.any():
        front = _Fronts(program, types.ends(distinct(target[rows]).tolist()))
        for row in np.flatnonzero(based).tolist():
            heads[row], empty = front.of(int(heads[row]), bool(top[row]))
            zeros += [empty] if empty < heads[row] else []
    return typed, heads, np.array(sorted(zeros), dtype=np.int64)


class _Fronts:
    """Finds the offsets in front of the tables of classes with virtual bases. How many a class has cannot be
    told from its type alone; what lies there is numbers, back to a pointer, a named place or a number that is
    no offset. Words too many are compared and carried with the table, which does no harm."""

    def __init__(self, program: Program, types: I64) -> None:
        """``types`` are the ends of type information, ascending."""
        image, fields = program.image, program.fields
        self._memory = image.memory
        self._types = types
        self._ends = fields.site + np.where(fields.form == FieldForm.ADDR64, _WORD, 4)
        symbols = [item.rva for item in program.symbols.items if item.kind is SymbolKind.DATA]
        self._symbols = np.array(sorted(symbols), dtype=np.int64)
        sections = np.array([section.rva for section in image.sections], dtype=np.int64)
        runs = np.array([end for _, _, end in program.metadata], dtype=np.int64)
        places = (program.references.target, fields.target, sections, runs)
        self._named = distinct(np.concatenate(places))

    def of(self, head: int, secondary: bool) -> tuple[int, int]:
        """(start of the words of the table whose offset to top is at ``head``, start of the words of zero in
        front of them). Between the tables of one class (``secondary``) there is no filler."""
        pointer = self._before(self._ends, head)
        symbol = self._before(self._symbols, head)
        described = self._before(self._types, head)
        stop = max(pointer, symbol, described, self._before(self._named, head - 1))
        at = head
        while at - _WORD >= stop and self._is_offset(at - _WORD):
            at -= _WORD
        start = at
        if not (at == symbol or (secondary and at == pointer)):
            while start < head and not self._memory[start : start + _WORD].any():
                start += _WORD
        return start, at

    @staticmethod
    def _before(places: I64, rva: int) -> int:
        row = int(np.searchsorted(places, rva, side="right")) - 1
        return int(places[row]) if row >= 0 else 0

    def _is_offset(self, rva: int) -> bool:
        word = int.from_bytes(self._memory[rva : rva + _WORD].tobytes(), "little", signed=True)
        return abs(word) < _LARGEST


def _named(program: Program, rva: I64) -> Bool:
    """Which addresses code or data names."""
    if not len(rva):
        return np.zeros(0, dtype=np.bool_)
    wanted = distinct(rva)
    named = [column[_among(column, wanted)] for column in (program.references.target, program.fields.target)]
    return _among(rva, distinct(np.concatenate(named)))


def _among(values: I64, ordered: I64) -> Bool:
    """Which of ``values`` are in the ascending column ``ordered``."""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found: Bool = ordered[place] == values
    return found


def _in_code(program: Program, rva: I64) -> Bool:
    fragments = program.fragments
    if not len(fragments):
        return np.zeros(len(rva), dtype=np.bool_)
    place = np.maximum(np.searchsorted(fragments.start, rva, side="right") - 1, 0)
    inside: Bool = (rva >= fragments.start[place]) & (rva < fragments.end[place])
    return inside
