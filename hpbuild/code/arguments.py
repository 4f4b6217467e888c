"""Constants that a function passes to the functions it calls, by argument, and does nothing else with.

Follows the Windows x64 calling convention (Microsoft, "x64 calling convention"): the first four integer
arguments are in rcx, rdx, r8 and r9, further ones on the stack from rsp+32 on. Constants and addresses are
followed forward over the whole control flow of the function: a place holds a set of values, one for each
way to get there, or is unknown. A constant that may be used in another way is left out altogether: it is
computed with, stored, returned, part of a local variable, or gets where nothing is known of it any more.

A call of a function that is not known is told as well, and so is a jump that ends the function: one through
memory at a fixed address, or an indirect one right behind the end of the frame, where the convention allows
no other ("x64 prolog and epilog").
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from iced_x86 import FlowControl, Instruction, Mnemonic, OpKind, Register

from hpbuild.code.effects import (
    ARGUMENT_REGISTERS,
    LARGEST_SLOT,
    RESULT,
    STACK_ARGUMENTS,
    VOLATILE,
    Address,
    Constant,
    Effect,
    Loaded,
    Place,
    Trace,
    Value,
    effects_of,
    register_place,
)
from hpbuild.dataclass import dataclass

IMMEDIATE_SIZE: Final = 4
"""Bytes of the field that holds a constant; compilers use no shorter form to set an argument."""
MAX_VALUES: Final = 16
"""Values that a place may have; with more it is unknown."""
MAX_TRACES: Final = 64
"""Constants that an unknown place may hold; with more they count as used otherwise."""
MAX_INSTRUCTIONS: Final = 50_000
UNKNOWN_CALLEE: Final = -1

_STRAIGHT: Final = (FlowControl.NEXT, FlowControl.CALL, FlowControl.INDIRECT_CALL)
_FILLER: Final = (Mnemonic.NOP, Mnemonic.INT3)
_PASSED: Final[tuple[Place, ...]] = (*ARGUMENT_REGISTERS, *STACK_ARGUMENTS)

_LOST: Final = Trace(-1, live=True)
"""Stands for more constants than are kept apart."""

State = dict[Place, frozenset[Value]]
"""What is known at one point; a place that is missing may hold anything but a constant that matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """``value`` is passed as argument number ``position`` (from 0) of the call at ``call`` to ``callee``.

    ``callee`` is the RVA of the function or of the slot that holds its address, UNKNOWN_CALLEE where nothing
    tells. ``site`` is the RVA of the 4-byte immediate; the call may be a jump that ends the function.
    ``addresses`` are (position, RVA) of every address that the call may get, for the arguments that are one
    whichever way control took."""

    site: int
    value: int
    position: int
    call: int
    callee: int
    addresses: tuple[tuple[int, int], ...]


def arguments(code: bytes, start: int) -> tuple[Argument, ...]:
    """Constant arguments in ``code`` at RVA ``start``, by site and call; empty for code above 50,000
    instructions, which nobody could read either."""
    found, flow = _walk(code, start)
    kept = {each for each in found if flow is None or each.site not in flow.otherwise}
    return tuple(sorted(kept, key=lambda each: (each.site, each.call, each.position)))


def calls(code: bytes, start: int) -> tuple[tuple[int, int], ...]:
    """(RVA of the call, callee) of all calls in ``code`` at RVA ``start``, as in ``Argument``; empty for code
    that is too long."""
    _, flow = _walk(code, start)
    return tuple(sorted(set(flow.called))) if flow is not None else ()


def _walk(code: bytes, start: int) -> tuple[list[Argument], "_Flow | None"]:
    body, effects = effects_of(code, start, MAX_INSTRUCTIONS)
    if not effects:
        return [], None
    flow = _Flow(body, effects)
    found: list[Argument] = []
    for number, (first, last) in enumerate(flow.blocks):
        state = dict(flow.entries[number] or {})
        for insn, effect in zip(body[first:last], flow.effects[first:last], strict=True):
            if effect.uses or effect.writes or effect.source is not None or effect.call:
                found += flow.use(state, insn, effect)
                flow.step(state, effect)
        if flow.ends_in_a_call(body, number):
            found += flow.pass_on(state, body[last - 1])
        else:
            flow.leave(state, body[last - 1], number)
    return found, flow


