"""``hpbuild diff``: what changed between two builds."""

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
from hpbuild.cli.work_options import DaskOption, JobsOption, NoCacheOption


def diff(
    baseline: BaselineArgument,
    fixed: FixedArgument,
    only: OnlyOption = None,
    explain_function: Annotated[
        list[str] | None,
        typer.Option(
            "--explain-function",
            metavar="NAME|RVA",
            show_default=False,
            help="Show why a function is called changed or identical: its name, 0xRVA (of the fixed image) "
            "or baseline:0xRVA; in a tree FILE!NAME. Repeatable.",
        ),
    ] = None,
    symbols: SymbolsOption = "auto",
    jobs: JobsOption = None,
    no_cache: NoCacheOption = False,
    dask: DaskOption = "",
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """What changed between two builds, whether it can be hotpatched, and if not, why.

    With --only it says what a package of these functions would carry, refuse and leave out.
    Exit status 0: identical, hotpatchable, or nothing to patch; 1: refused.
    """
    from hpbuild.cli.differing import run

    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    return run(
        baseline,
        fixed,
        only=only or (),
        explain_function=explain_function or (),
        symbols=symbols,
        jobs=jobs,
        no_cache=no_cache,
        dask=dask,
        output=output,
    )
