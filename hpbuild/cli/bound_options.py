"""The options that bound the reading of files from elsewhere; ``bounds`` makes values of them."""

from typing import Annotated

import typer

_PANEL = "Limits"

MaxMemoryOption = Annotated[
    int | None,
    typer.Option(
        "--max-memory",
        metavar="MIB",
        min=64,
        envvar="HPBUILD_MAX_MEMORY",
        show_default="three quarters of the machine's, at most 16384",
        rich_help_panel=_PANEL,
        help="Memory that reading the files may take.",
    ),
]
MaxCpuOption = Annotated[
    int,
    typer.Option(
        "--max-cpu",
        metavar="SECONDS",
        min=1,
        envvar="HPBUILD_MAX_CPU",
        rich_help_panel=_PANEL,
        help="Processor time that reading the files may take.",
    ),
]
MaxSecondsOption = Annotated[
    int,
    typer.Option(
        "--max-seconds",
        metavar="SECONDS",
        min=1,
        envvar="HPBUILD_MAX_SECONDS",
        rich_help_panel=_PANEL,
        help="Time by the clock that reading the files may take; with several packages, each one.",
    ),
]
