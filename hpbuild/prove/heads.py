"""What capstone says of an instruction, asked once for all instructions that begin alike.

Intel SDM volume 2, section 2.1: an instruction is prefixes, opcode, ModRM and SIB byte, then displacement
and immediate. The first four, here its *head*, decide which instruction it is, how long it is and where its
fields are; the values of the last two decide nothing of that. So the answer for one instruction is the answer
for all with its head, and a program of millions of instructions has some ten thousand heads. Where capstone's
account of the parts does not add up (3DNow! has its opcode at the end), nothing is concluded and every such
instruction is asked for. The answers are kept in a tree over the bytes of the heads, searched for whole
columns of addresses at once.
"""

import numpy as np
import numpy.typing as npt
from capstone import x86

from hpbuild.dataclass import dataclass
from hpbuild.prove.cursor import Cursor, Encoding, Operand, behind_unknown
from hpbuild.prove.references import Bytes, Numbers, Use

SIZE = 0xF
"""The bits of an answer that hold the instruction's length in bytes."""
RELATIVE, BRANCH, COPY, DISPLACED, PAIRED, REFUSED, UNKNOWN = (1 << bit for bit in range(4, 11))
"""Bits of an answer: it has a RIP-relative operand; it branches by an immediate; it copies a register; it
has a displacement of 2 or 4 bytes and is neither of the first two; it adds two registers, by ADD or in the
address of an operand; the proof does not follow its form; not asked yet."""
NOTHING = -1
"""Answer for bytes that are no instruction."""
MOST_NODES = 1 << 16
"""Nodes of a tree, 1 KiB each; node.exe, 8 million instructions, needs 11,000."""

