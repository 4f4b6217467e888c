"""The table of commands, and their dispatch."""

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hpbuild import __version__
from hpbuild.cli import apply as apply_command
from hpbuild.cli import build as build_command
from hpbuild.cli import compare as compare_command
from hpbuild.cli import completion as completion_command
from hpbuild.cli import diff as diff_command
from hpbuild.cli import explain as explain_command
from hpbuild.cli import export as export_command
from hpbuild.cli import inspect as inspect_command
from hpbuild.cli import keys as keys_command
from hpbuild.cli import line as line_command
from hpbuild.cli import policy as policy_command
from hpbuild.cli import prove as prove_command
from hpbuild.cli import rebuild as rebuild_command
from hpbuild.cli import rehearse as rehearse_command
from hpbuild.cli import revert as revert_command
from hpbuild.cli import schema as schema_command
from hpbuild.cli import sign as sign_command
from hpbuild.cli import status as status_command
from hpbuild.cli import verify as verify_command
from hpbuild.cli.help import ENVIRONMENT_NOTE, Command, Group
from hpbuild.codes import cli as codes
from hpbuild.errors import ExitStatus, HpbuildError

# typer's public error type derives from the usage error of the click that this typer stands on.
USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]

CLICK_INTERRUPTED = 130
"""What typer returns after Ctrl-C; no command of hpbuild has this status."""

SETTINGS: dict[str, Any] = {"auto_envvar_prefix": "HPBUILD", "help_option_names": ["-h", "--help"]}


def _version(value: bool) -> None:
    if value:
        from hpbuild.cli.output import write_text

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


COMMANDS: tuple[tuple[str, str, Callable[..., int], str], ...] = (
    ("Make a package", "diff", diff_command.diff, "What changed, can it be patched, why not"),
    ("Make a package", "build", build_command.build, "Make a package from two builds, and prove it"),
    ("Make a package", "sign", sign_command.sign, "Add signatures to a package"),
    ("Check a package", "verify", verify_command.verify, "Who signed it, is it sound, does it fit"),
    ("Check a package", "prove", prove_command.prove, "Prove that it is the fixed build and nothing else"),
    ("Check a package", "rebuild", rebuild_command.rebuild, "Can it be made again, bit for bit"),
    ("Use a package", "apply", apply_command.apply, "Write it into a copy of a file, or into a process"),
    ("Use a package", "revert", revert_command.revert, "Take it out of a file or a process again"),
    ("Use a package", "status", status_command.status, "Which packages are in effect in a process"),
    ("Use a package", "rehearse", rehearse_command.rehearse, "Patch a program while it runs, and watch it"),
    ("Look", "inspect", inspect_command.inspect, "What is in a package or a PE image; verifies nothing"),
    ("Look", "compare", compare_command.compare, "What two packages do differently"),
    ("Look", "export", export_command.export, "A signature as CMS or as a Sigstore bundle"),
    ("Reference", "explain", explain_command.explain, "What an HP code means and what to do"),
    ("Reference", "schema", schema_command.schema, "The JSON Schemas of all documents"),
    ("Reference", "completion", completion_command.completion, "The completion script of a shell"),
)
"""Heading, name, function and one line of help."""


def make_app() -> typer.Typer:
    """The command line as a typer application."""
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
    for section, name, function, line in COMMANDS:
        app.command(name, cls=Command, rich_help_panel=section, short_help=line)(function)
    app.add_typer(keys_command.make_app(), name="keys", rich_help_panel="Keys")
    app.add_typer(policy_command.make_app(), name="policy", rich_help_panel="Keys")
    app.add_typer(line_command.make_app(), name="line", rich_help_panel="Check a package")
    return app


def dispatch(arguments: Sequence[str]) -> int:
    """Parse the command line, run its command and give its exit status.

    Raises HpbuildError for a refusal, a wrong command line (HP9001) or an interruption (HP9002), and
    whatever OSError or defect comes out of a command."""
    if arguments:
        # The shells' scripts ask without arguments. With some it is a command, which must not end with 0
        # before it has begun because the variable was left over.
        os.environ.pop(completion_command.VARIABLE, None)
    elif completion_command.VARIABLE in os.environ:
        completion_command.enable()
    try:
        status = make_app()(args=list(arguments), prog_name="hpbuild", standalone_mode=False)
    except USAGE_ERROR as error:
        raise HpbuildError(codes.USAGE, _usage_place(error), _usage_cause(error)) from error
    except typer.Abort as error:
        raise HpbuildError(codes.INTERRUPTED, "hpbuild", "the input ended at a prompt") from error
    if status == CLICK_INTERRUPTED:
        raise KeyboardInterrupt
    return int(status) if isinstance(status, int) else int(ExitStatus.YES)


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
