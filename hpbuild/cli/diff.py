"""``hpbuild diff``: what changed between two builds."""

from hpbuild.cli.options import (
    BaselineArgument,
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
from hpbuild.errors import ExitStatus


def diff(
    baseline: BaselineArgument,
    fixed: FixedArgument,
    symbols: SymbolsOption = "auto",
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """What changed between two builds, whether it can be hotpatched, and if not, why.

    Exit status 0: identical or hotpatchable; 1: refused.
    """
    from hpbuild.pipeline import DiffOptions, diff_modules
    from hpbuild.report import diff as report

    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    with output.progress() as progress:
        result = diff_modules(baseline, fixed, DiffOptions(symbols=symbols), progress)
    document = report.document(str(baseline), str(fixed), result, tree=baseline.is_dir())
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return ExitStatus.NO if document["verdict"] == "refused" else ExitStatus.YES