class _Flow:
    """The control flow of one function, what is known where each of its basic blocks begins, and the sites
    of constants that are used ``otherwise`` than as arguments; ``called`` are calls and their callees."""

    def __init__(self, body: Sequence[Instruction], effects: list[Effect]) -> None:
        self.effects = effects
        self.locals = min((each.local for each in self.effects if each.local >= 0), default=LARGEST_SLOT)
        self.blocks, self.successors = _blocks(body)
        self.otherwise: set[int] = set()
        self.called: list[tuple[int, int]] = []
        self.entries: list[State | None] = [None] * len(self.blocks)
        for number in _entries(body, self.blocks, self.successors):
            if self.entries[number] is None:
                self.entries[number] = {}
                self._settle(number)

    def _settle(self, start: int) -> None:
        """Follow control from block ``start`` until nothing new comes up."""
        work = deque((start,))
        while work:
            number = work.popleft()
            state = dict(self.entries[number] or {})
            first, last = self.blocks[number]
            for effect in self.effects[first:last]:
                if effect.writes or effect.call:
                    self.step(state, effect)
            for successor in self.successors[number]:
                merged = self._merge(self.entries[successor], state)
                if merged != self.entries[successor]:
                    self.entries[successor] = merged
                    work.append(successor)

    def _merge(self, one: State | None, other: State) -> State:
        """What is known when control comes from either; None stands for a way that is not walked yet."""
        if one is None:
            return dict(other)
        both: State = {}
        for place in one.keys() | other.keys():
            ours, theirs = one.get(place), other.get(place)
            values = (ours or frozenset()) | (theirs or frozenset())
            unknown = ours is None or theirs is None or any(isinstance(each, Trace) for each in values)
            if unknown or len(values) > MAX_VALUES:
                values = frozenset(_trace(each) for each in values if isinstance(each, (Constant, Trace)))
            if len(values) > MAX_TRACES or _LOST in values:
                self._spoil(values)
                values = frozenset((_LOST,))
            if values:
                both[place] = values
        return both

    def step(self, state: State, effect: Effect) -> None:
        """Change ``state`` by one instruction."""
        moved = state.get(effect.source) if effect.source is not None and not effect.call else None
        for place in effect.writes:
            state.pop(place, None)
        if effect.call:
            self._return(state)
        elif effect.target is not None:
            if effect.value is not None:
                state[effect.target] = frozenset((effect.value,))
            elif moved is not None:
                state[effect.target] = moved
        if effect.moves_stack:
            for place in [each for each in state if each >= 0]:
                self._spoil(state.pop(place), live=True)

    def _return(self, state: State) -> None:
        """Change ``state`` by a call that comes back."""
        for place in VOLATILE:
            state.pop(place, None)
        # What was passed on the stack belongs to the callee, and local variables whose address is known are
        # anybody's; an address kept elsewhere for later stays.
        for place in [each for each in state if each >= 0]:
            sites = [each.site for each in state[place] if isinstance(each, (Constant, Trace))]
            if sites:
                state[place] = frozenset(Trace(site, live=False) for site in sites)
            elif place >= self.locals:
                del state[place]

    def use(self, state: State, insn: Instruction, effect: Effect) -> list[Argument]:
        """The arguments if ``insn`` is a call. Notes what it uses otherwise."""
        for place in effect.uses:
            self._spoil(state.get(place, frozenset()))
        source = state.get(effect.source) if effect.source is not None else None
        if source is not None:
            self._spoil({each for each in source if isinstance(each, Trace) and not each.live})
        if effect.target is not None and effect.target >= self.locals:
            self._spoil((effect.value,) if effect.value is not None else source or ())
        if not effect.call:
            return []
        callee = _callee(state, insn, effect.callee, effect.source)
        return self._call(state, insn, callee, _PASSED)

    def ends_in_a_call(self, body: Sequence[Instruction], number: int) -> bool:
        """True when block ``number`` ends with a jump that leaves the function for another."""
        first, last = self.blocks[number]
        if body[last - 1].flow_control != FlowControl.INDIRECT_BRANCH:
            return False
        if body[last - 1].is_ip_rel_memory_operand:
            return True
        return last - 1 > first and self.effects[last - 2].moves_stack and _frees(body[last - 2])

    def pass_on(self, state: State, insn: Instruction) -> list[Argument]:
        """The arguments of the jump ``insn`` that ends the function. Notes what else may be used there: all
        that is on the stack is the caller's."""
        for place, values in state.items():
            if place not in ARGUMENT_REGISTERS:
                self._spoil(values, live=True)
        known = int(insn.ip_rel_memory_address) if insn.is_ip_rel_memory_operand else None
        source = register_place(insn.op0_register) if insn.op0_kind == OpKind.REGISTER else None
        return self._call(state, insn, _callee(state, insn, known, source), ARGUMENT_REGISTERS)

    def _call(self, state: State, insn: Instruction, callee: int, places: Iterable[Place]) -> list[Argument]:
        """The arguments in ``places``. Notes those that may be a constant and may be something else."""
        held = [(number, state[place]) for number, place in enumerate(places) if place in state]
        for _, values in held:
            self._spoil({each for each in values if isinstance(each, Trace)}, live=True)
        self.called.append((int(insn.ip), callee))
        return _passed(held, insn, callee)

    def leave(self, state: State, end: Instruction, number: int) -> None:
        """Note what may be used where control goes to at the end of block ``number``."""
        inside = len(self.successors[number])
        if end.flow_control == FlowControl.RETURN:
            self._spoil(state.get(RESULT, frozenset()))
        elif end.flow_control == FlowControl.CONDITIONAL_BRANCH and inside == 2:
            return
        elif end.flow_control not in (FlowControl.INTERRUPT, FlowControl.EXCEPTION) and (
            inside != 1 or end.flow_control == FlowControl.CONDITIONAL_BRANCH
        ):
            for values in state.values():
                self._spoil(values, live=True)

    def _spoil(self, values: Iterable[Value], *, live: bool = False) -> None:
        """These values are used otherwise; ``live``: not those that a call got before."""
        for each in values:
            if isinstance(each, Constant) or (isinstance(each, Trace) and (each.live or not live)):
                self.otherwise.add(each.site)


