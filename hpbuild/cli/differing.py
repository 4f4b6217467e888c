"""Steps of ``diff`` between the command line and the pipeline."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from hpbuild.assembly.collector import collector_aside
from hpbuild.assembly.start import HERE, all_cores, started
from hpbuild.cli.listing import listed
from hpbuild.cli.output import Output
from hpbuild.cli.working import chosen_work
from hpbuild.errors import ExitStatus


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
    with ExitStack() as stack:
        if not _is_folder(baseline):
            stack.enter_context(collector_aside())  # all that is made lives to the end, which is near
        # The files are looked at while what comes next is imported; the cache may know all of it.
        processes = jobs or all_cores()
        start = stack.enter_context(started(baseline, fixed, processes=processes)) if no_cache else HERE
        from hpbuild.pipeline import DiffOptions, diff_modules
        from hpbuild.report import diff as report

        shown = output or Output()
        options = DiffOptions(symbols=symbols, only=listed(only), explain=tuple(explain_function))
        work = chosen_work(jobs, dask, shown, cache=not no_cache, start=start)
        with shown.progress() as progress:
            result = diff_modules(baseline, fixed, options, progress, work)
        document = report.document(str(baseline), str(fixed), result, tree=_is_folder(baseline))
        shown.emit(document, lambda entries: report.blocks(entries, full=shown.full))
    return ExitStatus.NO if document["verdict"] == "refused" else ExitStatus.YES


def _is_folder(path: Path) -> bool:
    """Whether there is a folder; what else is wrong is for those to say who read it."""
    try:
        return path.is_dir()
    except OSError:
        return False
