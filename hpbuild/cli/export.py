"""``hpbuild export``: a signature in the form of another tool."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import BundleArgument, Color, ColorOption, Format, FormatOption
from hpbuild.cli.output import Output
from hpbuild.errors import ExitStatus


class Form(StrEnum):
    """What a signature is exported to."""

    CMS = "cms"
    SIGSTORE = "sigstore"


def export(
    bundle: BundleArgument,
    to: Annotated[
        Form,
        typer.Option(
            "--to",
            show_default=False,
            help="cms: SignedData in DER (.p7s); sigstore: a bundle of version 0.3.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", readable=False, show_default=False, help="Write here."
        ),
    ],
    signature: Annotated[
        int, typer.Option("--signature", metavar="N", min=1, help="Which signature, counted from 1.")
    ] = 1,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            metavar="FILE",
            readable=False,
            show_default=False,
            help="The signer's certificate and its chain in PEM, for a signature that carries none.",
        ),
    ] = None,
    detached: Annotated[
        Path | None,
        typer.Option(
            "--detached",
            metavar="CONTENT",
            readable=False,
            show_default=False,
            help="cms: write what is signed into this file and leave it out of the export.",
        ),
    ] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    color: ColorOption = Color.AUTO,
) -> int:
    """Write one signature of a package as CMS or as a Sigstore bundle. Verifies no trust; needs no key."""
    from hpbuild.bundle.output import read_bounded, write_atomic
    from hpbuild.bundle.reader import read_bundle_file
    from hpbuild.codes import cli as codes
    from hpbuild.errors import HpbuildError
    from hpbuild.report import export as report
    from hpbuild.sign.certificates import MAX_PEM
    from hpbuild.sign.export import export_signature

    if detached is not None and to is not Form.CMS:
        raise HpbuildError(codes.USAGE, "--detached", "only the form cms has detached content")
    pem = b"" if certificate is None else read_bounded(certificate, MAX_PEM)
    exported = export_signature(
        read_bundle_file(bundle), signature, to.value, pem, str(certificate), detached=detached is not None
    )
    if detached is not None:
        write_atomic(detached, exported.content)
    write_atomic(out, exported.data)
    document = report.document(str(out), exported, str(detached) if detached else None)
    Output(format=format, color=color).emit(document, report.blocks)
    return ExitStatus.YES
