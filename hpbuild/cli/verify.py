"""``hpbuild verify``: may this package be used here."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import Color, ColorOption, Format, FormatOption, QuietOption, VerboseOption
from hpbuild.cli.output import Output


class LowestTier(StrEnum):
    """Identities of the installed file, strongest first."""

    EXACT = "exact"
    AUTHENTICODE = "authenticode"
    SECTIONS = "sections"
    FUNCTIONS = "functions"


def verify(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="X.hpb", readable=False, show_default=False, help="The packages.")
    ],
    key: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", readable=False, show_default=False, help="A trusted public key. Repeatable."
        ),
    ] = None,
    threshold: Annotated[
        int, typer.Option(min=1, help="How many different trusted keys must have signed.")
    ] = 1,
    installed: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            readable=False,
            show_default=False,
            help="Compare with this file, or with the files of this tree.",
        ),
    ] = None,
    pid: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Compare with the memory of this process (on Linux a Wine process's Linux id).",
        ),
    ] = None,
    dump: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            readable=False,
            show_default=False,
            help="Compare with the memory in this minidump, written with full memory.",
        ),
    ] = None,
    lowest_tier: Annotated[
        LowestTier, typer.Option(help="The weakest identity of an installed file that is accepted.")
    ] = LowestTier.AUTHENTICODE,
    allow_unsigned: Annotated[
        bool, typer.Option("--allow-unsigned", help="Do not ask who made the package. Not with --key.")
    ] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Check packages: who signed them, that they are consistent, and that they fit what is installed or runs.

    Exit status 0: all verified; 1: one failed; 3: good, but not for this installation; 4, 5, 6: one could
    not be read. Nothing is fetched from a network.
    """
    from hpbuild.cli.verifying import Comparand, check_packages, make_policy
    from hpbuild.report import verify as report

    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    policy = make_policy(key or [], threshold, lowest_tier.value, allow_unsigned=allow_unsigned)
    packages, status = check_packages(bundles, policy, Comparand(installed, pid, dump), output)
    document = report.document(packages, status)
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return status
