"""The options that say whom to trust and what may be accepted, as several commands have them."""

from pathlib import Path
from typing import Annotated

import typer

KeyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", metavar="FILE", readable=False, show_default=False, help="A trusted public key. Repeatable."
    ),
]
ThresholdOption = Annotated[
    int, typer.Option("--threshold", min=1, help="How many different trusted keys must have signed.")
]
AllowUnsignedOption = Annotated[
    bool, typer.Option("--allow-unsigned", help="Do not ask who made the package. Not with --key.")
]
