"""Code that no unwind table describes: leaf functions, thunks, assembly, and the filler between.

A gap is decoded linearly and cut where control cannot fall through and either filler follows, or a
known start, or a 16-byte boundary; behind a lone jump in any case (linkers lay thunks without gaps); and
where the table of a jump through a register begins.
"""

import re
from collections.abc import Collection, Iterator
from enum import Enum

from iced_x86 import Decoder, FlowControl, Instruction, Mnemonic, OpKind

from hpbuild.code.decode import is_final
from hpbuild.code.tables import first_table
from hpbuild.dataclass import dataclass

_BRANCH_FLOWS = frozenset((int(FlowControl.CONDITIONAL_BRANCH), int(FlowControl.UNCONDITIONAL_BRANCH)))
_NEXT, _INDIRECT = int(FlowControl.NEXT), int(FlowControl.INDIRECT_BRANCH)
_LONG_JUMP = 5
_INT3S = re.compile(rb"\xcc+")
_FILLER = frozenset((int(Mnemonic.INT3), int(Mnemonic.NOP)))


@dataclass(frozen=True, slots=True)
class Piece:
    """``[start, end)`` of a gap; ``kind`` is 'code', 'padding' or 'opaque'."""

    start: int
    end: int
    kind: str


Runs = dict[tuple[int, int, bool], list[Piece]]
"""What runs of one image were cut into: by start, end, and whether something names the first byte."""


def split_gap(code: bytes, start: int, starts: Collection[int], known: Runs | None = None) -> list[Piece]:
    """Cut the gap ``code`` at RVA ``start`` into pieces. ``starts`` are addresses known to begin a
    function or datum; they always cut. What is in ``known`` is not cut again, what is not joins it."""
    pieces: list[Piece] = []
    end, runs, named = start + len(code), {} if known is None else known, frozenset(starts)
    bounds = sorted(address for address in named if start < address < end)
    for begin, stop in zip([start, *bounds], [*bounds, end], strict=True):
        run = begin, stop, begin in named
        if run not in runs:
            runs[run] = list(split_run(code[begin - start : stop - start], begin, run[2]))
        pieces.extend(runs[run])
    return pieces


def split_run(code: bytes, start: int, named: bool) -> Iterator[Piece]:
    """Pieces of a run without a known start inside; ``named``: something names its first byte."""
    zeros = _zero_run(code, 0) if named else 0
    if zeros:  # something names these zeros: they are data, not filler
        yield Piece(start, start + zeros, "opaque")
    yield from _split_rest(code[zeros:], start + zeros, named and not zeros)


def _zero_run(code: bytes, at: int) -> int:
    """Length of the run of zero bytes at ``at`` when it is filler (8 or more, or to the end), else 0."""
    stop = at
    while stop < len(code) and code[stop] == 0:
        stop += 1
    return stop - at if stop - at >= 8 or stop == len(code) else 0


def _split_rest(code: bytes, start: int, named: bool) -> Iterator[Piece]:
    """Pieces of a run; ``named``: something names its first byte, which therefore is no filler (a function
    may begin with no-operations, or consist of one int3)."""
    at = 0
    while at < len(code):
        filler = 0 if named and not at else _filler_length(code, at, start)
        if filler:
            yield Piece(start + at, start + at + filler, "padding")
            at += filler
            continue
        stop, verdict = _code_end(code, at, start)
        if (
            verdict is End.INVALID
        ):  # no function ends here: the bytes before are as little code as those behind
            yield Piece(start + at, start + len(code), "opaque")
            return
        yield Piece(start + at, start + stop, "code")
        at = stop
        if verdict is End.TABLE:  # it is cut by its entries once the code before it is known
            yield Piece(start + at, start + len(code), "opaque")
            return


def _decoder(code: bytes, at: int, start: int) -> Decoder:
    """Decodes ``code`` at RVA ``start`` from offset ``at`` on. No copy of the rest: a gap has many pieces."""
    decoder = Decoder(64, code, ip=start + at)
    decoder.position = at
    return decoder


def _filler_length(code: bytes, at: int, start: int) -> int:
    """Bytes of filler at ``at``: zeros, int3 or no-operations."""
    length = _zero_run(code, at)
    if length:
        return length
    match = _INT3S.match(code, at)
    length = match.end() - at if match else 0
    for insn in _decoder(code, at + length, start):
        if insn.mnemonic not in _FILLER or insn.code == 0:
            break
        length += insn.len
    return length


def leading_filler(code: bytes, start: int) -> int:
    """Bytes of filler that ``code`` at RVA ``start`` begins with, when the first of them is int3: some
    compilers let the unwind row of a function begin in front of its entry."""
    return _filler_length(code, 0, start) if code[:1] == b"\xcc" else 0


class End(Enum):
    """What ends a function: its last instruction, a table that it reads, a byte that is no instruction."""

    CODE = "code"
    TABLE = "table"
    INVALID = "invalid"


def _code_end(code: bytes, at: int, start: int) -> tuple[int, End]:
    """Offset behind the function that begins at ``at``, and what ends it."""
    furthest = start + at
    position = tail = at
    table = len(code) + 1
    for insn in _decoder(code, at, start):
        length, flow, mnemonic = insn.len, insn.flow_control, insn.mnemonic
        if position + length > table:
            return tail, End.TABLE
        if not mnemonic:  # no instruction
            return position, End.INVALID
        position += length
        tail = tail if mnemonic in _FILLER else position
        if flow == _NEXT:  # nearly all
            continue
        if flow == _INDIRECT and insn.op0_kind == OpKind.REGISTER:
            table = min(table, first_table(code[at:position], start + at, start + len(code)) - start)
            furthest = max(furthest, start + table) if table <= len(code) else furthest
        if flow in _BRANCH_FLOWS and insn.op0_kind == OpKind.NEAR_BRANCH64:
            target = insn.near_branch_target
            if start + at <= target < start + len(code):
                furthest = max(furthest, target)
        if not is_final(insn) or position >= len(code):
            continue
        address = start + position
        if position - length == at and _leaves(insn, start, start + len(code)):
            return position, End.CODE
        if address > furthest and (address % 16 == 0 or _is_filler(code, position)):
            return position, End.CODE
    return tail if table == len(code) else position, End.CODE


def _leaves(insn: Instruction, start: int, end: int) -> bool:
    """A jump of a thunk: out of ``[start, end)``, with a 32-bit distance or through a word of memory."""
    if insn.op0_kind == OpKind.NEAR_BRANCH64:
        return insn.len >= _LONG_JUMP and not start <= insn.near_branch_target < end
    return insn.is_ip_rel_memory_operand and not start <= insn.ip_rel_memory_address < end


def _is_filler(code: bytes, at: int) -> bool:
    insn = Decoder(64, code[at : at + 15]).decode()
    return (insn.code != 0 and insn.mnemonic in _FILLER) or _zero_run(code, at) > 0
