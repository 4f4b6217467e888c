"""The base relocation table of a patch image (PE specification, section "The .reloc Section")."""

import struct
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from hpbuild.patchimage.format import PAGE
from hpbuild.values import Rva

_DIR64: Final = 10 << 12
_BLOCK_HEADER: Final = struct.Struct("<II")


def relocation_table(sites: Sequence[Rva]) -> bytes:
    """Blocks of DIR64 entries for the ascending ``sites``; empty when there are none."""
    table = bytearray()
    for page, members in groupby(sites, key=lambda site: site // PAGE * PAGE):
        entries = [_DIR64 | (site - page) for site in members]
        if len(entries) % 2:
            entries.append(0)  # ABSOLUTE: keeps the next block 4-byte aligned
        table += _BLOCK_HEADER.pack(page, _BLOCK_HEADER.size + 2 * len(entries))
        table += struct.pack(f"<{len(entries)}H", *entries)
    return bytes(table)
