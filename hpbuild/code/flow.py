"""Control flow inside one function: loops that nothing leaves, and what an instruction does to memory.

Source of the instruction semantics: Intel SDM volume 2. Whether a call returns is not in its instruction;
compilers show it by what they put behind: nothing, or a trap.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from iced_x86 import FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind

from hpbuild.code.bodies import Bodies, may_never_end
from hpbuild.code.columns import distinct
from hpbuild.code.decode import RefKind, instructions
from hpbuild.code.model import FieldForm, Program

_BACK = 6
"""Instructions before an indirect jump in which a table's entry is turned into its target."""
_WRITES = frozenset(
    int(access)
    for access in (OpAccess.WRITE, OpAccess.COND_WRITE, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE)
)
_TABLE_STEPS = frozenset((int(Mnemonic.MOVSXD), int(Mnemonic.ADD)))
_FINAL_IMPORTS = frozenset(
    (
        "ExitProcess", "ExitThread", "FreeLibraryAndExitThread", "_CxxThrowException", "__std_terminate",
        "_endthread", "_endthreadex", "_exit", "_invalid_parameter_noinfo_noreturn", "abort", "exit",
        "longjmp", "quick_exit", "terminate",
    )
)  # fmt: skip
_CALL_SLOT = (0xFF, 0x15)
"""Opcode and operand of ``call [rip+slot]``."""
_UD2 = (0x0F, 0x0B)
_INT3, _NOP = 0xCC, 0x90
_NEAR = int(OpKind.NEAR_BRANCH64)
_TURNS = (FlowControl.CONDITIONAL_BRANCH, FlowControl.UNCONDITIONAL_BRANCH)


def final_callees(program: Program) -> frozenset[int]:
    """Addresses of functions, and of import slots, that do not return: some call of them is the last thing in
    its function, or a trap follows it."""
    table, references, memory = program.fragments, program.references, program.image.memory
    site = references.site
    named = references.kind == RefKind.CALL
    slot = np.flatnonzero((references.kind == RefKind.MEMORY) & (references.trailing == 0))
    slot = slot[(memory[site[slot] - 2] == _CALL_SLOT[0]) & (memory[site[slot] - 1] == _CALL_SLOT[1])]
    rows = np.concatenate([np.flatnonzero(named), slot])
    behind, owner = site[rows] + 4, references.fragment[rows]
    end = table.end[owner]
    following = np.minimum(owner + 1, len(table) - 1)
    alone = (table.start[following] != end) | (table.root[following] != table.root[owner])
    last = np.minimum(behind, len(memory) - 2)
    trap = (memory[last] == _INT3) | ((memory[last] == _UD2[0]) & (memory[last + 1] == _UD2[1]))
    padded = (behind + 1 == end) & (memory[last] == _NOP)
    final = (((behind == end) | padded) & alone) | ((behind < end) & trap)
    known = {slot for slot, name in program.slots.items() if name.partition("!")[2] in _FINAL_IMPORTS}
    return frozenset(known.union(references.target[rows[final]].tolist()))


class Loops:
    """Answers where functions of one program never end. ``final`` are the callees that do not return."""

    __slots__ = ("_callees", "_cases", "_final", "_program")

    def __init__(self, program: Program, final: frozenset[int]) -> None:
        fields = program.fields
        self._program, self._final = program, final
        self._callees = np.array(sorted(final), dtype=np.int64)
        self._cases = distinct(fields.target[fields.form != FieldForm.END32NB])

    def never_ending(self, found: Bodies, functions: Sequence[tuple[int, ...]]) -> dict[int, int]:
        """``endless`` of those of ``found`` that are, by their numbers in ``functions``."""
        candidates = may_never_end(found, self._cases, self._callees)
        places = {number: self.endless(functions[number]) for number in candidates}
        return {number: at for number, at in places.items() if at >= 0}

    def endless(self, fragments: Iterable[int]) -> int:
        """RVA of the first instruction from which control never leaves the function made of ``fragments``,
        its entry first; -1 when there is none, or when what goes round does nothing at all.

        Left is a function by a return, a jump out of it, or a call that does not return (of one of ``final``,
        or with nothing behind it).
        """
        table, members = self._program.fragments, tuple(fragments)
        runs = sorted((int(table.start[one]), int(table.end[one])) for one in members)
        cases: list[int] = []
        for start, end in runs:
            low, high = self._cases.searchsorted((start + 1, end)).tolist()
            cases += self._cases[low:high].tolist()
        return _endless(_Code(self._program, runs, cases, self._final), int(table.start[members[0]]))


