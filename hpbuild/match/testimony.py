"""Who says what about an address: what lies there, what its counterpart is, why two are no counterparts."""

from difflib import SequenceMatcher

import numpy as np

from hpbuild.code.columns import distinct
from hpbuild.code.decode import RefKind
from hpbuild.match.address_map import Evidence
from hpbuild.match.alignment import MAX_INSTRUCTIONS, Step
from hpbuild.match.atoms import Memory
from hpbuild.match.comparison import Comparison
from hpbuild.match.explained import Disagreement, Place
from hpbuild.match.pairing import Level
from hpbuild.match.places import Places
from hpbuild.match.sides import Side

SHOWN = 5
PREVIEW = 64
"""Bytes of data that are shown."""


def witnesses(comparison: Comparison, fragment: int) -> tuple[tuple[str, ...], int]:
    """Names of some functions that are identical and refer to ``fragment`` where their counterparts refer to
    its partner; and how many such functions there are."""
    side, fragments = comparison.fixed, comparison.fixed.program.fragments
    rows = np.flatnonzero((side.targets.code == fragment) & (side.targets.offset == 0))
    owners = side.program.references.fragment[rows]
    agreeing = owners[
        comparison.agreement.identical[owners] & (fragments.root[owners] != fragments.root[fragment])
    ]
    roots = distinct(fragments.root[agreeing]).tolist()
    return tuple(side.program.name_of(root) for root in roots[:SHOWN]), len(roots)


def disagreement(comparison: Comparison, row: int, other: int) -> Disagreement:
    """About row ``row`` of the fixed references and row ``other`` of the baseline's."""
    fixed, baseline = comparison.fixed, comparison.baseline
    ours, theirs = fixed.program.references, baseline.program.references
    return Disagreement(
        kind=RefKind(int(ours.kind[row])).name.lower(),
        fixed_site=int(ours.site[row]),
        baseline_site=int(theirs.site[other]),
        fixed=_place(fixed, fixed.targets, row, int(ours.target[row])),
        baseline=_place(baseline, baseline.targets, other, int(theirs.target[other])),
        testimony=tuple(_against(comparison, row, other)),
    )


def first_disagreement(comparison: Comparison, ours: list[Step], theirs: list[Step]) -> Disagreement | None:
    """The first reference of code that both sides have which names something else; None when all that they
    have in common agree."""
    if max(len(ours), len(theirs)) > MAX_INSTRUCTIONS:
        return None
    matcher = SequenceMatcher(None, [s.text for s in ours], [s.text for s in theirs], autojunk=False)
    for a, b, size in matcher.get_matching_blocks():
        for one, two in zip(ours[a : a + size], theirs[b : b + size], strict=True):
            for row, other in zip(one.references, two.references, strict=False):
                if not _agree(comparison, row, other):
                    return disagreement(comparison, row, other)
    return None


def unwind_disagreement(comparison: Comparison, fragment: int, partner: int) -> Disagreement:
    """About the unwind records of two fragments."""
    sites = tuple(
        int(side.program.fragments.unwind[index])
        for side, index in ((comparison.fixed, fragment), (comparison.baseline, partner))
    )
    if not all(sites):
        side = "baseline" if sites[0] else "fixed image"
        words = [f"only the {side} has no unwind record here"]
    else:
        atoms = comparison.fixed.atoms.one(sites[0]), comparison.baseline.atoms.one(sites[1])
        words = _data_words(comparison, *atoms) if min(atoms) >= 0 else ["one is not understood"]
    sides = (comparison.fixed, comparison.baseline)
    places = [_record_place(side, rva) for side, rva in zip(sides, sites, strict=True)]
    return Disagreement(
        kind="unwind",
        fixed_site=sites[0],
        baseline_site=sites[1],
        fixed=places[0],
        baseline=places[1],
        testimony=tuple(words),
    )


