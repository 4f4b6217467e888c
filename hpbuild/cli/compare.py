"""``hpbuild compare``: what two packages do differently."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import Color, ColorOption, Format, FormatOption, VerboseOption
from hpbuild.cli.output import Output
from hpbuild.errors import ExitStatus


def compare(
    first: Annotated[
        Path, typer.Argument(metavar="A.hpb", readable=False, show_default=False, help="One package.")
    ],
    second: Annotated[
        Path, typer.Argument(metavar="B.hpb", readable=False, show_default=False, help="The other one.")
    ],
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """What two packages do differently. Nothing is verified, and signatures are not compared.

    Exit status 0: same content; 1: different.
    """
    from hpbuild.cli.packages import comparable
    from hpbuild.report import compare as report

    output = Output(format=format, verbose=verbose, color=color)
    document = report.document(comparable(first), comparable(second))
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return ExitStatus.YES if document["verdict"] == "same" else ExitStatus.NO
