"""``hpbuild inspect``: what is in a package or an image."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.bound_options import MaxCpuOption, MaxMemoryOption, MaxSecondsOption
from hpbuild.cli.bounds import CLOCK_SECONDS, CPU_SECONDS, bounds
from hpbuild.cli.options import Color, ColorOption, Format, FormatOption, VerboseOption
from hpbuild.cli.output import Output


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="X.hpb|PE", readable=False, show_default=False, help="A package or a PE image."
        ),
    ],
    asm: Annotated[
        bool, typer.Option("--asm", help="Package: disassemble the code that it carries.")
    ] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            readable=False,
            show_default=False,
            help="With --asm: the baseline, for the old side.",
        ),
    ] = None,
    max_memory: MaxMemoryOption = None,
    max_cpu: MaxCpuOption = CPU_SECONDS,
    max_seconds: MaxSecondsOption = CLOCK_SECONDS,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Show what is in a package, or in a PE image. Shows only: nothing is verified."""
    from hpbuild.cli.inspecting import run

    output = Output(format=format, verbose=verbose, color=color)
    within = bounds(max_memory, max_cpu, max_seconds)
    return run(str(file), asm=asm, baseline=baseline, within=within, output=output)
