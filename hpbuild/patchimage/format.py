"""The shape of a patch image, shared by its writer and its reader: constants, rounding.

Section flags and header values: PE specification, "Section Flags", "Characteristics", "DLL
Characteristics". The order of ``SECTIONS`` is the order in the file and in the address space.
"""

from typing import Final

PAGE: Final = 0x1000
"""Section alignment in bytes."""
FILE_ALIGNMENT: Final = 0x200
GRANULARITY: Final = 0x10000
"""A patch image starts at, and moves by, multiples of this (64 KiB, Windows' allocation granularity)."""
REACH: Final = 1 << 31
"""Every RVA of a patch image is below this: 32-bit displacements still reach the baseline."""
LARGEST_IMAGE: Final = 1 << 30
"""SizeOfImage that the reader accepts; at its nominal place a patch image ends no higher."""
LARGEST_ZERO_FILL: Final = 1 << 26
"""Bytes of section ``.bss``: a small file may not ask for unbounded memory."""

MACHINE_AMD64: Final = 0x8664
PE32_PLUS: Final = 0x20B
PE_OFFSET: Final = 0x80
"""``e_lfanew``; between the MZ header (64 bytes) and it there are zeros."""
TIME_STAMP_OFFSET: Final = PE_OFFSET + 8
CHECKSUM_OFFSET: Final = PE_OFFSET + 24 + 64
OPTIONAL_HEADER_SIZE: Final = 240
SECTION_HEADER_SIZE: Final = 40
SYSTEM_VERSION: Final = 6
"""Major version of operating system and subsystem; the first Windows with this native table is later."""
CHARACTERISTICS: Final = 0x2022
"""EXECUTABLE_IMAGE, LARGE_ADDRESS_AWARE, DLL."""
DLL_CHARACTERISTICS: Final = 0x160
"""HIGH_ENTROPY_VA, DYNAMIC_BASE, NX_COMPAT."""

DIRECTORY_EXCEPTION: Final = 3
DIRECTORY_RELOCATIONS: Final = 5
DIRECTORY_LOAD_CONFIG: Final = 10

LOAD_CONFIG_SIZE: Final = 0x140
"""The load configuration opens section ``.hotp``; the hotpatch blob follows it immediately."""
NATIVE_VERSION: Final = 3
"""Version of ``IMAGE_HOT_PATCH_INFO``."""
NATIVE_EXTRA_DWORDS: Final = 1
"""DWORDs that every record has beyond its two RVAs; ``native`` says what they hold."""

TEXT: Final = ".text"
RDATA: Final = ".rdata"
XDATA: Final = ".xdata"
DATA: Final = ".data"
BSS: Final = ".bss"
PDATA: Final = ".pdata"
HOTP: Final = ".hotp"
RELOC: Final = ".reloc"

SECTIONS: Final[dict[str, int]] = {
    TEXT: 0x60000020,
    RDATA: 0x40000040,
    XDATA: 0x40000040,
    DATA: 0xC0000040,
    BSS: 0xC0000080,
    PDATA: 0x40000040,
    HOTP: 0x40000040,
    RELOC: 0x42000040,
}
"""Name -> characteristics, in order. Nothing is writable and executable."""

CODE_FILLER: Final = 0xCC
CODE_ALIGNMENT: Final = 16
"""Entry points are 16-byte aligned: Control Flow Guard accepts no other call targets exactly."""


def round_up(value: int, unit: int) -> int:
    """Smallest multiple of ``unit`` that is not below ``value``."""
    return -(-value // unit) * unit
