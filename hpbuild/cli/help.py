"""Help pages: commands and options under headings, plain text.

typer draws panels with rich, which takes longer to import than everything else that ``--help`` needs.
"""

from typing import Any, ClassVar

from typer.core import TyperCommand, TyperGroup

ENVIRONMENT_NOTE = (
    "Every option but those that ask for less checking (--allow-unsigned, --lowest-tier, --no-record, "
    "--time) can be set in the environment, as HPBUILD_<COMMAND>_<OPTION>: HPBUILD_VERIFY_THRESHOLD=2."
)


def _panel(item: Any, otherwise: str) -> str:
    panel = getattr(item, "rich_help_panel", None)
    return panel if isinstance(panel, str) else otherwise


def _write_sections(formatter: Any, rows: list[tuple[str, tuple[str, str]]]) -> None:
    sections: dict[str, list[tuple[str, str]]] = {}
    for section, row in rows:
        sections.setdefault(section, []).append(row)
    for section, entries in sections.items():
        with formatter.section(section):
            formatter.write_dl(entries)


def _parameter_rows(command: Any, ctx: Any) -> list[tuple[str, tuple[str, str]]]:
    arguments, options = [], []
    for parameter in command.get_params(ctx):
        parameter.show_envvar = False  # the epilog says once how every variable is called
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        if parameter.param_type_name == "argument":
            arguments.append((_panel(parameter, "Arguments"), record))
        else:
            options.append((_panel(parameter, "Options"), record))
    options.sort(key=lambda row: row[0] != "Options")
    return arguments + options


class Command(TyperCommand):
    """One command; its options appear under the headings that they name."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options and the output options as sections."""
        _write_sections(formatter, _parameter_rows(self, ctx))


class Group(TyperGroup):
    """The list of commands, under the headings that they name."""

    order: ClassVar[tuple[str, ...]] = (
        "Make a package", "Check a package", "Use a package", "Look", "Keys", "Reference",
    )  # fmt: skip

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands first, then the options of ``hpbuild`` itself."""
        self.format_commands(ctx, formatter)
        _write_sections(formatter, _parameter_rows(self, ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, section by section in the order of work."""
        rows = []
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((_panel(command, "Commands"), (name, command.get_short_help_str(limit=70))))
        rank = {section: index for index, section in enumerate(self.order)}
        rows.sort(key=lambda row: rank.get(row[0], len(rank)))
        _write_sections(formatter, rows)