_NUMBER = 11
_ROOT = 1 << 16
_NODE = 1 << 8
_UNSEEN = ~UNKNOWN
_CONDITIONS = "A AE B BE E G GE L LE NE NO NP NS O P S CXZ ECXZ RCXZ"
_BRANCHES = frozenset(
    getattr(x86, f"X86_INS_{name}")
    for name in (
        *(f"J{condition}" for condition in _CONDITIONS.split(" ")),
        *("LOOP", "LOOPE", "LOOPNE", "XBEGIN", "JMP", "CALL"),
    )
)
OFFSET, WIDTH, USE, WRITTEN, READ, BASE, INDEX = range(7)
"""Columns of the facts."""
Facts = tuple[int, int, int, int, int, int, int]
"""Offset, width and use of the field (width 0: not known before the operand is looked at), and registers, 0
for none: of LEA and of a copy the one it writes, of a copy the one it reads; where it is DISPLACED or PAIRED,
base and index of the memory operand, or the two that ADD adds."""
_NO_FACTS = (0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Columns:
    """Facts of many answers: each of the columns OFFSET to INDEX is made when it is asked for."""

    table: npt.NDArray[np.int16]
    number: npt.NDArray[np.int32]

    def __getitem__(self, column: int) -> npt.NDArray[np.int16]:
        found: npt.NDArray[np.int16] = self.table[column].take(self.number)
        return found


class Heads:
    """The answers for one image in ``memory``, contiguous and indexed by RVA; ``room`` is how many nodes the
    tree may have, so that no image makes it as large as it likes. Not shared between threads."""

    def __init__(self, memory: Bytes, room: int = MOST_NODES) -> None:
        self.memory = memory
        self._room = room
        self._cursor = Cursor()
        # An entry is the offset of a node, or the complement of an answer. The root takes two bytes at once.
        self._tree = np.full(_ROOT + 64 * _NODE, _UNSEEN, dtype=np.int32)
        self._end = _ROOT
        self._facts: dict[Facts, int] = {}

    def facts(self, packed: npt.NDArray[np.int32]) -> "Columns":
        """The facts behind answers, as columns."""
        return Columns(np.array(list(self._facts), dtype=np.int16).reshape(-1, 7).T.copy(), packed >> _NUMBER)

    def look(self, at: Numbers) -> npt.NDArray[np.int32]:
        """Answers for the bytes at each address, UNKNOWN where nobody asked. An answer may be longer than
        what is left of the memory or of the piece that the caller reads: then it is none."""
        memory, tree = self.memory, self._tree
        first = memory.take(at, mode="clip").astype(np.intp)
        found = tree.take(first | memory.take(at + 1, mode="clip").astype(np.intp) << 8, mode="clip")
        inner, depth = np.flatnonzero(found >= 0), 2
        while len(inner):
            byte = memory.take(at.take(inner) + depth, mode="clip")
            entry = tree.take(found.take(inner) + byte, mode="clip")
            found[inner] = entry
            inner = inner.compress(entry >= 0)
            depth += 1
        return ~found

    def one(self, at: int, limit: int) -> int:
        """The answer for the bytes at ``at`` of code that ends at ``limit``; NOTHING if no instruction is."""
        packed = self._kept(at)
        if packed & UNKNOWN or at + (packed & SIZE) > limit:
            return self.ask(at, limit)
        return packed

    def _kept(self, at: int) -> int:
        """As ``look``, for one address."""
        memory, tree, last = self.memory, self._tree, len(self.memory) - 1
        entry = tree.item(memory.item(at) | memory.item(min(at + 1, last)) << 8)
        depth = 2
        while entry >= 0:
            entry = tree.item(entry + memory.item(min(at + depth, last)))
            depth += 1
        return ~int(entry)

    def ask(self, at: int, limit: int) -> int:
        """As ``one``, from capstone itself; the answer is kept for all instructions with this head."""
        cursor = self._cursor
        if not cursor.start(self.memory, at, limit)():
            after = behind_unknown(self.memory, at)
            if not after or after > limit:
                return NOTHING
            packed = self._packed(after - at, 0, _NO_FACTS)
            self._keep(self.memory[at:after].tobytes(), packed)
            return packed
        size = int(cursor.state[2]) - at
        encoding = cursor.encoding()
        packed = self._packed(size, *self._described(encoding, size))
        code = self.memory[at : at + size].tobytes()
        head = _head(encoding, size, cursor.modrm(), code)
        if head:
            self._keep(code[:head], packed)
        return packed

    def _packed(self, size: int, flags: int, facts: Facts) -> int:
        return size | flags | self._facts.setdefault(facts, len(self._facts)) << _NUMBER

    def _described(self, encoding: Encoding, size: int) -> tuple[int, Facts]:
        cursor, kind = self._cursor, self._cursor.instruction.id
        use = Use.ADDRESS if kind == x86.X86_INS_LEA else Use.ACCESS
        if encoding.modrm and cursor.rip_relative():
            if not cursor.long_addresses() or encoding.displacement != encoding.modrm + 1:
                return REFUSED, _NO_FACTS
            taken = cursor.operands()[0].register if use == Use.ADDRESS else 0
            return RELATIVE, (encoding.displacement, 4, use, taken, 0, 0, 0)
        if encoding.immediate_size and kind in _BRANCHES:
            width = encoding.immediate_size
            if encoding.immediate + width != size or width not in (1, 4):
                return REFUSED, _NO_FACTS
            return BRANCH, (encoding.immediate, width, Use.BRANCH, 0, 0, 0, 0)
        wide = bool(encoding.displacement and encoding.displacement_size > 1)
        if not encoding.modrm or not (wide or _may_pair(cursor.modrm(), kind)):
            return 0, _NO_FACTS
        return _plain(encoding, kind, use, cursor.operands())

    def _keep(self, head: bytes, packed: int) -> None:
        """Put an answer into the tree, unless that is full or the head begins or continues another one."""
        if len(head) == 1:
            row = self._tree[:_ROOT].reshape(_NODE, _NODE)[:, head[0]]
            row[row == _UNSEEN] = ~packed
            return
        entry = head[0] | head[1] << 8
        for byte in head[2:]:
            node = self._tree.item(entry)
            if node == _UNSEEN:
                node = self._node()
                if not node:
                    return
                self._tree[entry] = node
            if node < 0:
                return
            entry = node + byte
        if self._tree[entry] == _UNSEEN:
            self._tree[entry] = ~packed

    def _node(self) -> int:
        """A new node; 0 when the tree is as large as it may be."""
        node = self._end
        if node >= _ROOT + self._room * _NODE:
            return 0
        if node + _NODE > len(self._tree):
            self._tree = np.concatenate([self._tree, np.full(len(self._tree), _UNSEEN, dtype=np.int32)])
        self._end += _NODE
        return node


def _may_pair(modrm: int, kind: int) -> bool:
    """May it copy a register or add two? Asked first, because to read the operands takes long."""
    if modrm >> 6 == 3:
        return kind in (x86.X86_INS_MOV, x86.X86_INS_ADD)
    return modrm & 7 == 4  # a SIB byte follows


def _plain(encoding: Encoding, kind: int, use: Use, operands: list[Operand]) -> tuple[int, Facts]:
    """What an instruction with a ModRM byte does with registers that may hold the image base."""
    first, second = (*(own.register for own in operands), 0, 0)[:2]
    two = len(operands) == 2 and all(own.kind == x86.X86_OP_REG for own in operands)
    memory = next((own for own in operands if own.kind == x86.X86_OP_MEM), None)
    base, index = (memory.base, memory.scaled) if memory else (0, 0)
    if two and kind == x86.X86_INS_ADD:
        base, index = first, second
    paired = PAIRED if base and index else 0
    if encoding.displacement and encoding.displacement_size > 1:
        width, written = 4 if encoding.displacement_size == 4 else 0, first if use == Use.ADDRESS else 0
        return DISPLACED | paired, (encoding.displacement, width, use, written, 0, base, index)
    if two and kind == x86.X86_INS_MOV:
        return COPY, (0, 0, 0, first, second, 0, 0)
    return paired, (0, 0, 0, 0, 0, base, index) if paired else _NO_FACTS


def _head(encoding: Encoding, size: int, modrm: int, code: bytes) -> int:
    """Bytes of the head; 0 when the parts as capstone tells them do not fill the instruction."""
    end = encoding.immediate or size
    if encoding.immediate and encoding.immediate + encoding.immediate_size != size:
        return 0
    if not encoding.displacement:
        return end
    if not encoding.modrm or encoding.displacement + _displacement(encoding, modrm, code) != end:
        return 0
    return encoding.displacement


def _displacement(encoding: Encoding, modrm: int, code: bytes) -> int:
    """Bytes of the displacement that the ModRM and SIB byte ask for (Intel SDM volume 2, tables 2-2, 2-3)."""
    mode, low = modrm >> 6, modrm & 7
    if mode in (1, 2):
        return 1 if mode == 1 else 4
    with_index = low == 4 and encoding.modrm + 1 < len(code) and code[encoding.modrm + 1] & 7 == 5
    return 4 if mode == 0 and (low == 5 or with_index) else 0