def _record_place(side: Side, rva: int) -> Place:
    if not rva:
        return Place(rva=0, section="", kind="nothing", name="", offset=0, content="")
    content = _bytes(side, rva, rva + 16)
    return Place(
        rva=rva, section=_section(side, rva), kind="loader", name="unwind record", offset=0, content=content
    )


def _agree(comparison: Comparison, row: int, other: int) -> bool:
    left, right = comparison.fixed.targets, comparison.baseline.targets
    if left.code[row] >= 0 or right.code[other] >= 0:
        partner = comparison.pairing.fixed[left.code[row]] if left.code[row] >= 0 else -2
        return bool(partner == right.code[other]) and bool(left.offset[row] == right.offset[other])
    atoms = int(left.atom[row]), int(right.atom[other])
    if min(atoms) >= 0:
        place = int(comparison.data.baseline[atoms[0]])
        known = place == int(comparison.baseline.atoms.start[atoms[1]])
        variable = comparison.fixed.atoms.memory[atoms[0]] != Memory.RODATA
        if known and (variable or comparison.data.same[atoms[0]]):
            return True
        return not _data_words(comparison, *atoms)[1:] and _same_bytes(comparison, *atoms)
    return bool(left.other[row] == right.other[other]) and max(atoms) < 0


def _same_bytes(comparison: Comparison, atom: int, mate: int) -> bool:
    """Constants of equal content are one constant, wherever they lie."""
    constant = comparison.fixed.atoms.memory[atom] == Memory.RODATA
    return bool(constant and comparison.fixed.atoms.digest[atom] == comparison.baseline.atoms.digest[mate])


def _against(comparison: Comparison, row: int, other: int) -> list[str]:
    """What speaks against two targets being counterparts."""
    left, right = comparison.fixed.targets, comparison.baseline.targets
    ours, theirs = int(left.code[row]), int(right.code[other])
    if ours >= 0 and theirs >= 0:
        return _code_words(comparison, ours, theirs, (int(left.offset[row]), int(right.offset[other])))
    atoms = int(left.atom[row]), int(right.atom[other])
    if min(atoms) >= 0:
        return _data_words(comparison, *atoms)
    return [
        "they are not of one kind" if left.other[row] == 0 or right.other[other] == 0 else "the names differ"
    ]


def _code_words(comparison: Comparison, ours: int, theirs: int, offsets: tuple[int, int]) -> list[str]:
    fixed, baseline = comparison.fixed.program, comparison.baseline.program
    words = []
    partner, mate = int(comparison.pairing.fixed[ours]), int(comparison.pairing.baseline[theirs])
    if partner == theirs:
        if offsets[0] != offsets[1]:
            return [f"they lie {offsets[0]:#x} and {offsets[1]:#x} bytes behind the start of one function"]
        return ["they lie inside of a function that differs itself"]
    if partner < 0:
        words.append(f"{fixed.name_of(ours)} has no counterpart in the baseline")
    else:
        start = int(baseline.fragments.start[partner])
        level = Level(int(comparison.pairing.level[ours])).label
        words.append(
            f"the counterpart of {fixed.name_of(ours)} is {baseline.name_of(partner)} at {start:#x} "
            f"(by {level})"
        )
        words += _said_by(comparison, ours)
    if mate >= 0:
        start = int(fixed.fragments.start[mate])
        level = Level(int(comparison.pairing.level[mate])).label
        words.append(
            f"{baseline.name_of(theirs)} is that of {fixed.name_of(mate)} at {start:#x} (by {level})"
        )
        words += _said_by(comparison, mate)
    return words


def _said_by(comparison: Comparison, fragment: int) -> list[str]:
    names, count = witnesses(comparison, fragment)
    if not count:
        return []
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return [f"  so refer to it {', '.join(names)}{more}, which are identical"]


