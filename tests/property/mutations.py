"""Mutations of an image, each drawn at random with what it has to be reported as.

A drawing function takes the terrain and a source of random numbers, and gives a demand, or none when the draw
does not suit the law.
"""

import struct
from collections.abc import Callable, Mapping
from random import Random

from iced_x86 import Decoder, FlowControl, Instruction

from hpbuild.code.decode import RefKind
from hpbuild.code.model import FieldForm
from tests.property.judging import Demand
from tests.property.terrain import OF_ANY_ALPHABET, Step, Terrain

Draw = Callable[[Terrain, Random], Demand | None]
INITIALISERS = frozenset(("HP3001", "HP3007", "HP3009", "HP3015"))
"""A changed initialiser; the template of thread-local variables; a variable that leads to changed data; an
exported variable."""
ASSERTIONS = frozenset(
    (
        "_assert", "_wassert", "__assert_fail", "__assert_func", "__assert_rtn", "_CrtDbgReport",
        "_CrtDbgReportW", "_invalid_parameter",
    )
)  # fmt: skip
"""Functions of C libraries that get a line: of those a single one may move."""
_CALLS = frozenset((RefKind.CALL, RefKind.BRANCH))


def byte_of_code(here: Terrain, random: Random) -> Demand | None:
    """One bit of one instruction, so that it stays one instruction of that length, refers to no address and
    goes on to the next: a function that decodes into something else has other references or another end.
    Whoever enters the middle of the function changes with it."""
    step = random.choice(here.steps)
    free = [rva for rva in range(step.rva, step.rva + step.size) if rva not in here.fixed_bytes]
    rva = random.choice(free) if free else -1
    if rva < 0:
        return None
    old = _decode(here, step)
    new = bytearray(here.image.read(step.rva, step.size))
    new[rva - step.rva] ^= 1 << random.randrange(8)
    if not _alike(bytes(new), old):
        return None
    other = Decoder(64, bytes(new), ip=step.rva).decode()
    story = f"{step.mnemonic} {step.operands} at {step.rva:#x} becomes {other}"
    return Demand(
        story=f"{story}, in the function at {step.owner:#x}",
        edits={step.rva: bytes(new)},
        changed=frozenset((step.owner,)),
        within=here.entrants(step.owner),
    )


def constant_in_code(here: Terrain, random: Random) -> Demand | None:
    """Another 32-bit constant loaded into a register, by a little as a line number would be or by anything:
    no single change is a line number by chance, unless the C library's assertion gets it."""
    steps = here.constants
    if not steps:
        return None
    step = random.choice(steps)
    insn = _decode(here, step)
    value = insn.immediate(1) & 0xFFFFFFFF
    distance = random.choice([random.randint(-40, 40), random.getrandbits(32)])
    other = (value + distance) & 0xFFFFFFFF
    asserted = here.next_call(step) in ASSERTIONS
    if other == value or asserted or not here.fixed_bytes.isdisjoint(range(step.rva, step.rva + step.size)):
        return None
    return Demand(
        story=f"{value:#x} at {step.rva:#x} becomes {other:#x}, in the function at {step.owner:#x}",
        edits={step.rva + step.size - 4: struct.pack("<I", other)},
        changed=frozenset((step.owner,)),
        within=here.entrants(step.owner),
    )


def branch_target(here: Terrain, random: Random) -> Demand | None:
    """A call, or a jump that leaves the function, leads to another function's entry. The two functions differ
    in their bytes, else they might as well have changed places; and both are known without this reference."""
    rows = here.targets(_CALLS)
    if not rows:
        return None
    references = here.program.references
    row, other = random.choice(rows), random.choice(list(here.ranges))
    site, target = int(references.site[row]), int(references.target[row])
    owner = here.owner(site)
    if target not in here.ranges or other == target or here.code(other) == here.code(target):
        return None
    if other == owner or target == owner or not (here.known(target) and here.known(other)):
        return None
    field = other - (site + 4 + int(references.trailing[row]))
    return Demand(
        story=f"the branch at {site:#x} to {target:#x} goes to {other:#x}, in the function at {owner:#x}",
        edits={site: struct.pack("<i", field)},
        changed=frozenset((owner,)),
        within=here.entrants(owner),
    )


