"""The parsed image: headers, sections and the mapped bytes. Values only; reading is in ``reader``."""

import struct

import numpy as np
import numpy.typing as npt

from hpbuild.dataclass import dataclass
from hpbuild.pe.file_bytes import FileBytes
from hpbuild.values import Interval, Rva

_U32 = struct.Struct("<I")
IMAGE_SCN_MEM_EXECUTE = 0x20000000
IMAGE_SCN_MEM_WRITE = 0x80000000
IMAGE_SCN_MEM_DISCARDABLE = 0x02000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One row of the section table (PE specification, section "Section Table").

    ``virtual_size`` in bytes, already the raw size when the header says 0; ``raw_size`` counts the file
    bytes that are mapped, at most ``virtual_size`` rounded up to the section alignment.
    """

    name: str
    rva: Rva
    virtual_size: int
    raw_offset: int
    raw_size: int
    characteristics: int

    @property
    def range(self) -> Interval:
        """RVAs that the section occupies, without alignment padding."""
        return Interval(self.rva, self.rva + self.virtual_size)

    @property
    def executable(self) -> bool:
        """True when its pages are mapped executable."""
        return bool(self.characteristics & IMAGE_SCN_MEM_EXECUTE)

    @property
    def writable(self) -> bool:
        """True when its pages are mapped writable."""
        return bool(self.characteristics & IMAGE_SCN_MEM_WRITE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One PE32+ image for x64 that passed the pre-flight.

    ``data`` are the file bytes; ``memory`` is the image as the loader maps it at its preferred base,
    ``size_of_image`` bytes, read-only, indexed by RVA. Where a file was read, what both have is held once.
    ``directories`` has 16 entries; an absent one is ``Interval(0, 0)``; entry 4 (certificates) holds file
    offsets, all others RVAs.
    """

    name: str
    data: FileBytes
    memory: npt.NDArray[np.uint8]
    machine: int
    image_base: int
    entry_point: Rva
    time_date_stamp: int
    checksum: int
    size_of_image: int
    size_of_headers: int
    section_alignment: int
    file_alignment: int
    linker_version: tuple[int, int]
    characteristics: int
    dll_characteristics: int
    subsystem: int
    sections: tuple[Section, ...]
    directories: tuple[Interval, ...]

    def read(self, rva: int, size: int) -> bytes:
        """``size`` mapped bytes from ``rva``; IndexError when they leave the image."""
        if rva < 0 or size < 0 or rva + size > self.size_of_image:
            raise IndexError(f"[{rva:#x}, {rva + size:#x}) leaves the image")
        return self.memory[rva : rva + size].tobytes()

    def u32(self, rva: int) -> int:
        """Little-endian 32-bit value at ``rva``."""
        if rva < 0 or rva + 4 > self.size_of_image:
            raise IndexError(f"[{rva:#x}, {rva + 4:#x}) leaves the image")
        # Arrays are buffers, which their stubs tell from Python 3.12 on; `memory.data` takes twice as long.
        found: int = _U32.unpack_from(self.memory, rva)[0]  # type: ignore[arg-type]
        return found

    def u64(self, rva: int) -> int:
        """Little-endian 64-bit value at ``rva``."""
        return int.from_bytes(self.read(rva, 8), "little")

    def section_at(self, rva: int) -> Section | None:
        """The section that holds ``rva``, or None (headers, gaps, outside)."""
        for section in self.sections:
            if section.rva <= rva < section.rva + section.virtual_size:
                return section
        return None
