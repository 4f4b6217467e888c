"""``hpbuild rebuild --check``: can this package be made again, bit for bit."""

from typing import Annotated

import typer

from hpbuild.cli.options import (
    BaselineArgument,
    BundleArgument,
    Color,
    ColorOption,
    FixedArgument,
    Format,
    FormatOption,
    QuietOption,
    SymbolsOption,
    VerboseOption,
)
from hpbuild.cli.output import Output
from hpbuild.cli.work_options import DaskOption, JobsOption
from hpbuild.cli.working import chosen_work
from hpbuild.codes import cli as codes
from hpbuild.errors import ExitStatus, HpbuildError


def rebuild(
    bundle: BundleArgument,
    baseline: BaselineArgument,
    fixed: FixedArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Compare only; nothing is written. The only thing rebuild does.")
    ] = False,
    symbols: SymbolsOption = "auto",
    jobs: JobsOption = None,
    dask: DaskOption = "",
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Build a package again from its two builds, with the parameters that it records, and compare.

    Signatures are left out. Exit status 0: the same, bit for bit; 1: different.
    """
    from hpbuild.cli.packages import remade_members, unsigned_members
    from hpbuild.report import rebuild as report

    if not check:
        raise HpbuildError(codes.USAGE, "hpbuild rebuild", "say --check; rebuild writes no package")
    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    work = chosen_work(jobs, dask, output, cache=False)
    given = unsigned_members(bundle)
    made = remade_members(given, baseline, fixed, symbols, output, work)
    document = report.document(str(bundle), str(baseline), str(fixed), given, made)
    output.emit(document, report.blocks)
    if document["verdict"] == "reproduced":
        return ExitStatus.YES
    output.log(f"{codes.NOT_REPRODUCED.id} {codes.NOT_REPRODUCED.remedy}")
    return codes.NOT_REPRODUCED.exit
