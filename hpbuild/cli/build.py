"""``hpbuild build``: make a package."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import (
    Color,
    ColorOption,
    Format,
    FormatOption,
    OnlyOption,
    QuietOption,
    SymbolsOption,
    VerboseOption,
)
from hpbuild.cli.output import Output
from hpbuild.cli.work_options import DaskOption, JobsOption, NoCacheOption
from hpbuild.cli.working import chosen_work

BaselineOrNone = Annotated[
    Path | None,
    typer.Argument(
        metavar="BASELINE",
        readable=False,
        show_default=False,
        help="What is installed: a file or a tree. Not with --revert.",
    ),
]
FixedOrNone = Annotated[
    Path | None,
    typer.Argument(
        metavar="FIXED",
        readable=False,
        show_default=False,
        help="What it should be: a file or a tree. Not with --revert.",
    ),
]
WrittenOption = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="X.hpb",
        readable=False,
        show_default=False,
        help="Write the package here.",
    ),
]
IdOption = Annotated[
    str, typer.Option("--id", show_default=False, help="Name of the package in your release line: KB-7.")
]
SequenceOption = Annotated[
    int, typer.Option(min=1, show_default=False, help="Its number in the line; a later package is higher.")
]
AdvisoryOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", show_default=False, help="What it fixes: CVE-2024-0001. Repeatable."),
]
SupersedesOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID",
        show_default=False,
        help="Id of an older package that this one replaces; it is not accepted afterwards. Repeatable.",
    ),
]
ExpiresOption = Annotated[
    str,
    typer.Option(
        metavar="TIME|DAYS",
        show_default=False,
        help="Not to be used from then on: 2026-01-31T00:00:00Z, or so many days after SOURCE_DATE_EPOCH.",
    ),
]
RevertOption = Annotated[
    Path | None,
    typer.Option(
        metavar="X.hpb",
        readable=False,
        show_default=False,
        help="Make a package that takes X.hpb back. Product and advisories are those of X.hpb.",
    ),
]
ReasonOption = Annotated[
    str, typer.Option(show_default=False, help="Why X.hpb is taken back; only with --revert.")
]


def build(
    out: WrittenOption,
    id_: IdOption,
    sequence: SequenceOption,
    baseline: BaselineOrNone = None,
    fixed: FixedOrNone = None,
    product: Annotated[str, typer.Option(show_default=False, help="Name of the product line.")] = "",
    advisory: AdvisoryOption = None,
    supersedes: SupersedesOption = None,
    expires: ExpiresOption = "",
    revert: RevertOption = None,
    reason: ReasonOption = "",
    only: OnlyOption = None,
    no_attachments: Annotated[
        bool, typer.Option("--no-attachments", help="Leave out provenance, SBOM and VEX.")
    ] = False,
    symbols: SymbolsOption = "auto",
    jobs: JobsOption = None,
    no_cache: NoCacheOption = False,
    dask: DaskOption = "",
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Make a package from two builds and prove that it is complete. Sign it next.

    The time in the package is SOURCE_DATE_EPOCH, or none: the same inputs give the same bytes.
    Provenance (SLSA), inventory (CycloneDX) and, with --advisory, exploitability (OpenVEX) are attached.
    With --only it carries the listed functions and what they need, and names all that it leaves out.
    With --revert it is a package that takes another one back, for `hpbuild revert` and for state files.
    Exit status 1: refused, with the reasons; 3: there is nothing to patch.
    """
    from hpbuild.cli.building import created_time, place_in_line, usage, write_package, write_revert
    from hpbuild.cli.listing import listed

    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    place = place_in_line(id_, sequence, supersedes or (), expires)
    if revert is not None:
        if baseline is not None or product or advisory or supersedes or only:
            raise usage(
                "--revert goes with none of BASELINE, FIXED, --product, --advisory, --supersedes, --only"
            )
        return write_revert(revert, place, reason, out, output)
    if baseline is None or fixed is None or reason:
        raise usage("name BASELINE and FIXED; or say --revert X.hpb and --reason")
    from hpbuild.pipeline import BuildRequest

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
    work = chosen_work(jobs, dask, output, cache=not no_cache)
    return write_package(request, place, out, output, work, attach=not no_attachments)
