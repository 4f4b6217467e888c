"""``hpbuild build``: make a package."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import (
    BaselineArgument,
    Color,
    ColorOption,
    FixedArgument,
    Format,
    FormatOption,
    OnlyOption,
    QuietOption,
    SymbolsOption,
    VerboseOption,
)
from hpbuild.cli.output import Output


def build(
    baseline: BaselineArgument,
    fixed: FixedArgument,
    out: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="X.hpb",
            readable=False,
            show_default=False,
            help="Write the package here.",
        ),
    ],
    id_: Annotated[
        str, typer.Option("--id", show_default=False, help="Name of the package in your release line: KB-7.")
    ],
    sequence: Annotated[
        int,
        typer.Option(min=1, show_default=False, help="Its number in the line; a later package is higher."),
    ],
    product: Annotated[str, typer.Option(show_default=False, help="Name of the product line.")] = "",
    advisory: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", show_default=False, help="What it fixes: CVE-2024-0001. Repeatable."),
    ] = None,
    only: OnlyOption = None,
    symbols: SymbolsOption = "auto",
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Make a package from two builds and prove that it is complete. Sign it next.

    The time in the package is SOURCE_DATE_EPOCH, or none: the same inputs give the same bytes.
    With --only it carries the listed functions and what they need, and names all that it leaves out.
    Exit status 1: refused, with the reasons; 3: there is nothing to patch.
    """
    from hpbuild.cli.building import created_time, write_package
    from hpbuild.cli.listing import listed
    from hpbuild.pipeline import BuildRequest

    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    request = BuildRequest(
        baseline=baseline,
        fixed=fixed,
        id=id_,
        sequence=sequence,
        product=product,
        advisories=tuple(advisory or ()),
        created=created_time(),
        symbols=symbols,
        only=listed(only or ()),
    )
    return write_package(request, out, output)
