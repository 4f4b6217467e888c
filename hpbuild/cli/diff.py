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
from hpbuild.cli.work_options import DaskOption, JobsOption, NoCacheOption, chosen_work
from hpbuild.errors import ExitStatus


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
    from hpbuild.cli.listing import listed
    from hpbuild.pipeline import DiffOptions, diff_modules
    from hpbuild.report import diff as report

    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    asked = tuple(explain_function or ())
    options = DiffOptions(symbols=symbols, only=listed(only or ()), explain=asked)
    work = chosen_work(jobs, dask, output, cache=not no_cache)
    with output.progress() as progress:
        result = diff_modules(baseline, fixed, options, progress, work)
    document = report.document(str(baseline), str(fixed), result, tree=baseline.is_dir())
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return ExitStatus.NO if document["verdict"] == "refused" else ExitStatus.YES
