"""The options that say where the modules of a release are worked on, and with which cache."""

from typing import Annotated

import typer

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
