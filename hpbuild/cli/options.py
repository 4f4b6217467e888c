"""The options that several commands share, written once.

Every option that does not ask for less checking can be set in the environment as
``HPBUILD_<COMMAND>_<OPTION>``; those of the output also as ``HPBUILD_<OPTION>`` for all commands at once.

Paths are ``readable=False``: whether a file can be read is found out by reading it, which has codes of
its own.
"""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.choices import Color as Color
from hpbuild.cli.choices import Format as Format

OUTPUT_PANEL = "Output"

FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        envvar="HPBUILD_FORMAT",
        rich_help_panel=OUTPUT_PANEL,
        help="Form of the result on stdout: text to read, or a JSON document with a published schema.",
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", envvar="HPBUILD_QUIET", rich_help_panel=OUTPUT_PANEL, help="No progress, no log."
    ),
]
VerboseOption = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        envvar="HPBUILD_VERBOSE",
        show_default=False,
        rich_help_panel=OUTPUT_PANEL,
        help="Full lists in the text, and a log of the stages on stderr; -vv logs every step.",
    ),
]
ColorOption = Annotated[
    Color,
    typer.Option(
        "--color",
        envvar="HPBUILD_COLOR",
        rich_help_panel=OUTPUT_PANEL,
        help="Colour the text; auto means on a terminal, unless NO_COLOR is set.",
    ),
]

BaselineArgument = Annotated[
    Path,
    typer.Argument(
        metavar="BASELINE", readable=False, show_default=False, help="What is installed: a file or a tree."
    ),
]
FixedArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FIXED", readable=False, show_default=False, help="What it should be: a file or a tree."
    ),
]
BundleArgument = Annotated[
    Path, typer.Argument(metavar="X.hpb", readable=False, show_default=False, help="The package.")
]
SymbolsOption = Annotated[
    str,
    typer.Option(
        "--symbols",
        metavar="auto|none|PATH",
        help="Where names and sizes come from: auto looks beside the files, none uses the binaries alone, "
        "PATH is a PDB or a directory of them.",
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="NAME|@FILE",
        show_default=False,
        help="Limit the package to this function: its name, 0xRVA (of the fixed image) or baseline:0xRVA; in "
        "a tree FILE!NAME. @FILE is a list, one a line. Repeatable.",
    ),
]
PidOption = Annotated[
    int | None,
    typer.Option(
        "--pid",
        metavar="N",
        min=1,
        show_default=False,
        help="Work on this running process. On Linux the Linux process id of a program under Wine.",
    ),
]
