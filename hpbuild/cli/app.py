"""The command line as a typer application, and its dispatch."""

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hpbuild import __version__
from hpbuild.cli.commands import COMMANDS, GROUPS
from hpbuild.cli.help import ENVIRONMENT_NOTE, Command, Group
from hpbuild.codes import cli as codes
from hpbuild.errors import ExitStatus, HpbuildError

# typer's public error type derives from the usage error of the click that this typer stands on.
USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]

CLICK_INTERRUPTED = 130
"""What typer returns after Ctrl-C; no command of hpbuild has this status."""

COMPLETION = "_HPBUILD_COMPLETE"
"""Set by a shell's script when it asks for completions."""

SETTINGS: dict[str, Any] = {"auto_envvar_prefix": "HPBUILD", "help_option_names": ["-h", "--help"]}


def _version(value: bool) -> None:
    if value:
        from hpbuild.cli.stdout import write_text

        write_text(f"hpbuild {__version__}\n")
        raise typer.Exit


def _hpbuild(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, allow_from_autoenv=False, help="Show the version."
        ),
    ] = False,
) -> None:
    """Build, sign, verify and prove function-level hotpatches from two finished Windows binaries."""


def function_of(name: str) -> Callable[..., int]:
    """The function of a command; its module is imported here and not before."""
    function: Callable[..., int] = getattr(import_module(f"hpbuild.cli.{name}"), name)
    return function


def make_app(only: str | None = None) -> typer.Typer:
    """The command line as a typer application: with all commands, or with the one called ``only``, if it is
    one, so that nothing of the others is imported."""
    names = [name for _, name, _ in COMMANDS] + [name for _, name in GROUPS]
    wanted = {only} if only in names else set(names)
    app = typer.Typer(
        name="hpbuild",
        cls=Group,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=SETTINGS,
        epilog=ENVIRONMENT_NOTE,
    )
    app.callback()(_hpbuild)
    for section, name, line in COMMANDS:
        if name in wanted:
            app.command(name, cls=Command, rich_help_panel=section, short_help=line)(function_of(name))
    for section, name in GROUPS:
        if name in wanted:
            group = import_module(f"hpbuild.cli.{name}").make_app()
            app.add_typer(group, name=name, rich_help_panel=section)
    return app


def dispatch(arguments: Sequence[str]) -> int:
    """Parse the command line, run its command and give its exit status.

    Raises HpbuildError for a refusal, a wrong command line (HP9001) or an interruption (HP9002), and
    whatever OSError or defect comes out of a command."""
    if arguments:
        # The shells' scripts ask without arguments. With some it is a command, which must not end with 0
        # before it has begun because the variable was left over.
        os.environ.pop(COMPLETION, None)
    elif COMPLETION in os.environ:
        from hpbuild.cli.completion import enable

        enable()
    try:
        app = make_app(_command_alone(arguments))
        status = app(args=list(arguments), prog_name="hpbuild", standalone_mode=False)
    except USAGE_ERROR as error:
        raise HpbuildError(codes.USAGE, _usage_place(error), _usage_cause(error)) from error
    except typer.Abort as error:
        raise HpbuildError(codes.INTERRUPTED, "hpbuild", "the input ended at a prompt") from error
    if status == CLICK_INTERRUPTED:
        raise KeyboardInterrupt
    return int(status) if isinstance(status, int) else int(ExitStatus.YES)


def _command_alone(arguments: Sequence[str]) -> str | None:
    """The command that the arguments begin with, when typer will not have to know of any other."""
    # HPBUILD_HELP asks for the list of all, as --help does.
    return arguments[0] if arguments and "HPBUILD_HELP" not in os.environ else None


def _usage_place(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "hpbuild"


def _usage_cause(error: Exception) -> str:
    command = getattr(error, "cmd", None)
    text = str(error.format_message()) if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    if isinstance(command, TyperCommand) and context is not None:
        usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
        return f"{text.rstrip('.')}; usage: {usage}"
    return text
