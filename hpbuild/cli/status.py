"""``hpbuild status``: what is in effect in a process."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import Color, ColorOption, Format, FormatOption, QuietOption, VerboseOption
from hpbuild.cli.output import Output


def status(
    pid: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", show_default=False, help="The process; on Linux its Linux process id."
        ),
    ],
    bundle: Annotated[
        Path | None,
        typer.Argument(
            metavar="X.hpb", readable=False, show_default=False, help="Compare the memory with this package."
        ),
    ] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Say which packages are in effect in a process, by the agent's journal in its memory.

    Nothing is run in the process for that. With a package its memory is compared with it, too; who signed the
    package is not asked. Exit status 0: it is known, and with a package wholly old or wholly new; 3: neither.
    """
    from hpbuild.cli.living import show_status

    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    return show_status(pid, bundle, output)
