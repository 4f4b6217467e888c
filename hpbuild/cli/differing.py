"""Steps of ``diff`` between the command line and the pipeline."""

from collections.abc import Sequence
from pathlib import Path

from hpbuild.cli.listing import listed
from hpbuild.cli.output import Output
from hpbuild.cli.working import chosen_work
from hpbuild.errors import ExitStatus
from hpbuild.pipeline import DiffOptions, diff_modules
from hpbuild.report import diff as report


def run(
    baseline: Path,
    fixed: Path,
    *,
    only: Sequence[str] = (),
    explain_function: Sequence[str] = (),
    symbols: str = "auto",
    jobs: int | None = None,
    no_cache: bool = False,
    dask: str = "",
    output: Output | None = None,
) -> ExitStatus:
    """``hpbuild diff`` with what its options say. Raises HpbuildError as ``diff_modules``, ``listed`` and
    ``chosen_work``."""
    shown = output or Output()
    options = DiffOptions(symbols=symbols, only=listed(only), explain=tuple(explain_function))
    work = chosen_work(jobs, dask, shown, cache=not no_cache)
    with shown.progress() as progress:
        result = diff_modules(baseline, fixed, options, progress, work)
    document = report.document(str(baseline), str(fixed), result, tree=baseline.is_dir())
    shown.emit(document, lambda entries: report.blocks(entries, full=shown.full))
    return ExitStatus.NO if document["verdict"] == "refused" else ExitStatus.YES
