"""The options that say whom to trust and what may be accepted, as several commands have them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LowestTier(StrEnum):
    """Identities of the installed file, strongest first."""

    EXACT = "exact"
    AUTHENTICODE = "authenticode"
    SECTIONS = "sections"
    FUNCTIONS = "functions"


KeyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", metavar="FILE", readable=False, show_default=False, help="A trusted public key. Repeatable."
    ),
]
STATE_WAIT = 10.0
"""Seconds to wait for another run that uses the state file."""

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="FILE",
        readable=False,
        show_default=False,
        help="Remember here what was accepted, and refuse what goes back. Made at the first use.",
    ),
]
NoRecordOption = Annotated[
    bool, typer.Option("--no-record", help="With --state: compare with what was accepted, add nothing.")
]
StateWaitOption = Annotated[
    float,
    typer.Option(
        "--state-wait",
        metavar="SECONDS",
        min=0,
        max=86400,
        help="How long to wait for another run that uses the state file.",
    ),
]
ThresholdOption = Annotated[
    int | None,
    typer.Option(
        "--threshold",
        min=1,
        show_default="1",
        help="How many different trusted keys must have signed.",
    ),
]
LowestTierOption = Annotated[
    LowestTier | None,
    typer.Option(
        "--lowest-tier",
        show_default="authenticode",
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
        help="Judge everything at this time, 2026-01-31T12:00:00Z, and not now; the result says so. With "
        "--state only beside --no-record.",
    ),
]
AllowUnsignedOption = Annotated[
    bool, typer.Option("--allow-unsigned", help="Do not ask who made the package. Not with --key.")
]
