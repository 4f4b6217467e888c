"""Where a jump in a process leads: through trampolines to a module, which is then named.

Only the forms of jump that ``windows.hook_shape`` knows are followed (Intel manual, volume 2: JMP rel32,
JMP rel8, JMP m64, MOV r64 with JMP r64, PUSH with RET); nothing is decoded.
"""

import struct
from collections.abc import Sequence

from hpbuild.errors import HpbuildError
from hpbuild.pe.processes import LoadedModule, Memory, module_at

LONGEST = 16
"""Bytes of code that are looked at in one place."""
_HOPS = 4


def jump_target(memory: Memory, address: int) -> int | None:
    """The address that the jump at ``address`` leads to, None when there is none that is known."""
    code = _read(memory, address, LONGEST)
    if code[:1] == b"\xe9" and len(code) >= 5:
        return _wrapped(address + 5 + int(struct.unpack_from("<i", code, 1)[0]))
    if code[:1] == b"\xeb" and len(code) >= 2:
        return _wrapped(address + 2 + int(struct.unpack_from("<b", code, 1)[0]))
    if code[:2] == b"\xff\x25" and len(code) >= 6:
        return _pointer(memory, _wrapped(address + 6 + int(struct.unpack_from("<i", code, 2)[0])))
    if len(code) >= 12 and code[0] in (0x48, 0x49) and 0xB8 <= code[1] <= 0xBF and b"\xff" in code[10:12]:
        return int.from_bytes(code[2:10], "little")
    if len(code) >= 6 and code[0] == 0x68 and (code[5] == 0xC3 or code[5:9] == b"\xc7\x44\x24\x04"):
        high = int.from_bytes(code[9:13], "little") if code[5] != 0xC3 else 0
        return int.from_bytes(code[1:5], "little") | high << 32
    return None


def describe_lead(memory: Memory, modules: Sequence[LoadedModule], address: int) -> str:
    """Where the jump at ``address`` leads, in words; '' when there is no jump. Jumps within the same module
    and through memory of no module are followed a few times, as hooking tools lay them."""
    home = module_at(modules, address)
    at, through, hops = address, "", 0
    while hops < _HOPS:
        target = jump_target(memory, at)
        if target is None:
            break
        module = module_at(modules, target)
        if module is not None and module is not home:
            return f"; it leads to {module.name} at {module.base:#x}+{target - module.base:#x}{through}"
        if module is None:
            through = f", through memory of no module at {target:#x}"
        at, hops = target, hops + 1
    if not hops:
        return ""
    if home is not None and at in home:
        return f"; it leads to {home.name} itself, RVA {at - home.base:#x}"
    return f"; it leads to {at:#x}, in no module"


def _pointer(memory: Memory, address: int) -> int | None:
    raw = _read(memory, address, 8)
    return int.from_bytes(raw, "little") if len(raw) == 8 else None


def _wrapped(address: int) -> int:
    return address % (1 << 64)


def _read(memory: Memory, address: int, size: int) -> bytes:
    """``size`` bytes, or as many as there are up to the end of the page; b'' when nothing is there."""
    for wanted in (size, min(size, 0x1000 - address % 0x1000)):
        try:
            return memory.read(address, wanted)
        except HpbuildError:
            continue
    return b""