def named_address(here: Terrain, random: Random) -> Demand | None:
    """A RIP-relative operand names another datum of the same section that is known without it. Two other
    functions at least name each of the two: against one, the odd one out cannot be told."""
    references = here.program.references
    rows = here.targets(frozenset((RefKind.LEA, RefKind.MEMORY)))
    if not rows:
        return None
    row = random.choice(rows)
    site, target = int(references.site[row]), int(references.target[row])
    owner, section = here.owner(site), here.image.section_at(target)
    if section is None or section.executable or here.is_claimed(target):
        return None
    places = [at for at in here.anchors if section.rva <= at < section.rva + section.virtual_size]
    other = random.choice(places) if places else target
    if other == target or here.is_claimed(other) or (not section.writable and here.alike(target, other)):
        return None
    if any(len({item.owner for item in here.naming(at, at + 1)} - {owner}) < 2 for at in (target, other)):
        return None
    field = other - (site + 4 + int(references.trailing[row]))
    return Demand(
        story=f"the operand at {site:#x} names {other:#x} for {target:#x}, in the function at {owner:#x}",
        edits={site: struct.pack("<i", field)},
        changed=frozenset((owner,)),
        within=here.entrants(owner),
    )


def text(here: Terrain, random: Random) -> Demand | None:
    """One letter of a text that code takes. Its readers are all functions that take an address in it at or
    before that letter: a text may end with another one. Letters of other alphabets before it may belong to
    it, as a byte order mark does. When data names it too, more may have to change."""
    if not here.texts:
        return None
    start, end = random.choice(here.texts)
    rva = random.randrange(start, end)
    if rva in here.fixed_bytes or here.is_claimed(rva):
        return None
    old = here.image.read(rva, 1)[0]
    new = random.choice([letter for letter in range(0x20, 0x7F) if letter != old])
    begin = here.beginning(rva)
    readers = frozenset(item.owner for item in here.naming(begin, rva + 1))
    wider = here.beginning(rva, OF_ANY_ALPHABET)
    around = frozenset(item.owner for item in here.naming(wider, begin))
    return Demand(
        story=f"{chr(old)!r} at {rva:#x} becomes {chr(new)!r}, in the text at {start:#x}",
        edits={rva: bytes([new])},
        carried=readers,
        within=None if here.pointed(wider, rva + 1) else readers | around | here.reaching(rva),
        datum=rva,
    )


def constant(here: Terrain, random: Random) -> Demand | None:
    """One byte of constants that code names. Its readers are those that name the last address before it, that
    touch it by what they name, or that name any place of the symbol that holds it. When data names it too, or
    it is type information, more may have to change; and nobody can tell whether a constant whose address is
    taken goes on behind the next address, nor behind any number of those that are only read."""
    rva = _byte(here, random, writable=False)
    if rva < 0 or not here.reaching(rva):
        return None
    anchor = min(here.anchor(rva), here.symbol_run(rva)[0] or rva, here.beginning(rva))
    around = frozenset(item.owner for item in here.naming(here.anchor(anchor - 1), rva + 1))
    # A text without its end mark goes on into the next one.
    mark = not here.image.read(rva, 1)[0] and here.beginning(rva) < rva
    open_ended = mark or here.pointed(anchor, rva + 1) or here.is_structure(rva)
    return Demand(
        story=f"one bit of the constant at {rva:#x}",
        edits={rva: _flip(here, random, rva)},
        carried=here.reaching(rva),
        within=None if open_ended else here.reaching(rva) | around | here.indexing(rva),
        datum=rva,
    )


def part_of_constant(here: Terrain, random: Random) -> Demand | None:
    """One byte of a constant of which code names several places. Its readers are those that take an address
    at or before it, or touch it directly; those that name a later place may be."""
    if not here.shared:
        return None
    start, end = random.choice(here.shared)
    rva = random.randrange(start, end)
    if rva in here.fixed_bytes or here.is_claimed(rva):
        return None
    named = here.naming(start, end)
    readers = {item.owner for item in named if item.target <= rva and not item.size}
    readers |= {item.owner for item in named if item.target <= rva < item.target + item.size}
    return Demand(
        story=f"one bit of the constant at {rva:#x}, in {start:#x} to {end:#x}",
        edits={rva: _flip(here, random, rva)},
        carried=frozenset(readers),
        within=None
        if here.pointed(start, end)
        else frozenset(item.owner for item in named) | here.indexing(start),
        datum=rva,
    )


