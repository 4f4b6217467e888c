"""``hpbuild explain``: what a code means and what to do."""

from enum import StrEnum
from typing import Annotated

import typer

from hpbuild.cli.options import OUTPUT_PANEL, Color, ColorOption, Format
from hpbuild.cli.output import Output
from hpbuild.cli.stdout import write_text
from hpbuild.codes import cli as codes
from hpbuild.errors import ExitStatus, HpbuildError


class ExplainFormat(StrEnum):
    """Forms of an explanation."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


def explain(
    code: Annotated[str, typer.Argument(metavar="[CODE]", show_default=False, help="A code: HP3004.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Explain every code.")] = False,
    format: Annotated[  # noqa: A002 - the option's name
        ExplainFormat,
        typer.Option(
            envvar="HPBUILD_EXPLAIN_FORMAT",
            rich_help_panel=OUTPUT_PANEL,
            help="Form of the result on stdout; markdown is the documentation page.",
        ),
    ] = ExplainFormat.TEXT,
    color: ColorOption = Color.AUTO,
) -> int:
    """Say what an HP code means, why it matters and what to do."""
    from hpbuild.codes import all_codes, find_code
    from hpbuild.report import codes as report

    if bool(code) == everything:
        raise HpbuildError(codes.USAGE, "hpbuild explain", "name one code, or say --all")
    row = None if everything else find_code(code)
    if row is None and not everything:
        raise HpbuildError(codes.NO_SUCH_NAME, code, "no code has this id")
    rows = all_codes() if row is None else (row,)
    if format is ExplainFormat.MARKDOWN:
        write_text(report.markdown(rows))
        return ExitStatus.YES
    output = Output(format=Format(format.value), color=color)
    output.emit(report.document(rows), report.blocks)
    return ExitStatus.YES
