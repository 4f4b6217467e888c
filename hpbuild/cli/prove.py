"""``hpbuild prove``: the closure proof."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import (
    BundleArgument,
    Color,
    ColorOption,
    Format,
    FormatOption,
    QuietOption,
    SymbolsOption,
    VerboseOption,
)
from hpbuild.cli.output import Output
from hpbuild.cli.work_options import DaskOption, JobsOption
from hpbuild.cli.working import chosen_work
from hpbuild.errors import ExitStatus


def prove(
    bundle: BundleArgument,
    baseline: Annotated[
        Path,
        typer.Option(metavar="FILE", readable=False, show_default=False, help="The baseline, file or tree."),
    ],
    fixed: Annotated[
        Path,
        typer.Option(
            metavar="FILE", readable=False, show_default=False, help="The fixed build, file or tree."
        ),
    ],
    symbols: SymbolsOption = "auto",
    jobs: JobsOption = None,
    dask: DaskOption = "",
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Prove that baseline and package together are the fixed build, and that nothing else comes along.

    An independent decoder compares every byte. Exit status 0: proved; 1: not; 3: other files.
    """
    from hpbuild.bundle.reader import read_bundle_file
    from hpbuild.manifest.codec import decode
    from hpbuild.pipeline import prove_bundle
    from hpbuild.report import prove as report

    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    package = read_bundle_file(bundle)
    work = chosen_work(jobs, dask, output, cache=False)
    with output.progress() as progress:
        proofs = prove_bundle(package, baseline, fixed, symbols, progress, work)
    document = report.document(
        str(bundle),
        str(baseline),
        str(fixed),
        [report.proof(item) for item in proofs],
        decode(package.manifest).left_out,
    )
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return ExitStatus.YES if document["verdict"] == "proved" else ExitStatus.NO
