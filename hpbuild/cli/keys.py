"""``hpbuild keys``: make signing keys, and tell who a key is."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hpbuild.cli.help import Command, Group
from hpbuild.cli.options import Color, ColorOption, Format, FormatOption
from hpbuild.cli.output import Output
from hpbuild.errors import ExitStatus


class KeyAlgorithm(StrEnum):
    """Algorithms that ``keys generate`` offers."""

    ED25519 = "ed25519"
    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    RSA_PSS = "rsa-pss"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"


def generate(
    out: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="STEM",
            readable=False,
            show_default=False,
            help="Write STEM.key (mode 600) and STEM.pub.",
        ),
    ],
    algorithm: Annotated[KeyAlgorithm, typer.Option(help="Kind of key.")] = KeyAlgorithm.ED25519,
    no_passphrase: Annotated[
        bool,
        typer.Option("--no-passphrase", help="Leave the private key unprotected on disk."),
    ] = False,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    color: ColorOption = Color.AUTO,
) -> int:
    """Make a key pair. The passphrase comes from HPBUILD_PASSPHRASE or from a prompt."""
    from hpbuild.cli.passphrase import new_passphrase
    from hpbuild.report import keys as report
    from hpbuild.sign.algorithms import Algorithm, spki_sha256
    from hpbuild.sign.keys import generate as generate_pair
    from hpbuild.sign.keys import load_public, write_key_pair

    passphrase = None if no_passphrase else new_passphrase(f"{out}.key")
    pair = generate_pair(Algorithm(algorithm.value), passphrase)
    private, public = write_key_pair(out, pair)
    key = load_public(pair.public_pem, str(public))
    document = report.document(
        algorithm=algorithm.value,
        private=str(private),
        public=str(public),
        spki_sha256=spki_sha256(key),
        protected=passphrase is not None,
    )
    Output(format=format, color=color).emit(document, report.blocks)
    return ExitStatus.YES


def show(
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            show_default=False,
            help="A public key's PEM file, or the URI of a signer as `sign --key` has it.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            readable=False,
            show_default=False,
            help="Write the public key there in PEM; never over a file.",
        ),
    ] = None,
    format: FormatOption = Format.TEXT,  # noqa: A002 - the option's name
    color: ColorOption = Color.AUTO,
) -> int:
    """Tell a key's algorithm and the name that policies and reports have for it. Signs nothing."""
    from hpbuild.bundle.output import write_new
    from hpbuild.cli.passphrase import existing_passphrase
    from hpbuild.report import keys as report
    from hpbuild.sign.algorithms import algorithm_of, spki_sha256
    from hpbuild.sign.keys import PUBLIC_MODE, public_pem, read_public
    from hpbuild.sign.signer import is_uri, signer_from_uri

    public = signer_from_uri(key, existing_passphrase).public if is_uri(key) else read_public(Path(key))
    if out is not None:
        write_new(out, public_pem(public), PUBLIC_MODE)
    document = report.document(
        algorithm=str(algorithm_of(public)),
        public=None if out is None else str(out),
        spki_sha256=spki_sha256(public),
    )
    Output(format=format, color=color).emit(document, report.blocks)
    return ExitStatus.YES


def make_app() -> typer.Typer:
    """The ``keys`` commands."""
    app = typer.Typer(
        cls=Group, rich_markup_mode=None, help="Make signing keys, and look at them.", no_args_is_help=False
    )
    app.command("generate", cls=Command)(generate)
    app.command("show", cls=Command)(show)
    return app
