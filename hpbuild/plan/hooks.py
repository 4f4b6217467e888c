"""Entries that are redirected in the baseline already, by a hook or by another patch.

Sources of the shapes: the two-byte jump back of Windows' hotpatching, whose engine takes displacements from
0xEE on for a patched entry; the public hooking libraries' five-byte jump, their jump through a pointer right
behind it, and their jump through a register.
"""

import numpy as np
import numpy.typing as npt

from hpbuild.code.decode import instructions
from hpbuild.code.model import I64, Program
from hpbuild.codes import traps as codes
from hpbuild.errors import Finding
from hpbuild.match.comparison import Comparison
from hpbuild.pe.image import Image
from hpbuild.pe.load_config import load_config
from hpbuild.plan.selection import Selection

_SHORT_JUMP, _NEAR_JUMP = 0xEB, 0xE9
_NEAR_LENGTH = 5
"""Bytes of the near jump."""
_PATCHED = 0xEE
"""Displacements from here on (-18 to -1) lead to the filler before the entry."""
_THROUGH_NEXT = bytes.fromhex("ff2500000000")
_LONGEST = 16
_FILLER = b"\xcc\x90\0"
_BEGINS = np.isin(np.arange(256), (_SHORT_JUMP, _NEAR_JUMP, _THROUGH_NEXT[0]))
Bools = npt.NDArray[np.bool_]


def may_be_hooked(image: Image, starts: I64) -> Bools:
    """By entry: its first bytes are those of one of the shapes of ``hook``."""
    first = image.memory[starts]
    second = image.memory[np.minimum(starts + 1, len(image.memory) - 1)]
    found: Bools = _BEGINS[first] | (first == 0x48) & (second == 0xB8)
    return found


def hook(program: Program, root: int) -> str:
    """What the entry of the function with first fragment ``root`` is redirected by; '' when it is not."""
    image = program.image
    start, end = int(program.fragments.start[root]), int(program.fragments.end[root])
    head = image.read(start, min(_LONGEST, image.size_of_image - start))
    if head[:1] == bytes([_SHORT_JUMP]) and head[1:2] >= bytes([_PATCHED]):
        return f"a short jump to {start + 2 + head[1] - 256:#x}, before the entry"
    if head.startswith(_THROUGH_NEXT):
        return "a jump through the pointer behind it"
    if head[:2] == b"\x48\xb8" and head[10:12] == b"\xff\xe0" and not _relocated(program, start + 2):
        return "a jump to a fixed address in a register"
    if head[:1] != bytes([_NEAR_JUMP]) or len(head) < _NEAR_LENGTH:
        return ""
    target = instructions(head[:_NEAR_LENGTH], start)[0].near_branch_target
    section = image.section_at(target)
    if section is None or not section.executable:
        return f"a jump to {target:#x}, where the image has no code"
    rest = image.read(start + _NEAR_LENGTH, max(0, end - start - _NEAR_LENGTH)).strip(_FILLER)
    if section != image.section_at(start) and rest:
        return f"a jump to {target:#x} in section {section.name}, over {len(rest)} bytes of a body"
    return ""


def _relocated(program: Program, site: int) -> bool:
    references = program.references
    low, high = references.site.searchsorted([site, site + 1]).tolist()
    return bool(high > low)


def patched_already(comparison: Comparison, selection: Selection) -> list[Finding]:
    """A refusal when something would be carried from or for an image with a hotpatch table."""
    if not selection.functions:
        return []
    findings = []
    for what, side in (("baseline", comparison.baseline), ("fixed", comparison.fixed)):
        config = load_config(side.program.image)
        if config is not None and config.hot_patch_table is not None:
            cause = f"its hotpatch table is at {int(config.hot_patch_table):#x}"
            findings.append(Finding(codes.PATCHED_BASELINE, what, cause))
    return findings
