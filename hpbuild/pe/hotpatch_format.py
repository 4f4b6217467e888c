"""Constants of the native hotpatch tables: sizes, bits, kinds. Values only.

Source: the public Windows SDK header winnt.h, ``IMAGE_HOT_PATCH_INFO``, ``IMAGE_HOT_PATCH_BASE``,
``IMAGE_HOT_PATCH_HASHES`` and the ``IMAGE_HOT_PATCH_*`` constants.
"""

from typing import Final

LOAD_CONFIG_HOT_PATCH_OFFSET: Final = 0xF0
"""Offset of ``HotPatchTableOffset`` (a 32-bit RVA) in ``IMAGE_LOAD_CONFIG_DIRECTORY64``."""
LOAD_CONFIG_MIN_SIZE: Final = 0xF4
"""Smallest load configuration that holds ``HotPatchTableOffset``, 64-bit form."""

INFO_SIZES: Final[dict[int, int]] = {1: 20, 2: 24, 3: 28, 4: 36}
"""Bytes of ``IMAGE_HOT_PATCH_INFO`` by its ``Version``."""
BASE_SIZE: Final = 32
"""Bytes of ``IMAGE_HOT_PATCH_BASE``."""
SHA256_SIZE: Final = 32
SHA1_SIZE: Final = 20
HASHES_SIZE: Final = SHA256_SIZE + SHA1_SIZE
"""Bytes of ``IMAGE_HOT_PATCH_HASHES``."""

INFO_HOTSWAP: Final = 0x2

BASE_OBLIGATORY: Final = 0x1
BASE_CAN_ROLL_BACK: Final = 0x2
BASE_MACHINE_I386: Final = 0x4
BASE_MACHINE_ARM64: Final = 0x8
BASE_MACHINE_AMD64: Final = 0x10
BASE_FLAG_NAMES: Final[dict[int, str]] = {
    BASE_OBLIGATORY: "OBLIGATORY",
    BASE_CAN_ROLL_BACK: "CAN_ROLL_BACK",
    BASE_MACHINE_I386: "MACHINE_I386",
    BASE_MACHINE_ARM64: "MACHINE_ARM64",
    BASE_MACHINE_AMD64: "MACHINE_AMD64",
}

CHUNK_INVERSE: Final = 0x80000000
CHUNK_OBLIGATORY: Final = 0x40000000
CHUNK_RESERVED: Final = 0x3FF03000
"""Bits 29..20, 13 and 12 of a chunk header, which must be 0."""
CHUNK_TYPE_MASK: Final = 0x000FC000
"""Kind (bits 19..16) together with SOURCE_RVA and TARGET_RVA."""
CHUNK_SOURCE_RVA: Final = 0x8000
CHUNK_TARGET_RVA: Final = 0x4000
CHUNK_COUNT_MASK: Final = 0x00000FFF

KIND_NONE: Final = 0x00000000
KIND_FUNCTION: Final = 0x0001C000
KIND_ABSOLUTE: Final = 0x0002C000
KIND_REL32: Final = 0x0003C000
KIND_CALL_TARGET: Final = 0x00044000
KIND_INDIRECT: Final = 0x0005C000
KIND_NO_CALL_TARGET: Final = 0x00064000
KIND_DYNAMIC_VALUE: Final = 0x00078000
KIND_NAMES: Final[dict[int, str]] = {
    KIND_FUNCTION: "FUNCTION",
    KIND_ABSOLUTE: "ABSOLUTE",
    KIND_REL32: "REL32",
    KIND_CALL_TARGET: "CALL_TARGET",
    KIND_INDIRECT: "INDIRECT",
    KIND_NO_CALL_TARGET: "NO_CALL_TARGET",
    KIND_DYNAMIC_VALUE: "DYNAMIC_VALUE",
}

FUNCTION_MIN_RVA: Final = 0x10
"""A FUNCTION record below this RVA is rejected."""
