"""``hpbuild completion``: the script that makes a shell complete the command line."""

from enum import StrEnum
from typing import Annotated

import typer

from hpbuild.cli.stdout import write_text
from hpbuild.errors import ExitStatus


class Shell(StrEnum):
    """Shells that typer has a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"
    PWSH = "pwsh"


def completion(shell: Annotated[Shell, typer.Argument(show_default=False, help="The shell.")]) -> int:
    """Print a shell's completion script: source <(hpbuild completion bash)."""
    from typer._completion_shared import get_completion_script

    from hpbuild.cli.app import COMPLETION

    script = get_completion_script(prog_name="hpbuild", complete_var=COMPLETION, shell=shell.value)
    write_text(script + "\n")
    return ExitStatus.YES


def enable() -> None:
    """Let typer answer the questions of its scripts; otherwise it knows click's own shells only."""
    from typer._completion_classes import completion_init

    completion_init()
