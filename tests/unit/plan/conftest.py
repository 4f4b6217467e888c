"""Pairs of real DLLs, as they are or with a few bytes changed, compared and planned."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hpbuild.code.model import Program
from hpbuild.code.program import load_program
from hpbuild.errors import Code, Finding
from hpbuild.match.comparison import Comparison, compare
from hpbuild.pe.exports import exports
from hpbuild.pe.reader import parse_image, read_image
from hpbuild.pe.symbols import load_symbols
from hpbuild.plan.model import Plan
from hpbuild.plan.planner import make_plan

_DIRECTORIES = 24 + 112
"""Bytes from the PE signature to the data directories of a PE32+ file."""


@dataclass
class Dll:
    """A DLL whose mapped bytes can be changed. Addresses are RVAs; nothing but the bytes is changed."""

    data: bytearray
    name: str

    @classmethod
    def of(cls, path: Path) -> "Dll":
        return cls(bytearray(path.read_bytes()), path.name)

    def offset(self, rva: int) -> int:
        """File offset of ``rva``."""
        for section in parse_image(bytes(self.data), self.name).sections:
            if section.rva <= rva < section.rva + section.raw_size:
                return section.raw_offset + rva - section.rva
        raise ValueError(f"{rva:#x} is not in the file")

    def write(self, rva: int, content: bytes, old: bytes | None = None) -> "Dll":
        """Put ``content`` at ``rva``; ``old`` is what must be there now."""
        at = self.offset(rva)
        assert old is None or self.data[at : at + len(old)] == old
        self.data[at : at + len(content)] = content
        return self

    def retarget(self, program: Program, function: str, old: int, new: int) -> "Dll":
        """Let the first 4-byte reference of ``function`` that names ``old`` name ``new``."""
        references = program.references
        owner = {program.name_of(index): index for index in range(len(program.fragments))}[function]
        rows = np.flatnonzero((references.fragment == owner) & (references.target == old))
        site, trailing = int(references.site[rows[0]]), int(references.trailing[rows[0]])
        return self.write(site, struct.pack("<i", new - site - 4 - trailing))

    def drop_directory(self, index: int) -> "Dll":
        """Declare data directory ``index`` absent."""
        (header,) = struct.unpack_from("<I", self.data, 0x3C)
        struct.pack_into("<II", self.data, header + _DIRECTORIES + 8 * index, 0, 0)
        return self

    def move_exports(self, places: list[int]) -> "Dll":
        """Point the export address table at ``places``, the last one repeated."""
        image = parse_image(bytes(self.data), self.name)
        table = image.u32(image.directories[0].start + 28)
        for number in range(len(exports(image))):
            self.write(table + 4 * number, struct.pack("<I", places[min(number, len(places) - 1)]))
        return self

    def program(self, pdb: Path | None = None) -> Program:
        """The analysed program; names from ``pdb`` when given."""
        image = parse_image(bytes(self.data), self.name)
        choice = "none" if pdb is None else str(pdb)
        return load_program(image, load_symbols(image, pdb, choice))


@dataclass(frozen=True, slots=True)
class Planned:
    """A pair that was compared and planned."""

    comparison: Comparison
    plan: Plan

    @property
    def codes(self) -> list[str]:
        """Ids of all findings."""
        return sorted({finding.code.id for finding in self.plan.findings})

    def finding(self, code: Code) -> Finding:
        """The only finding with ``code``."""
        (found,) = [finding for finding in self.plan.findings if finding.code is code]
        return found

    def names(self) -> dict[str, str]:
        """Name -> reason of the carried functions."""
        return {function.name: function.reason.value for function in self.plan.functions}


def _planned(baseline: Program, fixed: Program) -> Planned:
    comparison = compare(baseline, fixed)
    return Planned(comparison, make_plan(comparison))


@pytest.fixture(scope="session")
def planned() -> Callable[[Program, Program], Planned]:
    """``planned(baseline, fixed)`` of two programs."""
    return _planned


@pytest.fixture(scope="session")
def dll(binaries: Path) -> Callable[[str], Dll]:
    """``dll("variants/tls/fixed/gadget.dll")``: a fresh copy to change."""
    return lambda name: Dll.of(binaries / name)


@pytest.fixture(scope="session")
def pair(binaries: Path) -> Callable[..., Planned]:
    """``pair("variants/tls", "gadget", symbols)`` compares the committed pair as it is."""

    @cache
    def make(folder: str, name: str, symbols: str = "none") -> Planned:
        programs = []
        for side in ("baseline", "fixed"):
            path = binaries / folder / side / f"{name}.dll"
            image = read_image(path)
            programs.append(load_program(image, load_symbols(image, path, symbols)))
        return _planned(*programs)

    return make
