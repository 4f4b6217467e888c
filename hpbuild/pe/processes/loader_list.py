"""The loader's list of modules, read from another process's memory, which may lie.

Source: ``TEB``, ``PEB``, ``PEB_LDR_DATA`` and ``LDR_DATA_TABLE_ENTRY`` of ``winternl.h``, with the offsets
that 64-bit Windows has had since Windows 7 and that Wine shares.
"""

import struct

from hpbuild.codes import process as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.access import printable
from hpbuild.pe.processes.model import ADDRESS_LIMIT, PAGE, LoadedModule, Memory

TEB_SELF, TEB_PROCESS, TEB_PEB = 0x30, 0x40, 0x60
_PEB_IMAGE_BASE, _PEB_LOADER = 0x10, 0x18
_LOADER_MEMORY_ORDER = 0x20
_ENTRY_LINKS = 0x10
_ENTRY_SIZE = 0x68
MAX_MODULES = 8192
MACHINE_X64 = 0x8664
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Blocks:
    """A thread's block: the process's own block ``peb`` (an address) and its Windows process id."""

    peb: int
    windows_pid: int


def blocks_at(memory: Memory, address: int) -> Blocks | None:
    """What the thread environment block at ``address`` says, None when there is no such block."""
    raw = memory.read(address, TEB_PEB + 8)
    if _u64(raw, TEB_SELF) != address:
        return None
    peb, pid = _u64(raw, TEB_PEB), _u64(raw, TEB_PROCESS)
    plausible = peb and not peb % PAGE and peb < ADDRESS_LIMIT and 0 < pid < 1 << 32
    return Blocks(peb, pid) if plausible else None


def main_machine(memory: Memory, peb: int, place: str) -> int:
    """Machine type of the program's own image. Raises HpbuildError PROCESS_STARTING, LOADER_LIST."""
    base = _u64(memory.read(peb + _PEB_IMAGE_BASE, 8), 0)
    if not base:
        raise HpbuildError(codes.PROCESS_STARTING, place, "it has no program yet")
    if base % PAGE or base >= ADDRESS_LIMIT:
        raise HpbuildError(codes.LOADER_LIST, place, f"the program's image is said to lie at {base:#x}")
    head = memory.read(base, 0x40)
    (offset,) = struct.unpack_from("<I", head, 0x3C)
    if head[:2] != b"MZ" or not 0x40 <= offset < PAGE:
        raise HpbuildError(codes.LOADER_LIST, place, f"there is no image at {base:#x}")
    signature, machine = struct.unpack("<4sH", memory.read(base + offset, 6))
    if signature != b"PE\0\0":
        raise HpbuildError(codes.LOADER_LIST, place, f"there is no image at {base:#x}")
    return int(machine)


def settled_modules(memory: Memory, peb: int, place: str) -> tuple[LoadedModule, ...]:
    """``loaded_modules`` of a process that runs: the list may change while it is read, so there are a few
    attempts, and the last one's refusal counts."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return loaded_modules(memory, peb, place)
        except HpbuildError as error:
            if error.code not in (codes.LOADER_LIST, codes.MEMORY_UNREADABLE):
                raise
    return loaded_modules(memory, peb, place)


def loaded_modules(memory: Memory, peb: int, place: str) -> tuple[LoadedModule, ...]:
    """The modules in the loader's memory order, ``file`` not known. ``place`` names the process.

    Raises HpbuildError: PROCESS_STARTING without a list, LOADER_LIST for one that loops, is longer than
    8192 entries, or has an impossible or overlapping entry.
    """
    loader = _u64(memory.read(peb + _PEB_LOADER, 8), 0)
    if not loader:
        raise HpbuildError(codes.PROCESS_STARTING, place, "the loader has not begun")
    head = loader + _LOADER_MEMORY_ORDER
    at = _link(memory, head, place)
    modules: list[LoadedModule] = []
    seen = {head}
    while at != head:
        if at in seen:
            raise HpbuildError(codes.LOADER_LIST, place, f"it comes back to {at:#x}")
        if len(modules) == MAX_MODULES:
            raise HpbuildError(codes.LOADER_LIST, place, f"more than {MAX_MODULES} entries")
        seen.add(at)
        modules.append(_entry(memory, at - _ENTRY_LINKS, place))
        at = _link(memory, at, place)
    if not modules:
        raise HpbuildError(codes.PROCESS_STARTING, place, "the loader's list is empty")
    check_disjoint(modules, place, codes.LOADER_LIST)
    return tuple(modules)


def _link(memory: Memory, at: int, place: str) -> int:
    target = _u64(memory.read(at, 8), 0)
    if target % 8 or not PAGE <= target < ADDRESS_LIMIT:
        raise HpbuildError(codes.LOADER_LIST, place, f"the entry at {at:#x} leads to {target:#x}")
    return target


def _entry(memory: Memory, at: int, place: str) -> LoadedModule:
    raw = memory.read(at, _ENTRY_SIZE)
    base, _, size = struct.unpack_from("<QQI", raw, 0x30)
    if base % PAGE or not PAGE <= base < ADDRESS_LIMIT or not size or base + size > ADDRESS_LIMIT:
        raise HpbuildError(codes.LOADER_LIST, place, f"a module of {size:#x} bytes at {base:#x}")
    path, name = (_text(memory, raw, offset, place) for offset in (0x48, 0x58))
    return LoadedModule(name=name or path.rpartition("\\")[2], path=path, file=None, base=base, size=size)


def _text(memory: Memory, raw: bytes, offset: int, place: str) -> str:
    """The UNICODE_STRING at ``offset`` of ``raw``: length in bytes, capacity, address of UTF-16 text."""
    length, _, address = struct.unpack_from("<HH4xQ", raw, offset)
    if length % 2:
        raise HpbuildError(codes.LOADER_LIST, place, f"a name of {length} bytes at {address:#x}")
    return wide_text(memory.read(address, length)) if length else ""


def wide_text(raw: bytes) -> str:
    """UTF-16 text as the process gives it; what does not print is escaped, a lone surrogate replaced."""
    text = raw.decode("utf-16-le", "replace")
    return "".join(c if c.isprintable() else printable(c.encode("utf-8")) for c in text)


def check_disjoint(modules: list[LoadedModule], place: str, code: Code) -> None:
    """HpbuildError ``code`` when two of ``modules`` share an address."""
    end = 0
    for module in sorted(modules, key=lambda each: each.base):
        if module.base < end:
            cause = f"{module.name} at {module.base:#x} overlaps the module below it"
            raise HpbuildError(code, place, cause)
        end = module.end


def _u64(raw: bytes, offset: int) -> int:
    return int.from_bytes(raw[offset : offset + 8], "little")
