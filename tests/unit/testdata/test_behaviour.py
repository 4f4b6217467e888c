"""The example library does what its sources say, seen by running it in an emulator: the fix is a fix."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pefile
import pytest
from unicorn import UC_ARCH_X86, UC_MODE_64, Uc
from unicorn.x86_const import (
    UC_X86_REG_R8,
    UC_X86_REG_R9,
    UC_X86_REG_RAX,
    UC_X86_REG_RCX,
    UC_X86_REG_RDX,
    UC_X86_REG_RSP,
)

STACK = 0x10000000
BUFFER = 0x20000000
RETURN = 0x30000000
STUB = RETURN + 0x10
ARGUMENTS = (UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_R8, UC_X86_REG_R9)
NO_SPACE, BAD_SYMBOL, TRUNCATED = -2, -3, -1


@dataclass(frozen=True, slots=True)
class Machine:
    """An emulator with one DLL in it; imported functions return 0."""

    emulator: Uc
    exports: dict[str, int]

    def call(self, name: str, *arguments: int) -> int:
        """Call an export; returns EAX as a signed number."""
        stack = STACK + 0x8000
        self.emulator.mem_write(stack, RETURN.to_bytes(8, "little"))
        for i, value in enumerate(arguments[4:]):
            self.emulator.mem_write(stack + 0x28 + 8 * i, value.to_bytes(8, "little"))
        for register, value in zip(ARGUMENTS, arguments, strict=False):
            self.emulator.reg_write(register, value)
        self.emulator.reg_write(UC_X86_REG_RSP, stack)
        self.emulator.emu_start(self.exports[name], RETURN, count=100_000)
        value: int = self.emulator.reg_read(UC_X86_REG_RAX) & 0xFFFFFFFF
        return value - (value >> 31 << 32)

    def text(self, address: int, content: bytes) -> int:
        """Put *content* into memory; returns its address."""
        self.emulator.mem_write(address, content + b"\0")
        return address

    def decode(self, codec: bytes, data: bytes, room: int) -> tuple[int, bytes]:
        """Decode into a buffer of *room* bytes; returns the status and the 16 bytes that begin there."""
        name, source = self.text(BUFFER, codec), self.text(BUFFER + 0x100, data)
        self.emulator.mem_write(BUFFER + 0x800, b"." * 16)
        status = self.call("codec_decode", name, source, len(data), BUFFER + 0x800, room)
        return status, bytes(self.emulator.mem_read(BUFFER + 0x800, 16))


@pytest.fixture
def machine(binaries: Path) -> Callable[[str], Machine]:
    def start(side: str) -> Machine:
        image = pefile.PE(data=(binaries / side / "codec.dll").read_bytes())
        base = image.OPTIONAL_HEADER.ImageBase
        emulator = Uc(UC_ARCH_X86, UC_MODE_64)
        for address, size in ((base, 0x10000), (STACK, 0x10000), (BUFFER, 0x1000), (RETURN, 0x1000)):
            emulator.mem_map(address, size)
        emulator.mem_write(base, image.get_memory_mapped_image())
        emulator.mem_write(STUB, b"\x31\xc0\xc3")
        for library in image.DIRECTORY_ENTRY_IMPORT:
            for slot in library.imports:
                emulator.mem_write(slot.address, STUB.to_bytes(8, "little"))
        exports = {
            symbol.name.decode(): base + symbol.address for symbol in image.DIRECTORY_ENTRY_EXPORT.symbols
        }
        return Machine(emulator, exports)

    return start


@pytest.mark.parametrize("side", ["baseline", "fixed"])
def test_what_did_work_still_works(machine: Callable[[str], Machine], side: str) -> None:
    it = machine(side)
    assert it.decode(b"runlength", b"\x03a\x02b", 16) == (5, b"aaabb" + b"." * 11)
    assert it.decode(b"base64", b"aGVsbG8=", 16) == (5, b"hello" + b"." * 11)
    assert it.decode(b"hex", b"00ff", 16) == (2, b"\x00\xff" + b"." * 14)
    assert it.decode(b"base64", b"a*", 16)[0] == BAD_SYMBOL
    assert it.call("codec_partitions", 10, 10) == 42
    assert it.call("codec_checksum", it.text(BUFFER, b"123456789"), 9, 0) & 0xFFFFFFFF == 0xCBF43926
    program = it.text(BUFFER, bytes([1, 5, 5, 8, 2, 1, 1]))  # add 5, negate, then twice: add 1
    assert it.call("codec_transform", program, 7, 10) == -13


def test_baseline_writes_past_the_end_and_fixed_does_not(machine: Callable[[str], Machine]) -> None:
    assert machine("baseline").decode(b"runlength", b"\x08x", 4) == (8, b"xxxxxxxx" + b"." * 8)
    assert machine("fixed").decode(b"runlength", b"\x08x", 4) == (NO_SPACE, b"." * 16)
    assert machine("baseline").decode(b"base64", b"aGU=", 1) == (2, b"he" + b"." * 14)
    assert machine("fixed").decode(b"base64", b"aGU=", 1) == (NO_SPACE, b"." * 16)


def test_fixed_refuses_what_is_cut_off(machine: Callable[[str], Machine]) -> None:
    assert machine("baseline").decode(b"base64", b"aGVsb", 16)[0] == 3
    assert machine("fixed").decode(b"base64", b"aGVsb", 16)[0] == TRUNCATED
    complement = bytes([10])
    it = machine("fixed")
    assert it.call("codec_transform", it.text(BUFFER, complement), 1, 5) == ~5
    it = machine("baseline")
    assert it.call("codec_transform", it.text(BUFFER, complement), 1, 5) == 0
