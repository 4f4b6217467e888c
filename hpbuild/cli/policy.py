"""``hpbuild policy``: make, extend and look at trust policies."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.help import Command, Group
from hpbuild.cli.options import Color, ColorOption, Format, FormatOption
from hpbuild.cli.output import Output
from hpbuild.errors import ExitStatus

PolicyArgument = Annotated[
    Path, typer.Argument(metavar="POLICY", readable=False, show_default=False, help="The policy file.")
]


def init(
    out: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="POLICY", readable=False, show_default=False, help="Write this file."
        ),
    ],
    product: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", show_default=False, help="Accept packages of this product line only. Repeatable."
        ),
    ] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    color: ColorOption = Color.AUTO,
) -> int:
    """Write a policy with comments to start from. It trusts nobody until a key is added."""
    import hashlib

    from hpbuild.bundle.output import write_new
    from hpbuild.cli.policy_editing import new_policy
    from hpbuild.report import policy as report

    data = new_policy(product or ())
    write_new(out, data, 0o644)
    document = report.document("init", out, hashlib.sha256(data).hexdigest(), None, ())
    Output(format=format, color=color).emit(document, report.blocks)
    return ExitStatus.YES


def add_key(
    policy: PolicyArgument,
    key: Annotated[
        Path, typer.Argument(metavar="FILE", readable=False, show_default=False, help="The public key.")
    ],
    role: Annotated[
        str, typer.Option(show_default=False, help="The role that the key is for; made when it is new.")
    ],
    name: Annotated[
        str, typer.Option(show_default=False, help="What to call the key; by default as the file.")
    ] = "",
    threshold: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, show_default=False, help="From now on so many keys of the role have to sign."
        ),
    ] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    color: ColorOption = Color.AUTO,
) -> int:
    """Add a trusted key to a role of a policy. Comments and everything else stay as they are."""
    from hpbuild.cli.policy_editing import add_key as add
    from hpbuild.cli.policy_editing import new_key
    from hpbuild.report import policy as report

    changed = add(policy, new_key(key, role, name), threshold)
    document = report.document("add-key", policy, changed.sha256, changed, ())
    Output(format=format, color=color).emit(document, report.blocks)
    return ExitStatus.YES


def check(
    policy: PolicyArgument,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    color: ColorOption = Color.AUTO,
) -> int:
    """Read a policy as `verify` does, and say what it asks for and what should be looked at in it.

    Exit status 0: it can be used, with or without remarks; 2, 4: it cannot.
    """
    from datetime import UTC, datetime

    from hpbuild.bundle.output import read_bounded
    from hpbuild.report import policy as report
    from hpbuild.verify.policy_file import MAX_POLICY, parse_policy, unused_names
    from hpbuild.verify.policy_remarks import remarks

    data = read_bounded(policy, MAX_POLICY)
    found = parse_policy(data, str(policy))
    findings = remarks(found, unused_names(data, str(policy)), datetime.now(UTC))
    document = report.document("check", policy, found.sha256, found, findings)
    Output(format=format, color=color).emit(document, report.blocks)
    return ExitStatus.YES


def make_app() -> typer.Typer:
    """The ``policy`` commands."""
    app = typer.Typer(
        cls=Group, rich_markup_mode=None, help="Make, extend and check trust policies.", no_args_is_help=False
    )
    app.command("init", cls=Command)(init)
    app.command("add-key", cls=Command)(add_key)
    app.command("check", cls=Command)(check)
    return app
