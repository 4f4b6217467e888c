"""The options that only ``verify`` has: what packages are compared with, and the signed summary."""

from pathlib import Path
from typing import Annotated

import typer

_COMPARE = "Compare with"
_ATTEST = "Attest"

BundlesArgument = Annotated[
    list[Path], typer.Argument(metavar="X.hpb", readable=False, show_default=False, help="The packages.")
]
InstalledOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        readable=False,
        show_default=False,
        rich_help_panel=_COMPARE,
        help="Compare with this file, or with the files of this tree.",
    ),
]
MemoryOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        show_default=False,
        rich_help_panel=_COMPARE,
        help="Compare with the memory of this process (on Linux a Wine process's Linux id).",
    ),
]
DumpOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        readable=False,
        show_default=False,
        rich_help_panel=_COMPARE,
        help="Compare with the memory in this minidump, written with full memory.",
    ),
]
AttestOption = Annotated[
    Path | None,
    typer.Option(
        metavar="OUT",
        readable=False,
        show_default=False,
        rich_help_panel=_ATTEST,
        help="Write a signed summary here: what was checked, on which machine, against which files.",
    ),
]
AttestKeyOption = Annotated[
    str | None,
    typer.Option(
        metavar="URI", show_default=False, rich_help_panel=_ATTEST, help="The key that signs the summary."
    ),
]
AttestHostOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default=False,
        rich_help_panel=_ATTEST,
        help="What the summary calls this machine.",
    ),
]
