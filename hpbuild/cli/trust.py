"""The options that say whom to trust and what may be accepted, as several commands have them.

Those that ask for less are for the command line alone: a variable that was left over from something else must
not be what a package is accepted for."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.choices import STATE_WAIT as STATE_WAIT
from hpbuild.cli.choices import LowestTier as LowestTier

_TRUST = "Trust"
_MEMORY = "Memory of what was accepted"

KeyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--key",
        metavar="FILE",
        readable=False,
        show_default=False,
        rich_help_panel=_TRUST,
        help="A trusted public key. Repeatable.",
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="FILE",
        readable=False,
        show_default=False,
        rich_help_panel=_MEMORY,
        help="Remember here what was accepted, and refuse what goes back. Made at the first use.",
    ),
]
NoRecordOption = Annotated[
    bool,
    typer.Option(
        "--no-record",
        rich_help_panel=_MEMORY,
        allow_from_autoenv=False,
        help="With --state: compare with what was accepted, add nothing.",
    ),
]
StateWaitOption = Annotated[
    float,
    typer.Option(
        "--state-wait",
        metavar="SECONDS",
        min=0,
        max=86400,
        rich_help_panel=_MEMORY,
        help="How long to wait for another run that uses the state file.",
    ),
]
ThresholdOption = Annotated[
    int | None,
    typer.Option(
        "--threshold",
        min=1,
        show_default="1",
        rich_help_panel=_TRUST,
        help="How many different trusted keys must have signed.",
    ),
]
LowestTierOption = Annotated[
    LowestTier | None,
    typer.Option(
        "--lowest-tier",
        show_default="authenticode",
        rich_help_panel=_TRUST,
        allow_from_autoenv=False,
        help="The weakest identity of an installed file that is accepted.",
    ),
]
PolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        readable=False,
        show_default=False,
        rich_help_panel=_TRUST,
        help="The trust policy: whom to trust and what to accept. Not with --key, --threshold, --lowest-tier "
        "and --allow-unsigned.",
    ),
]
TimeOption = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="TIME",
        show_default=False,
        rich_help_panel=_TRUST,
        allow_from_autoenv=False,
        help="Judge everything at this time, 2026-01-31T12:00:00Z, and not now; the result says so. With "
        "--state only beside --no-record.",
    ),
]
AllowUnsignedOption = Annotated[
    bool,
    typer.Option(
        "--allow-unsigned",
        rich_help_panel=_TRUST,
        allow_from_autoenv=False,
        help="Do not ask who made the package. Not with --key.",
    ),
]
