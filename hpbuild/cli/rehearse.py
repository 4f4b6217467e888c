"""``hpbuild rehearse``: patch a program while it runs, and see whether it notices."""

from dataclasses import replace
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
    VerboseOption,
)
from hpbuild.cli.output import Output
from hpbuild.cli.trust import (
    AllowUnsignedOption,
    KeyOption,
    LowestTierOption,
    PolicyOption,
    ThresholdOption,
)

EXPECT = "What the program should do"
WHEN = "When"


def rehearse(
    bundle: BundleArgument,
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND",
            show_default=False,
            help="Behind --: program and arguments. On Linux a .exe is started through Wine, in WINEPREFIX.",
        ),
    ],
    rounds: Annotated[
        int, typer.Option(min=0, help="How often to revert and apply again.", rich_help_panel=WHEN)
    ] = 3,
    after: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            rich_help_panel=WHEN,
            help="How long the program works with its modules loaded before it is patched.",
        ),
    ] = 0.5,
    when_loaded: Annotated[
        bool,
        typer.Option("--when-loaded", rich_help_panel=WHEN, help="Patch as soon as its modules are loaded."),
    ] = False,
    hold: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            rich_help_panel=WHEN,
            help="How long it works old, and new, in each round.",
        ),
    ] = 0.2,
    load_limit: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", rich_help_panel=WHEN, help="The longest wait for its modules."
        ),
    ] = 60.0,
    limit: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            rich_help_panel=WHEN,
            help="The longest wait, after the rounds, for its end or the expected output.",
        ),
    ] = 300.0,
    expect_exit: Annotated[
        int | None,
        typer.Option(
            metavar="STATUS",
            show_default=False,
            rich_help_panel=EXPECT,
            help="End by itself with this status. Wine passes the low 8 bits on.",
        ),
    ] = None,
    expect_output: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", show_default=False, rich_help_panel=EXPECT, help="Print something that matches."
        ),
    ] = None,
    same_output: Annotated[
        bool,
        typer.Option(
            "--same-output", rich_help_panel=EXPECT, help="Print what it prints without the package."
        ),
    ] = False,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            readable=False,
            show_default=False,
            help="Where the program's output goes; otherwise into a new temporary folder.",
        ),
    ] = None,
    policy: PolicyOption = None,
    key: KeyOption = None,
    threshold: ThresholdOption = None,
    lowest_tier: LowestTierOption = None,
    allow_unsigned: AllowUnsignedOption = False,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """Start a program, apply the package while it runs, revert it and apply it again, and watch.

    Without expectations the program has to end with status 0, or be alive after the last round; then it is
    ended. Exit status 0: it did what it should, and every apply and revert succeeded. What the program says
    goes to files that the result names.
    """
    from hpbuild.apply.rehearse.model import Expectation, Schedule
    from hpbuild.cli.rehearsing import run_rehearsal
    from hpbuild.cli.verifying import make_policy

    output = Output(format=format, quiet=quiet, verbose=verbose, color=color)
    trust = make_policy(
        key or [], threshold, lowest_tier, allow_unsigned=allow_unsigned, policy=policy, command="rehearse"
    )
    # A rehearsal puts nothing into service, so there is nothing to remember and nothing to go back behind.
    trust = replace(trust, state_required=False)
    schedule = Schedule(
        rounds=rounds, after=0.0 if when_loaded else after, hold=hold, load_limit=load_limit, limit=limit
    )
    expectation = Expectation(exit_status=expect_exit, pattern=expect_output, same_output=same_output)
    return run_rehearsal(bundle, command, trust, schedule, expectation, output_dir, output)
