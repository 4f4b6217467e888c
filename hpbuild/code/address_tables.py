"""Tables of RVAs whose entries code makes addresses by adding the image base to them, as MSVC's does."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from iced_x86 import Decoder, Instruction, Mnemonic, OpKind, Register

from hpbuild.code.decode import FULL_REGISTER
from hpbuild.code.tables import ONLY_READS

_LEA, _ADD, _MOVSXD = int(Mnemonic.LEA), int(Mnemonic.ADD), int(Mnemonic.MOVSXD)
_REGISTER, _MEMORY = int(OpKind.REGISTER), int(OpKind.MEMORY)
_SUMS = frozenset((_ADD, _LEA))
_LOADS = frozenset((int(Mnemonic.MOV), _MOVSXD))


def address_tables(
    code: bytes, start: int, sites: Mapping[int, int], borders: Sequence[int] = ()
) -> set[int]:
    """RVAs of the tables whose entries the fragment ``code`` at ``start`` turns into addresses by adding the
    image base. ``sites`` maps the fields of image-base operands to what they name; ``borders`` are places
    where instructions begin, ascending: what is between those with the fields is passed over where no entry
    is held. Without that addition the words are plain numbers."""
    loaded: dict[int, tuple[int, set[int]]] = {}
    tables: set[int] = set()
    ahead = sorted((site for site in sites if site >= start), reverse=True)
    decoder, holders = Decoder(64, code, ip=start), _Holders(code, start)
    while ahead or loaded:
        if not loaded:
            _pass_over(decoder, start, borders, ahead[-1])
        insn = decoder.decode()
        mnemonic = insn.mnemonic
        if not mnemonic:  # no instruction, or the end
            break
        first = FULL_REGISTER[insn.op0_register] if insn.op0_kind == _REGISTER else 0
        if loaded and mnemonic in _SUMS:
            for one, other in _summands(insn, first):
                if one not in loaded:
                    continue
                if other in loaded[one][1] or holders.include(other, insn.ip):
                    tables.add(loaded[one][0])
        fields = []
        while ahead and ahead[-1] < insn.next_ip:
            fields.append(ahead.pop())
        if mnemonic in ONLY_READS:
            continue
        if loaded:
            loaded.pop(first, None)
            for _, bases in loaded.values():
                bases.discard(first)
        if fields and mnemonic in _LOADS and insn.op1_kind == _MEMORY:
            loaded[first] = sites[fields[0]], _bases(insn) - {first}
    return tables


def _pass_over(decoder: Decoder, start: int, borders: Sequence[int], site: int) -> None:
    """Go on with the last of ``borders`` in front of ``site``, unless that is behind."""
    place = bisect_right(borders, site) - 1
    if place >= 0 and borders[place] > decoder.ip:
        decoder.position, decoder.ip = borders[place] - start, borders[place]


class _Holders:
    """Which registers of the fragment ``code`` at ``start`` hold the image base: what took its address and
    was not written since. Seldom is one asked for; however often, all of the code is decoded once at most."""

    __slots__ = ("_decoder", "_holders")

    def __init__(self, code: bytes, start: int) -> None:
        self._decoder = Decoder(64, code, ip=start)
        self._holders: set[int] = set()

    def include(self, register: int, place: int) -> bool:
        """Whether ``register`` holds it in front of ``place``, where no earlier one may be asked for."""
        while self._decoder.can_decode and self._decoder.ip < place:
            insn = self._decoder.decode()
            if insn.op0_kind != _REGISTER or insn.mnemonic in ONLY_READS:
                continue
            written = FULL_REGISTER[insn.op0_register]
            self._holders.discard(written)
            if insn.mnemonic == _LEA and insn.is_ip_rel_memory_operand and not insn.ip_rel_memory_address:
                self._holders.add(written)
        return register in self._holders


def _bases(insn: Instruction) -> set[int]:
    """The registers of a memory operand that may hold the image base."""
    registers = [insn.memory_base] + [insn.memory_index] * (insn.memory_index_scale == 1)
    return {FULL_REGISTER[register] for register in registers if register != Register.NONE}


def _summands(insn: Instruction, first: int) -> list[tuple[int, int]]:
    """The registers that an ADD or LEA adds, in both orders."""
    if insn.mnemonic == _ADD and insn.op1_kind == _REGISTER:
        pair = first, FULL_REGISTER[insn.op1_register]
    elif insn.mnemonic == _LEA and insn.memory_index_scale == 1:
        pair = FULL_REGISTER[insn.memory_base], FULL_REGISTER[insn.memory_index]
    else:
        return []
    return [pair, pair[::-1]]