def _endless(code: "_Code", entry: int) -> int:
    """``Loops.endless``, of the function with that entry."""
    inner = code.reached(entry)
    before: dict[int, list[int]] = {}
    pending = []
    for address in inner:
        following, leaves = code.following(address)
        for target in following:
            before.setdefault(target, []).append(address)
        if leaves:
            pending.append(address)
    leaving = set(pending)
    while pending:
        for address in before.get(pending.pop(), ()):
            if address not in leaving:
                leaving.add(address)
                pending.append(address)
    stuck = _rounds(inner - leaving, before)
    return min(stuck) if any(code.works(address) for address in stuck) else -1


def _rounds(stuck: set[int], before: dict[int, list[int]]) -> set[int]:
    """``stuck`` without what merely leads to its loops."""
    comers = {address: {other for other in before.get(address, ()) if other in stuck} for address in stuck}
    following: dict[int, list[int]] = {}
    for address, others in comers.items():
        for other in others:
            following.setdefault(other, []).append(address)
    pending = [address for address, others in comers.items() if not others]
    while pending:
        address = pending.pop()
        del comers[address]
        for other in following.get(address, ()):
            comers[other].discard(address)
            if not comers[other]:
                pending.append(other)
    return set(comers)


class _Code:
    """The instructions of one function, which lies in ``runs``, and where each leads; ``cases`` are the
    places inside it that jump tables or relocated pointers lead to, ascending."""

    def __init__(
        self, program: Program, runs: list[tuple[int, int]], cases: list[int], final: frozenset[int]
    ) -> None:
        self._final, self._cases = final, cases
        self._insns: dict[int, Instruction] = {}
        for start, end in runs:
            found = instructions(program.image.read(start, end - start), start)
            self._insns.update((insn.ip, insn) for insn in found)

    @cached_property
    def _order(self) -> list[int]:
        return list(self._insns)  # runs are ascending, and so is what lies in each

    def reached(self, entry: int) -> set[int]:
        """Every instruction that control can come to from the entry."""
        found: set[int] = set()
        pending = [entry]
        while pending:
            address = pending.pop()
            if address in self._insns and address not in found:
                found.add(address)
                pending.extend(self.following(address)[0])
        return found

    def following(self, address: int) -> tuple[list[int], bool]:
        """Where control goes from an instruction inside the function, and whether it may leave it here."""
        insn = self._insns[address]
        flow = insn.flow_control
        if flow in (FlowControl.RETURN, FlowControl.EXCEPTION, FlowControl.INTERRUPT):
            return [], True
        if flow == FlowControl.INDIRECT_BRANCH:
            return (self._cases, not self._cases) if self._reads_table(address) else ([], True)
        if self._does_not_return(insn):
            return [], True
        targets = []
        if flow in _TURNS:
            if insn.op0_kind != _NEAR:
                return [], True
            targets.append(insn.near_branch_target)
        if flow != FlowControl.UNCONDITIONAL_BRANCH:
            targets.append(insn.next_ip)
        inside = [target for target in targets if target in self._insns]
        return inside, len(inside) < len(targets)

    def works(self, address: int) -> bool:
        """True for anything but a jump and filler: a bare jump to itself ends a path that cannot happen."""
        insn = self._insns[address]
        idle = insn.flow_control == FlowControl.UNCONDITIONAL_BRANCH or insn.mnemonic == Mnemonic.NOP
        return not idle

    def _does_not_return(self, insn: Instruction) -> bool:
        if insn.flow_control == FlowControl.CALL and insn.op0_kind == _NEAR:
            return insn.near_branch_target in self._final
        if insn.flow_control == FlowControl.INDIRECT_CALL and insn.is_ip_rel_memory_operand:
            return insn.ip_rel_memory_address in self._final
        return False

    def _reads_table(self, address: int) -> bool:
        """The indirect jump at ``address`` is that of a switch: a table's entry was just read or added up."""
        insn = self._insns[address]
        if insn.op0_kind != OpKind.REGISTER:
            return not insn.is_ip_rel_memory_operand
        at = bisect_left(self._order, address)
        before = [self._insns[place] for place in self._order[max(0, at - _BACK) : at]]
        return any(step.mnemonic in _TABLE_STEPS for step in before)


def writes_or_hands_out(program: Program, row: int) -> bool:
    """True when the instruction with reference ``row`` stores to its target, or takes its address."""
    references, table = program.references, program.fragments
    fragment, site = int(references.fragment[row]), int(references.site[row])
    start, end = int(table.start[fragment]), int(table.end[fragment])
    found = instructions(program.image.read(start, end - start), start)
    index = bisect_right([insn.ip for insn in found], site) - 1
    if index < 0:
        return True
    memory = InstructionInfoFactory().info(found[index]).used_memory()
    return not memory or any(int(used.access) in _WRITES for used in memory)