def _data_words(comparison: Comparison, atom: int, mate: int) -> list[str]:
    """The first line tells what the map knows, the next what differs; only the first when nothing does."""
    fixed, baseline, data = comparison.fixed, comparison.baseline, comparison.data
    place = int(data.baseline[atom])
    start = int(baseline.atoms.start[mate])
    evidence = Evidence(int(data.evidence[atom])).label
    if place < 0:
        words = ["the datum has no counterpart in the baseline"]
    elif place == start:
        words = [f"the two are one datum (by {evidence})"]
    else:
        words = [f"the counterpart of the datum is at {place:#x} (by {evidence})"]
    length = int(min(fixed.atoms.end[atom] - fixed.atoms.start[atom], baseline.atoms.end[mate] - start))
    begin = int(fixed.atoms.start[atom])
    here, there = fixed.masked[begin : begin + length], baseline.masked[start : start + length]
    unequal = np.flatnonzero(here != there)
    if len(unequal):
        at = int(unequal[0])
        words.append(
            f"their content differs from byte {at} on: {here[at]:#04x}, in the baseline {there[at]:#04x}"
        )
    elif fixed.atoms.digest[atom] != baseline.atoms.digest[mate]:
        sizes = int(fixed.atoms.end[atom]) - begin, int(baseline.atoms.end[mate]) - start
        words.append(
            f"their extents or addresses in them differ: {sizes[0]} bytes, in the baseline {sizes[1]}"
        )
    else:
        words += _field_words(comparison, atom, mate)
    return words


def _field_words(comparison: Comparison, atom: int, mate: int) -> list[str]:
    """The first address in two data of equal bytes that leads to code which is no counterpart."""
    fixed, baseline = comparison.fixed, comparison.baseline
    low, high = int(fixed.atoms.first_field[atom]), int(fixed.atoms.last_field[atom])
    first = int(baseline.atoms.first_field[mate])
    for row, other in zip(range(low, high), range(first, first + high - low), strict=True):
        ours, theirs = int(fixed.pointers.code[row]), int(baseline.pointers.code[other])
        if ours >= 0 and int(comparison.pairing.fixed[ours]) != theirs:
            targets = int(fixed.program.fields.target[row]), int(baseline.program.fields.target[other])
            return [f"an address in them leads to {targets[0]:#x}, in the baseline to {targets[1]:#x}"]
        if fixed.pointers.atom[row] >= 0 and not comparison.data.same[fixed.pointers.atom[row]]:
            target = int(fixed.program.fields.target[row])
            return [f"an address in them leads to {target:#x}, which differs"]
    return []


def _place(side: Side, places: Places, row: int, rva: int) -> Place:
    program = side.program
    code, atom, offset = int(places.code[row]), int(places.atom[row]), int(places.offset[row])
    kind, name, content = "nothing", "", ""
    if code >= 0:
        kind, name = "function", program.name_of(code)
    elif atom >= 0:
        kind, name = "data", side.atoms.names.get(atom, "")
        content = _bytes(side, rva, int(side.atoms.end[atom]))
    elif rva in program.slots:
        kind, name = "import", program.slots[rva]
    else:
        name = next((name for name, start, end in program.metadata if start <= rva < end), "")
        kind = "loader" if name else kind
    return Place(
        rva=rva, section=_section(side, rva), kind=kind, name=name, offset=max(offset, 0), content=content
    )


def _section(side: Side, rva: int) -> str:
    section = side.program.image.section_at(rva)
    return section.name if section is not None else ""


def _bytes(side: Side, start: int, end: int) -> str:
    """The begin of data: text in quotes when it is text with an end, else hexadecimal."""
    content = side.program.image.read(start, min(end - start, PREVIEW))
    for width, encoding in ((1, "ascii"), (2, "utf-16-le")):
        text = _text(content, width, encoding)
        if text:
            return text
    return content[:16].hex() + ("..." if len(content) > 16 else "")


def _text(content: bytes, width: int, encoding: str) -> str:
    pieces = content[: len(content) // width * width].decode(encoding, "replace").split("\0", 1)
    shown = pieces[0]
    if len(shown) < 2 or not shown.isprintable() or "\ufffd" in shown or (width == 2 and not shown.isascii()):
        return ""
    return f'"{shown}"' + ("" if len(pieces) > 1 else "...")
