"""``hpbuild sign``: add signatures to a package."""

from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.options import BundleArgument, Color, ColorOption, Format, FormatOption
from hpbuild.cli.output import Output
from hpbuild.errors import ExitStatus


def sign(
    bundle: BundleArgument,
    key: Annotated[
        list[str],
        typer.Option(
            "--key", metavar="URI", show_default=False, help="Sign with this key: file:PATH. Repeatable."
        ),
    ],
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
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    color: ColorOption = Color.AUTO,
) -> int:
    """Sign a package. Signatures that it has already stay, so others can countersign."""
    from hpbuild.bundle.output import write_atomic
    from hpbuild.bundle.reader import read_bundle, read_bundle_file
    from hpbuild.cli.passphrase import existing_passphrase
    from hpbuild.report import sign as report
    from hpbuild.sign.algorithms import algorithm_of, spki_sha256
    from hpbuild.sign.bundle_signing import sign_bundle
    from hpbuild.sign.signer import signer_from_uri

    signers = [signer_from_uri(uri, existing_passphrase) for uri in key]
    signed = sign_bundle(read_bundle_file(bundle).raw, signers)
    target = out or bundle
    write_atomic(target, signed)
    keys = [(str(algorithm_of(signer.public)), spki_sha256(signer.public)) for signer in signers]
    document = report.document(str(target), read_bundle(signed, place=str(target)).sha256.hex, keys)
    Output(format=format, color=color).emit(document, report.blocks)
    return ExitStatus.YES
