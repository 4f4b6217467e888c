"""``hpbuild sign``: add signatures to a package."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import BundleArgument, Color, ColorOption, Format, FormatOption
from hpbuild.cli.output import Output
from hpbuild.errors import ExitStatus

ELSEWHERE_PANEL = "A key that is somewhere else"


def sign(
    bundle: BundleArgument,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="URI",
            show_default=False,
            help="Sign with this key: file:PATH, pkcs11:token=T;object=O?module-path=LIBRARY or "
            "exec:PROGRAM?key=PUBLIC. Repeatable.",
        ),
    ] = None,
    cert: Annotated[
        list[Path] | None,
        typer.Option(
            "--cert",
            metavar="PEM",
            readable=False,
            show_default=False,
            help="Certificates to put with the signature, the key's own first. Repeatable, for several keys.",
        ),
    ] = None,
    timestamp_url: Annotated[
        list[str] | None,
        typer.Option(
            "--timestamp-url",
            metavar="URL",
            show_default=False,
            help="Have each new signature time-stamped (RFC 3161). Repeatable: the first to answer is used.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            readable=False,
            show_default=False,
            help="Write here, not over the package.",
        ),
    ] = None,
    prepare: Annotated[
        Path | None,
        typer.Option(
            "--prepare",
            metavar="OUT",
            readable=False,
            show_default=False,
            rich_help_panel=ELSEWHERE_PANEL,
            help="Write the bytes to sign to this file and sign nothing. With --public-key.",
        ),
    ] = None,
    attach: Annotated[
        Path | None,
        typer.Option(
            "--attach",
            metavar="SIG",
            readable=False,
            show_default=False,
            rich_help_panel=ELSEWHERE_PANEL,
            help="Verify and add this signature, bare bytes (ECDSA in DER). With --public-key.",
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            metavar="FILE",
            readable=False,
            show_default=False,
            rich_help_panel=ELSEWHERE_PANEL,
            help="The public key of --prepare and --attach.",
        ),
    ] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    color: ColorOption = Color.AUTO,
) -> int:
    """Sign a package. Signatures that it has already stay, so others can countersign."""
    from hpbuild.cli.signing import SignOptions, run
    from hpbuild.report import sign as report

    options = SignOptions(
        bundle=bundle,
        keys=tuple(key or ()),
        certificates=tuple(cert or ()),
        timestamp_urls=tuple(timestamp_url or ()),
        out=out,
        prepare=prepare,
        attach=attach,
        public_key=public_key,
    )
    Output(format=format, color=color).emit(run(options), report.blocks)
    return ExitStatus.YES
