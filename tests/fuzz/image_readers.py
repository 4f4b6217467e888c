"""Every reader of a table of an image, without anything that needs more than the image."""

from collections.abc import Callable
from contextlib import suppress

from hpbuild.errors import HpbuildError
from hpbuild.pe.authenticode import authenticode_digest
from hpbuild.pe.coff_symbols import coff_symbols
from hpbuild.pe.debug import debug_info
from hpbuild.pe.dynamic_relocations import rewritten_sites
from hpbuild.pe.exports import export_extents, exports
from hpbuild.pe.hotpatch_table import read_hotpatch_table
from hpbuild.pe.identity import identity, masked_digest
from hpbuild.pe.image import Image
from hpbuild.pe.imports import import_extents, imports, slot_tables
from hpbuild.pe.load_config import load_config
from hpbuild.pe.loader_writes import loader_written
from hpbuild.pe.metadata import metadata_extents
from hpbuild.pe.relocations import relocation_sites
from hpbuild.pe.resources import file_version, resource_digest
from hpbuild.pe.rich import rich_products
from hpbuild.pe.tls import tls
from hpbuild.pe.unwind import chain_root, primary_begins, runtime_functions, unwind_table

_CHAINS_FOLLOWED = 64


def _chains(image: Image) -> None:
    functions = runtime_functions(image)
    unwind_table(image, functions.unwind)
    for index in range(min(len(functions), _CHAINS_FOLLOWED)):
        with suppress(HpbuildError):
            chain_root(image, functions.row(index))
    primary_begins(image, functions)


def _pins(image: Image) -> None:
    identity(image, cross_check=False)
    masked_digest(image, [section.range for section in image.sections])


IMAGE_READERS: tuple[Callable[[Image], object], ...] = (
    _chains, relocation_sites, exports, export_extents, imports, import_extents, slot_tables, load_config,
    tls, debug_info, file_version, resource_digest, rich_products, metadata_extents, loader_written,
    rewritten_sites, coff_symbols, read_hotpatch_table, _pins,
)  # fmt: skip
"""Apart from the second implementation of the Authenticode digest: LIEF reads only files that have the pinned
digest already, or those of whoever builds a package."""


def second_opinion(image: Image) -> None:
    """The Authenticode digest by both implementations."""
    authenticode_digest(image, cross_check=True)