def _frees(insn: Instruction) -> bool:
    """True when what sets rsp gives room back: ``pop``, ``add rsp, n`` or ``lea rsp, [frame+n]``."""
    if insn.mnemonic == Mnemonic.ADD:
        return insn.op1_kind != OpKind.REGISTER and int(insn.immediate(1)) < 1 << 63
    frame = insn.mnemonic == Mnemonic.LEA and insn.memory_base not in (Register.RSP, Register.NONE)
    return frame or insn.mnemonic == Mnemonic.POP


def _trace(value: Constant | Trace) -> Trace:
    return value if isinstance(value, Trace) else Trace(value.site, live=True)


def _entries(
    body: Sequence[Instruction], blocks: list[tuple[int, int]], successors: list[tuple[int, ...]]
) -> list[int]:
    """The blocks where nothing is known at first: the entry; those that nothing seems to reach, which are
    targets of jump tables and landing pads; last any others, for loops that are only entered in such ways.
    Filler that is never run is none of them."""
    entered = {successor for each in successors for successor in each}
    run = [
        number
        for number, (first, last) in enumerate(blocks)
        if any(insn.mnemonic not in _FILLER for insn in body[first:last])
    ]
    return [0, *(number for number in run if number not in entered), *run]


def _passed(held: Sequence[tuple[int, frozenset[Value]]], insn: Instruction, callee: int) -> list[Argument]:
    """Arguments of one call to ``callee``, given what each of its arguments may be."""
    addresses = tuple(
        (position, rva)
        for position, values in held
        if all(isinstance(each, Address) for each in values)
        for rva in sorted(each.rva for each in values if isinstance(each, Address))
    )
    return [
        Argument(
            site=value.site, value=value.value, position=position, call=int(insn.ip), callee=callee,
            addresses=addresses,
        )
        for position, values in held
        for value in values
        if isinstance(value, Constant)
    ]  # fmt: skip


def _callee(state: State, insn: Instruction, known: int | None, source: Place | None) -> int:
    """What ``insn`` calls: what is ``known`` from itself, or else what the register ``source`` holds."""
    if known is not None:
        return known
    if insn.op0_kind != OpKind.REGISTER or source is None:
        return UNKNOWN_CALLEE
    values = state.get(source, frozenset[Value]())
    if len(values) != 1:
        return UNKNOWN_CALLEE
    (value,) = values
    return value.rva if isinstance(value, (Loaded, Address)) else UNKNOWN_CALLEE


def _blocks(body: Sequence[Instruction]) -> tuple[list[tuple[int, int]], list[tuple[int, ...]]]:
    """Basic blocks and, by block, the blocks that control may pass to."""
    index = {int(insn.ip): number for number, insn in enumerate(body)}
    target = [
        index.get(int(insn.near_branch_target), -1)
        if insn.op0_kind == OpKind.NEAR_BRANCH64 and insn.flow_control != FlowControl.CALL
        else -1
        for insn in body
    ]
    leaders = {0, *(each for each in target if each >= 0)}
    leaders |= {
        number + 1
        for number, insn in enumerate(body)
        if insn.flow_control not in _STRAIGHT and number + 1 < len(body)
    }
    starts = sorted(leaders)
    blocks = list(zip(starts, [*starts[1:], len(body)], strict=True))
    number_of = {first: number for number, (first, _) in enumerate(blocks)}
    successors = []
    for _, last in blocks:
        end = body[last - 1]
        following = [target[last - 1]] if target[last - 1] >= 0 else []
        if end.flow_control in (*_STRAIGHT, FlowControl.CONDITIONAL_BRANCH) and last < len(body):
            following.append(last)
        successors.append(tuple(sorted({number_of[each] for each in following})))
    return blocks, successors
