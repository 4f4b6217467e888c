"""A patched baseline does what the fixed DLL does, seen by running both in an emulated processor.

The package is built, written, read again, placed at its nominal address or moved under another image base,
and the redirections are written into the mapped baseline. Then both get the same calls.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import unicorn
from unicorn import x86_const as x86

from hpbuild.bundle.reader import read_bundle
from hpbuild.manifest.codec import decode
from hpbuild.patchimage.place import place
from hpbuild.patchimage.read import read_patch_image
from hpbuild.patchimage.redirection import redirected
from hpbuild.pe.exports import exports
from hpbuild.pe.image import Image
from hpbuild.pe.imports import imports
from hpbuild.pe.reader import read_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.tls import tls
from hpbuild.pipeline import BuildRequest, assemble, build
from hpbuild.values import Interval

STACK, BUFFERS, STUBS, THREAD = 0x10000000, 0x20000000, 0x30000000, 0x40000000
RETURN = STUBS
INPUT, OUTPUT, NAME = BUFFERS, BUFFERS + 0x1000, BUFFERS + 0x2000
HEAP = BUFFERS + 0x8000
PAGE = 0x1000
ARGUMENTS = (x86.UC_X86_REG_RCX, x86.UC_X86_REG_RDX, x86.UC_X86_REG_R8, x86.UC_X86_REG_R9)
RESULTS = {"GetCurrentThreadId": 77, "GetProcessHeap": 1, "HeapAlloc": HEAP, "HeapFree": 1}
PLACES = {"nominal": (0, 0), "moved": (0x7FF600000000, 0x7FE00000)}
"""Image base (0: the preferred one) and distance of the patch image."""


@dataclass
class Machine:
    """A mapped DLL. ``log`` collects debug output; ``executed`` counts instructions inside ``watched``."""

    image: Image
    base: int
    parts: dict[int, bytes]
    watched: Interval
    log: list[bytes] = field(default_factory=list)
    executed: int = 0

    def __post_init__(self) -> None:
        self.emulator = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        for rva, content in self.parts.items():
            self.emulator.mem_map(self.base + rva, -(-len(content) // PAGE) * PAGE)
            self.emulator.mem_write(self.base + rva, content)
        for address in (STACK, BUFFERS, STUBS, THREAD):
            self.emulator.mem_map(address, 0x10000)
        self.names = {}
        for number, item in enumerate(imports(self.image), start=1):
            stub = STUBS + 16 * number
            self.names[stub] = item.name
            self.emulator.mem_write(stub, b"\xc3")
            self.emulator.mem_write(self.base + item.slot, stub.to_bytes(8, "little"))
        self.exports = {item.name: self.base + item.rva for item in exports(self.image)}
        self._thread_local()
        self.emulator.hook_add(unicorn.UC_HOOK_CODE, self._imported, begin=STUBS + 16, end=STUBS + PAGE)
        first, last = self.base + self.watched.start, self.base + self.watched.end - 1
        self.emulator.hook_add(unicorn.UC_HOOK_CODE, self._inside, begin=first, end=last)

    def _thread_local(self) -> None:
        local = tls(self.image)
        template = self.image.read(local.template.start, len(local.template)) if local else b""
        self.emulator.mem_write(THREAD + 0x58, struct.pack("<Q", THREAD + 0x100))
        self.emulator.mem_write(THREAD + 0x100, struct.pack("<Q", THREAD + 0x200))
        self.emulator.mem_write(THREAD + 0x200, template)
        self.emulator.reg_write(x86.UC_X86_REG_GS_BASE, THREAD)

    def _imported(self, emulator: unicorn.Uc, address: int, size: int, _: object) -> None:
        name = self.names[address]
        if name == "OutputDebugStringA":
            self.log.append(self.text(emulator.reg_read(x86.UC_X86_REG_RCX)))
        emulator.reg_write(x86.UC_X86_REG_RAX, RESULTS.get(name, 0))

    def _inside(self, *_: object) -> None:
        self.executed += 1

    def text(self, address: int) -> bytes:
        """Bytes at ``address`` up to the first zero."""
        return bytes(self.emulator.mem_read(address, 64)).split(b"\0")[0] if address else b"(none)"

    def call(self, name: str, *arguments: int) -> int:
        """RAX of a call of an export, which must return."""
        stack = STACK + 0x8000
        self.emulator.mem_write(stack, RETURN.to_bytes(8, "little"))
        for index, value in enumerate(arguments[4:]):
            self.emulator.mem_write(stack + 0x28 + 8 * index, value.to_bytes(8, "little"))
        for register, value in zip(ARGUMENTS, arguments, strict=False):
            self.emulator.reg_write(register, value)
        self.emulator.reg_write(x86.UC_X86_REG_RSP, stack)
        self.emulator.emu_start(self.exports[name], RETURN, count=1_000_000)
        assert self.emulator.reg_read(x86.UC_X86_REG_RIP) == RETURN
        assert self.emulator.reg_read(x86.UC_X86_REG_RSP) == stack + 8
        return int(self.emulator.reg_read(x86.UC_X86_REG_RAX))

    def number(self, name: str, *arguments: int) -> int:
        """EAX of a call."""
        return self.call(name, *arguments) & 0xFFFFFFFF

    def put(self, address: int, content: bytes) -> int:
        """Write ``content``, zeros behind it; returns the address."""
        self.emulator.mem_write(address, content.ljust(0x800, b"\0"))
        return address

    def output(self, size: int = 0x400) -> bytes:
        """What lies in the output buffer."""
        return bytes(self.emulator.mem_read(OUTPUT, size))


def _relocated(image: Image, base: int) -> bytes:
    """The image as the loader maps it at ``base``."""
    memory = bytearray(image.memory.tobytes())
    for site in relocation_sites(image).tolist():
        (value,) = struct.unpack_from("<Q", memory, site)
        struct.pack_into("<Q", memory, site, value + base - image.image_base)
    return bytes(memory)


def _plain(path: Path) -> Machine:
    image = read_image(path)
    return Machine(image, image.image_base, {0: image.memory.tobytes()}, Interval(0, image.size_of_image))


@cache
def _package(baseline: Path, fixed: Path, symbols: str) -> bytes:
    request = BuildRequest(
        baseline=baseline,
        fixed=fixed,
        id="T-1",
        sequence=1,
        product="test",
        advisories=(),
        created="",
        symbols=symbols,
    )
    result = build(request, lambda *_: None)
    assert not result.refused
    assert all(proof.ok for proof in result.proofs)
    return assemble(result)


def _patched(baseline: Path, package: bytes, base: int, delta: int) -> Machine:
    """The baseline at ``base`` with the package applied, its patch image moved by ``delta``."""
    bundle = read_bundle(package)
    (module,) = decode(bundle.manifest).modules
    image = read_image(baseline)
    base = base or image.image_base
    patch = read_patch_image(bundle.members[module.image.member], "patch", image.size_of_image)
    moved = place(patch.memory, patch.range, image.image_base, module.fixups, base, delta)
    memory = bytearray(_relocated(image, base))
    for row in module.redirections:
        old = bytes(memory[row.window.start : row.window.end])
        assert old == row.old
        target = module.functions[row.function].patch[0].start
        assert redirected(row.kind, row.entry, row.window, old, target) == row.new
        memory[row.window.start : row.window.end] = redirected(
            row.kind, row.entry, row.window, old, target + delta
        )
    there = Interval(patch.range.start + delta, patch.range.end + delta)
    return Machine(image, base, {0: bytes(memory), there.start: moved}, there)


def _codec_calls(machine: Machine) -> Iterator[object]:
    chance = random.Random(20)
    for name in (b"runlength", b"base64", b"hex", b"rot13"):
        for _ in range(30):
            plain = bytes(chance.choices(b"ab\0\x07xyz09=", k=chance.randrange(24)))
            room = chance.randrange(48)
            machine.put(OUTPUT, b"." * 0x400)
            arguments = (machine.put(NAME, name), machine.put(INPUT, plain), len(plain), OUTPUT, room)
            for function in ("codec_encode", "codec_decode"):
                yield name, plain, room, machine.number(function, *arguments), machine.output()
    for text in (b"aGVsbG8=", b"aGVsbG8", b"aGVsbA==", b"aGVs*", b"a", b"aGU", b"aGVsbG8gd29ybGQ"):
        for room in (0, 1, 2, 3, 5, 40):
            machine.put(OUTPUT, b"." * 0x400)
            arguments = (machine.put(NAME, b"base64"), machine.put(INPUT, text), len(text), OUTPUT, room)
            yield text, room, machine.number("codec_decode", *arguments), machine.output()
    for runs in (b"\x08x", b"\x40y\x21z", b"\xffq", b"\x03a\x02", b"\x03"):
        for room in (0, 4, 8, 64, 256):
            machine.put(OUTPUT, b"." * 0x400)
            arguments = (machine.put(NAME, b"runlength"), machine.put(INPUT, runs), len(runs), OUTPUT, room)
            yield runs, room, machine.number("codec_decode", *arguments), machine.output()
    for _ in range(120):
        program = bytes(chance.choice((chance.randrange(13), 3)) for _ in range(chance.randrange(9)))
        yield program, machine.number("codec_transform", machine.put(INPUT, program), len(program), 1000003)
    for status in (0, 5, -1, -2, -3, -4, -5, -(1 << 31)):
        yield status, machine.text(machine.call("codec_status_text", status & 0xFFFFFFFF))
    for kind in range(3):
        yield machine.number("codec_checksum", machine.put(INPUT, b"123456789"), 9, kind)
    codec = machine.call("codec_find", machine.put(NAME, b"runlength"))
    yield machine.number("codec_roundtrip", codec, machine.put(INPUT, b"aaabbbbbb"), 9)
    yield [machine.number(name) for name in ("codec_longest_run", "codec_lookups", "codec_trace_thread")]


def _gadget_calls(machine: Machine) -> Iterator[object]:
    chance = random.Random(21)
    for threshold in (40, -3, 1000):
        yield machine.number("gadget_set_threshold", threshold & 0xFFFFFFFF) * 0
        for _ in range(12):
            raw = chance.randbytes(48)
            yield machine.number("gadget_weigh", machine.put(INPUT, raw), chance.randrange(48))
            small = b"".join(
                struct.pack("<Ii", chance.randrange(9), chance.randrange(-50, 99)) for _ in range(6)
            )
            yield machine.number("gadget_measure", machine.put(INPUT, small), chance.randrange(4))
            value = chance.randrange(-60, 60) & 0xFFFFFFFF
            for name in ("gadget_lower_left", "gadget_lower_right", "gadget_report", "gadget_enter"):
                yield name, value, machine.number(name, value)
        yield machine.number("gadget_depth"), machine.number("gadget_threshold")


def _throwing_calls(machine: Machine) -> Iterator[object]:
    """Only what throws nothing: there is no unwinder in the emulator."""
    for text in (b"0", b"42", b"429496728", b"4294967290"):
        status = machine.number("number_or_status", machine.put(INPUT, text), machine.put(OUTPUT, b"...."))
        yield text, status, machine.output(8)
    machine.put(INPUT, struct.pack("<4Q", OUTPUT, OUTPUT + 8, OUTPUT, OUTPUT + 8))
    machine.put(OUTPUT, b"12\0\0\0\0\0\x00345\0")
    yield machine.number("sum", INPUT, 4)
    for address in (INPUT, INPUT + 1, INPUT + 2, INPUT + 4):
        yield machine.number("read_or", address, 99)
    yield machine.number("copy_counted", OUTPUT, INPUT, 5), machine.output()
    yield [machine.number("area_of", round_) for round_ in (0, 1)]
    yield [machine.text(machine.call("severity_name", severity)) for severity in range(4)]
    yield machine.number("scopes"), machine.number("largest_number")


CALLS: dict[str, Callable[[Machine], Iterator[object]]] = {
    "codec": _codec_calls,
    "gadget": _gadget_calls,
    "throwing": _throwing_calls,
}


def _pair(binaries: Path, where: str) -> tuple[Path, Path, str]:
    folder, name = (binaries, where) if where in CALLS else (binaries / "variants" / where, "gadget")
    return folder / "baseline" / f"{name}.dll", folder / "fixed" / f"{name}.dll", name


def _outcome(machine: Machine, name: str) -> tuple[list[object], list[bytes]]:
    return list(CALLS[name](machine)), machine.log


MODULES = ["codec", "throwing", "constant_table", "pad_jump", "removed", "static_var", "type_layout"]


@pytest.mark.parametrize("where", MODULES)
@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("placed", PLACES)
def test_the_patched_baseline_does_what_the_fixed_image_does(
    binaries: Path, where: str, symbols: str, placed: str
) -> None:
    baseline, fixed, name = _pair(binaries, where)
    if where == "type_layout":
        # Its PDBs tell of a structure that grew, and that refuses; no object of it outlives a call here.
        symbols = "none"
    wanted = _outcome(_plain(fixed), name)
    machine = _patched(baseline, _package(baseline, fixed, symbols), *PLACES[placed])
    found = _outcome(machine, name)
    assert machine.executed
    assert found[0] == wanted[0]
    assert found[1] == wanted[1]


@pytest.mark.parametrize("where", MODULES)
def test_the_baseline_alone_does_not(binaries: Path, where: str) -> None:
    """The calls above reach what was fixed."""
    baseline, fixed, name = _pair(binaries, where)
    assert _outcome(_plain(baseline), name) != _outcome(_plain(fixed), name)
