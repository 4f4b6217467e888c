"""Memory over bytes: processes as they may be, for what no real one can be made to do."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hpbuild.codes.process import MEMORY_UNREADABLE
from hpbuild.errors import HpbuildError
from hpbuild.pe.image import Image
from hpbuild.pe.imports import imports
from hpbuild.pe.processes import LoadedModule
from hpbuild.pe.relocations import relocation_sites

PEB, LOADER, ENTRIES, TEXTS = 0x10000, 0x20000, 0x30000, 0x80000
RESOLVED = 0x7F0000001000
"""What every import slot holds after loading."""


@dataclass
class Parts:
    """Memory made of parts: address -> bytes."""

    parts: dict[int, bytearray] = field(default_factory=dict)

    def put(self, address: int, content: bytes) -> None:
        """Write into the part that holds ``address``, or make one."""
        for start, part in self.parts.items():
            if start <= address and address + len(content) <= start + len(part):
                part[address - start : address - start + len(content)] = content
                return
        self.parts[address] = bytearray(content)

    def read(self, address: int, size: int) -> bytes:
        """As ``Memory.read``; parts that touch are read through."""
        found = b""
        while len(found) < size:
            at = address + len(found)
            part = next(
                ((start, raw) for start, raw in self.parts.items() if start <= at < start + len(raw)), None
            )
            if part is None:
                raise HpbuildError(MEMORY_UNREADABLE, "parts", f"nothing at {at:#x}")
            start, raw = part
            found += bytes(raw[at - start : at - start + size - len(found)])
        return found


def loaded(image: Image, base: int, *, rename_base: bool = False) -> bytearray:
    """``image`` as a loader leaves it at ``base``: relocated, imports resolved; ``rename_base``: with the
    base in its header, as Windows does it."""
    content = image.memory.copy()
    sites = relocation_sites(image).astype(np.int64)
    moved = base - image.image_base
    for site in sites.tolist():
        value = int.from_bytes(content[site : site + 8].tobytes(), "little")
        content[site : site + 8] = np.frombuffer(((value + moved) % 2**64).to_bytes(8, "little"), np.uint8)
    raw = bytearray(content.tobytes())
    for number, item in enumerate(imports(image)):
        if not item.delay:
            raw[item.slot : item.slot + 8] = struct.pack("<Q", RESOLVED + 16 * number)
    if rename_base:
        at = int.from_bytes(raw[0x3C:0x40], "little") + 48
        raw[at : at + 8] = struct.pack("<Q", base)
    return raw


def module(image: Image, base: int, name: str = "") -> LoadedModule:
    """The loader's entry for ``image`` at ``base``."""
    label = name or image.name
    return LoadedModule(name=label, path=f"C:\\app\\{label}", file=None, base=base, size=image.size_of_image)


def process(modules: Iterable[tuple[str, int, int]]) -> Parts:
    """The blocks of a process at PEB, with a list of modules: (path, base, size)."""
    memory = Parts()
    rows = list(modules)
    links = [ENTRIES + 0x100 * index + 0x10 for index in range(len(rows))]
    head = LOADER + 0x20
    memory.put(PEB, bytes(0x1000))
    memory.put(LOADER, bytes(0x1000))
    memory.put(ENTRIES, bytes(0x100 * len(rows) + 0x100))
    memory.put(PEB + 0x18, struct.pack("<Q", LOADER))
    _chain(memory, [head, *links])
    for index, (path, base, size) in enumerate(rows):
        text = path.encode("utf-16-le")
        at = TEXTS + 0x10000 * index
        name = path.rpartition("\\")[2].encode("utf-16-le")
        memory.put(at, text + b"\0\0")
        fields = struct.pack("<QQQ", base, base + 0x1000, size)
        strings = struct.pack("<HHIQ", len(text), len(text) + 2, 0, at)
        strings += struct.pack("<HHIQ", len(name), len(name) + 2, 0, at + len(text) - len(name))
        memory.put(links[index] - 0x10 + 0x30, fields + strings)
    return memory


def _chain(memory: Parts, links: Sequence[int]) -> None:
    for at, following in zip(links, [*links[1:], links[0]], strict=True):
        memory.put(at, struct.pack("<Q", following))


def dump_of(modules: Sequence[LoadedModule], memory: Parts) -> bytes:
    """A minidump with these modules and all of ``memory``."""
    names = b"".join(
        struct.pack("<I", 2 * len(each.path)) + each.path.encode("utf-16-le") for each in modules
    )
    offsets, at = [], 32
    for each in modules:
        offsets.append(at)
        at += 4 + 2 * len(each.path)
    rows = b"".join(
        struct.pack("<QIIII", each.base, each.size, 0, 0, offset) + bytes(84)
        for each, offset in zip(modules, offsets, strict=True)
    )
    parts = sorted(memory.parts.items())
    ranges = b"".join(struct.pack("<QQ", start, len(raw)) for start, raw in parts)
    streams = [(7, struct.pack("<H", 9) + bytes(54)), (4, struct.pack("<I", len(modules)) + rows)]
    sizes = 12 * 3 + sum(len(content) for _, content in streams) + 16 + len(ranges)
    directory = 32 + len(names)
    streams.append((9, struct.pack("<QQ", len(parts), directory + sizes) + ranges))
    head = struct.pack("<4sIIIIIQ", b"MDMP", 0xA793, len(streams), directory, 0, 0, 2)
    table, content = b"", b""
    for kind, stream in streams:
        table += struct.pack("<III", kind, len(stream), directory + 12 * len(streams) + len(content))
        content += stream
    return head + names + table + content + b"".join(bytes(raw) for _, raw in parts)
