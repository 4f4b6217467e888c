"""Classes with virtual bases, told by their type information."""

import struct

import numpy as np
import pytest

from hpbuild.code.class_types import ClassTypes

NAME, TABLE = 0x800, 0x900


def read(infos: dict[int, tuple[int | bytes, ...]], slots: dict[int, str] | None = None) -> ClassTypes:
    """Type information at RVAs: pointers as numbers, all else as bytes. Each begins with two pointers."""
    memory = np.zeros(0x1000, dtype=np.uint8)
    memory[NAME] = ord("3")
    pointers = {}
    for rva, parts in infos.items():
        at = rva
        for part in (TABLE, NAME, *parts):
            if isinstance(part, int):
                pointers[at] = part
                at += 8
            else:
                memory[at : at + len(part)] = np.frombuffer(part, dtype=np.uint8)
                at += len(part)
    rows = sorted(pointers.items())
    site, target = (np.array([row[index] for row in rows], dtype=np.int64) for index in (0, 1))
    return ClassTypes(memory, site, target, slots or {})


def bases(*pairs: tuple[int, int]) -> tuple[int | bytes, ...]:
    rest = [part for base, flags in pairs for part in (base, struct.pack("<q", flags))]
    return (struct.pack("<II", 0, len(pairs)), *rest)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ((), False),
        ((0x100,), False),  # one base, which has none
        ((0x200,), True),  # one base, which has a virtual one
        (bases((0x100, 2)), False),
        (bases((0x100, 2), (0x100, 0x803)), True),
        (bases((0x100, 2), (0x200, 2)), True),
        (bases((0xA00, 2)), True),  # a base in another module
        ((0xA00,), True),
        ((0xA08,), False),  # an exception of the library
        (bases((0xC00, 2)), True),  # a base that is no type information
        ((TABLE,), False),  # the next type information
        ((struct.pack("<II", 0, 1 << 20),), False),
    ],
)
def test_virtual_bases(info: tuple[int | bytes, ...], expected: bool) -> None:
    infos = {0x100: (), 0x200: bases((0x100, -0x17FD)), 0x300: info}
    types = read(infos, {0xA00: "a.dll!_ZTI5Other", 0xA08: "a.dll!_ZTISt9exception"})
    assert (0x300 in types.with_virtual_bases([0x300])) is expected


def test_classes_that_are_their_own_bases_end() -> None:
    types = read({0x100: (0x200,), 0x200: (0x100,), 0x300: bases((0x300, 2))})
    assert types.with_virtual_bases([0x100, 0x200, 0x300]) == frozenset()


def test_ends_of_type_information() -> None:
    types = read({0x100: (), 0x200: (0x100,), 0x300: bases((0x100, 2), (0x200, 2))})
    assert types.ends([0x100, 0x200, 0x300]).tolist() == [0x110, 0x218, 0x338]
