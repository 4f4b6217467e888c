"""``hpbuild line``: what was accepted of release lines."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.help import Command, Group
from hpbuild.cli.options import Color, ColorOption, Format, FormatOption, VerboseOption
from hpbuild.cli.output import Output
from hpbuild.cli.trust import STATE_WAIT, StateWaitOption
from hpbuild.errors import ExitStatus


def show(
    state: Annotated[
        Path, typer.Argument(metavar="FILE", readable=False, show_default=False, help="The state file.")
    ],
    state_wait: StateWaitOption = STATE_WAIT,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    verbose: VerboseOption = 0,
    color: ColorOption = Color.AUTO,
) -> int:
    """What was accepted, by product. The file's records and its seal are checked first.

    Run it as the user whose runs wrote the file: nobody else can read its key.
    """
    from hpbuild.codes.bundle import NO_SUCH_FILE
    from hpbuild.errors import HpbuildError
    from hpbuild.report import line as report
    from hpbuild.servicing import open_state

    output = Output(format=format, verbose=verbose, color=color)
    if not state.parent.is_dir():
        raise HpbuildError(NO_SUCH_FILE, str(state), "its folder does not exist")
    with open_state(state, state_wait, record=False) as kept:
        if not kept.exists:
            raise HpbuildError(NO_SUCH_FILE, str(state), "nothing was accepted with this state file yet")
        document = report.document(str(state), kept.lines)
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return ExitStatus.YES


def make_app() -> typer.Typer:
    """The ``line`` commands."""
    app = typer.Typer(
        cls=Group,
        rich_markup_mode=None,
        help="Release lines: what was accepted on this machine.",
        no_args_is_help=False,
    )
    app.callback()(_line)
    app.command("show", cls=Command)(show)
    return app


def _line() -> None:
    """Release lines: what was accepted on this machine."""
