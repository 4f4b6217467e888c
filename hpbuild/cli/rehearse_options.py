"""The options that only ``rehearse`` has: when the program is patched, and what it should do."""

from pathlib import Path
from typing import Annotated

import typer

WHEN = "When"
EXPECT = "What the program should do"

CommandArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="COMMAND",
        show_default=False,
        help="Behind --: program and arguments. On Linux a .exe is started through Wine, in WINEPREFIX.",
    ),
]
RoundsOption = Annotated[
    int, typer.Option(min=0, help="How often to revert and apply again.", rich_help_panel=WHEN)
]
AfterOption = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        rich_help_panel=WHEN,
        help="How long the program works with its modules loaded before it is patched.",
    ),
]
WhenLoadedOption = Annotated[
    bool,
    typer.Option("--when-loaded", rich_help_panel=WHEN, help="Patch as soon as its modules are loaded."),
]
HoldOption = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        rich_help_panel=WHEN,
        help="How long it works old, and new, in each round.",
    ),
]
LoadLimitOption = Annotated[
    float,
    typer.Option(min=0, metavar="SECONDS", rich_help_panel=WHEN, help="The longest wait for its modules."),
]
LimitOption = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        rich_help_panel=WHEN,
        help="The longest wait, after the rounds, for its end or the expected output.",
    ),
]
ExpectExitOption = Annotated[
    int | None,
    typer.Option(
        metavar="STATUS",
        show_default=False,
        rich_help_panel=EXPECT,
        help="End by itself with this status. Wine passes the low 8 bits on.",
    ),
]
ExpectOutputOption = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX", show_default=False, rich_help_panel=EXPECT, help="Print something that matches."
    ),
]
SameOutputOption = Annotated[
    bool,
    typer.Option("--same-output", rich_help_panel=EXPECT, help="Print what it prints without the package."),
]
OutputDirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        readable=False,
        show_default=False,
        help="Where the program's output goes; otherwise into a new temporary folder.",
    ),
]
