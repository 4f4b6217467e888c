"""``hpbuild revert``: take a package out again."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import (
    Color,
    ColorOption,
    Format,
    FormatOption,
    PidOption,
    QuietOption,
    VerboseOption,
)
from hpbuild.cli.output import Output
from hpbuild.cli.trust import AllowUnsignedOption, KeyOption, ThresholdOption
from hpbuild.cli.verify import LowestTier


def revert(
    bundle: Annotated[
        Path | None,
        typer.Argument(metavar="X.hpb", readable=False, show_default=False, help="The package."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every package in the process; only with --pid.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Give the original of a patched file or tree back.")
    ] = False,
    installed: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            readable=False,
            show_default=False,
            help="The patched file, or the tree of them. It is only read.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            readable=False,
            show_default=False,
            help="The original file. For a tree a new directory that gets the originals, and only those.",
        ),
    ] = None,
    pid: PidOption = None,
    key: KeyOption = None,
    threshold: ThresholdOption = 1,
    lowest_tier: Annotated[
        LowestTier, typer.Option(help="The weakest identity of the original file that is accepted.")
    ] = LowestTier.AUTHENTICODE,
    allow_unsigned: AllowUnsignedOption = False,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Take a package out: of a patched file (--offline), or of a running process (--pid).

    Offline the verifier has to find the package in the file, and in the result the build that the package is
    for; all files of the package are written, or none. In a process the live agent puts the old bytes back.
    Exit status 0: done; 3: the package is not in effect; else that of verify or of what the live agent met.
    """
    from hpbuild.cli.applying import offline_request, usage
    from hpbuild.cli.verifying import make_policy
    from hpbuild.report import apply as report

    shown = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    if pid is not None:
        from hpbuild.cli.living import revert_all_running, revert_running

        if offline or installed is not None or output is not None or (bundle is None) is not every:
            raise usage(
                "revert", "with --pid say X.hpb or --all, and none of --offline, --installed, --output"
            )
        return revert_all_running(pid, shown) if bundle is None else revert_running(bundle, pid, shown)
    if not offline or every or bundle is None or installed is None or output is None:
        raise usage("revert", "say --pid N, or X.hpb, --offline, --installed PATH and --output PATH")
    from hpbuild.apply.offline.revert import revert_offline

    policy = make_policy(
        key or [], threshold, lowest_tier.value, allow_unsigned=allow_unsigned, command="revert"
    )
    result = revert_offline(offline_request(bundle, installed, output, policy))
    document = report.document("revert", result, installed, output)
    shown.emit(document, lambda entries: report.blocks(entries, full=shown.full))
    return result.status