def pointer(here: Terrain, random: Random) -> Demand | None:
    """A pointer among constants leads to another function: a table of functions, a virtual table."""
    fields = here.program.fields
    rows = [
        row
        for row, form in enumerate(fields.form.tolist())
        if form == FieldForm.ADDR64 and int(fields.target[row]) in here.ranges
    ]
    if not rows:
        return None
    row, other = random.choice(rows), random.choice(list(here.ranges))
    site, target = int(fields.site[row]), int(fields.target[row])
    section = here.image.section_at(site)
    if section is None or here.is_claimed(site) or here.code(other) == here.code(target):
        return None
    if not (here.known(target) and here.known(other)):
        return None
    readers = frozenset(item.owner for item in here.naming(site, site + 1))
    return Demand(
        story=f"the pointer at {site:#x} to {target:#x} leads to {other:#x}",
        edits={site: struct.pack("<Q", here.image.image_base + other)},
        carried=frozenset() if section.writable else readers,
        datum=site,
        refused=INITIALISERS if section.writable else frozenset(),
    )


def variable(here: Terrain, random: Random) -> Demand | None:
    """One byte of the initial value of a variable that code names: reported, and refused."""
    rva = _byte(here, random, writable=True)
    if rva < 0 or not here.reaching(rva):
        return None
    return Demand(
        story=f"one bit of the variable at {rva:#x}",
        edits={rva: _flip(here, random, rva)},
        within=frozenset(),
        datum=rva,
        refused=INITIALISERS,
    )


def unwind(here: Terrain, random: Random) -> Demand | None:
    """The size of the prolog in an unwind record: it belongs to the functions that have the record."""
    fragments = here.program.fragments
    rows = [row for row, record in enumerate(fragments.unwind.tolist()) if record]
    if not rows:
        return None
    record = int(fragments.unwind[random.choice(rows)])
    owners = {here.owner(int(start)) for start in fragments.start[fragments.unwind == record]}
    return Demand(
        story=f"the prolog's size in the unwind record at {record:#x}",
        edits={record + 1: bytes([here.image.read(record + 1, 1)[0] ^ 1 << random.randrange(4)])},
        changed=frozenset(owners),
    )


LAWS: Mapping[str, Draw] = {
    "byte-of-code": byte_of_code,
    "constant-in-code": constant_in_code,
    "branch-target": branch_target,
    "named-address": named_address,
    "text": text,
    "constant": constant,
    "part-of-constant": part_of_constant,
    "pointer": pointer,
    "variable": variable,
    "unwind": unwind,
}
"""Every mutation by the name of its law."""


def _decode(here: Terrain, step: Step) -> Instruction:
    return Decoder(64, here.image.read(step.rva, step.size), ip=step.rva).decode()


def _alike(code: bytes, old: Instruction) -> bool:
    """True when ``code`` is one instruction of the same length that neither branches nor names an address."""
    new = Decoder(64, code, ip=old.ip).decode()
    plain = all(insn.flow_control == FlowControl.NEXT for insn in (old, new))
    return (
        plain
        and new.code != 0
        and new.len == len(code)
        and new.is_ip_rel_memory_operand == old.is_ip_rel_memory_operand
    )


def _byte(here: Terrain, random: Random, *, writable: bool) -> int:
    """RVA of a byte of data that belongs to no field and to no structure of the loader, or -1."""
    sections = here.sections(writable=writable)
    if not sections:
        return -1
    sizes = [min(section.raw_size, section.virtual_size) for section in sections]
    (section,) = random.choices(sections, sizes)
    rva = section.rva + random.randrange(min(section.raw_size, section.virtual_size))
    return -1 if rva in here.fixed_bytes or here.is_claimed(rva) else rva


def _flip(here: Terrain, random: Random, rva: int) -> bytes:
    return bytes([here.image.read(rva, 1)[0] ^ 1 << random.randrange(8)])
