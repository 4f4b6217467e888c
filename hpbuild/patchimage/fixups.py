"""Fixups: the fields of a patch image that depend on where it lies. Values only.

Named as COFF names them (PE specification, "Type Indicators", x64):
ADDR64 holds an absolute address; REL32 a distance from the patch image to the baseline; ADDR32NB an RVA
that points into the patch image.
"""

from typing import Protocol

from hpbuild.dataclass import dataclass
from hpbuild.values import Rva


class FixupSites(Protocol):
    """Anything with three ascending tuples of RVAs; the manifest's own type is one, too."""

    @property
    def addr64(self) -> tuple[Rva, ...]:
        """Sites of 8-byte absolute addresses."""

    @property
    def rel32(self) -> tuple[Rva, ...]:
        """Sites of 4-byte distances to the baseline."""

    @property
    def addr32nb(self) -> tuple[Rva, ...]:
        """Sites of 4-byte RVAs into the patch image."""


@dataclass(frozen=True, slots=True)
class Fixups:
    """Nominal RVAs of the sites, ascending."""

    addr64: tuple[Rva, ...]
    rel32: tuple[Rva, ...]
    addr32nb: tuple[Rva, ...]
