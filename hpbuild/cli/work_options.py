"""The options that say where the modules of a release are worked on, and with which cache."""

from typing import TYPE_CHECKING, Annotated

import typer

from hpbuild.cli.output import Output
from hpbuild.codes import cli as codes
from hpbuild.errors import HpbuildError

if TYPE_CHECKING:
    from hpbuild.assembly.work import Work
    from hpbuild.cache.store import Store

WORK_PANEL = "Work"

JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=1,
        envvar="HPBUILD_JOBS",
        rich_help_panel=WORK_PANEL,
        show_default=False,
        help="Work on so many modules of a tree at a time; all cores when not given. The result is the same.",
    ),
]
NoCacheOption = Annotated[
    bool,
    typer.Option(
        "--no-cache",
        envvar="HPBUILD_NO_CACHE",
        rich_help_panel=WORK_PANEL,
        help="Analyse everything anew. Otherwise what is known of an image is kept for the next time, in "
        "HPBUILD_CACHE or the user's folder for caches, up to HPBUILD_CACHE_SIZE (2048) MiB.",
    ),
]
DaskOption = Annotated[
    str,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        envvar="HPBUILD_DASK",
        rich_help_panel=WORK_PANEL,
        show_default=False,
        help="Work on the modules on the Dask cluster with this scheduler (tcp://HOST:8786). Its workers "
        "must have the same hpbuild and see the files under the same paths. Wants hpbuild[dask].",
    ),
]


def chosen_work(jobs: int | None, dask: str, output: Output, *, cache: bool) -> "Work":
    """The options as a value; the cache only with ``cache``, and only when its folder may be used (a line of
    the log says why not). Raises HpbuildError HP9007 for an unusable HPBUILD_CACHE_SIZE."""
    from hpbuild.assembly.work import Work, all_cores

    store = _store(output) if cache else None
    return Work(jobs=jobs or all_cores(), store=store, dask=dask)


def _store(output: Output) -> "Store | None":
    import os

    from hpbuild.cache.engine import engine_digest
    from hpbuild.cache.folder import SIZE, cache_folder, cache_size
    from hpbuild.cache.store import open_store

    limit = cache_size(os.environ)
    if limit is None:
        cause = f"the value is {os.environ[SIZE][:40]!r}"
        raise HpbuildError(codes.BAD_ENVIRONMENT, SIZE, cause)
    folder = cache_folder(os.environ)
    if folder is None:
        output.log("no cache: no folder for it")
        return None
    store, trouble = open_store(folder, limit, engine_digest())
    if store is None:
        output.log(f"no cache: {folder}: {trouble}")
    return store
