"""Everything that accompanies an image and tells how it was made: symbols, type records, tools.

All of it is evidence and never needed. The PDB is opened once for all.
"""

from pathlib import Path

from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.pe.image import Image
from hpbuild.pe.pdb.compilers import Compiler, read_compilers
from hpbuild.pe.pdb.file import AUTO, Pdb, find_pdb
from hpbuild.pe.pdb.type_records import TypeStream, read_types
from hpbuild.pe.rich import rich_products
from hpbuild.pe.symbols import Symbols, image_symbols


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """``linker`` major and minor version of the optional header; ``products`` (product id, build) of
    Microsoft's tool record without its counts; ``compilers`` of the object files, when a PDB tells."""

    linker: tuple[int, int]
    products: frozenset[tuple[int, int]]
    compilers: tuple[Compiler, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How one image was made. ``types`` None when no type records are known, ``types_note`` why."""

    toolchain: Toolchain
    types: TypeStream | None
    types_note: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Symbols and build of one image."""

    symbols: Symbols
    build: Build


def load_evidence(image: Image, path: Path | None, choice: str = AUTO) -> Evidence:
    """The evidence for ``image``, which was read from ``path``; ``choice`` as in ``load_symbols``, which
    raises the same. Damaged type records are no error: they are told in ``types_note``."""
    pdb, note = find_pdb(image, path, choice)
    types, types_note = _types(pdb)
    compilers = read_compilers(pdb) if pdb is not None else ()
    return Evidence(
        symbols=image_symbols(image, pdb, choice, note),
        build=Build(toolchain=_toolchain(image, compilers), types=types, types_note=types_note),
    )


def _types(pdb: Pdb | None) -> tuple[TypeStream | None, str]:
    if pdb is None:
        return None, "no PDB"
    try:
        types = read_types(pdb.msf)
    except HpbuildError as error:
        return None, error.finding.cause
    return types, "" if types is not None else "the PDB has no type records"


def _toolchain(image: Image, compilers: tuple[Compiler, ...]) -> Toolchain:
    # The pre-flight has shown that the headers lie inside the file.
    (header,) = image.data.unpack("<I", 0x3C)
    major, minor = image.data[header + 26], image.data[header + 27]
    products = frozenset((product, build) for product, build, _ in rich_products(image))
    return Toolchain(linker=(major, minor), products=products, compilers=compilers)
