"""The options that only ``sign`` has: keys wherever they are, and what goes with a signature."""

from pathlib import Path
from typing import Annotated

import typer

ELSEWHERE_PANEL = "A key that is somewhere else"

KeyUriOption = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="URI",
        show_default=False,
        help="Sign with this key: file:PATH, pkcs11:token=T;object=O?module-path=LIBRARY or "
        "exec:PROGRAM?key=PUBLIC. Repeatable.",
    ),
]
CertificateOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--cert",
        metavar="PEM",
        readable=False,
        show_default=False,
        help="Certificates to put with the signature, the key's own first. Repeatable, for several keys.",
    ),
]
TimestampOption = Annotated[
    list[str] | None,
    typer.Option(
        "--timestamp-url",
        metavar="URL",
        show_default=False,
        help="Have each new signature time-stamped (RFC 3161). Repeatable: the first to answer is used.",
    ),
]
SignedOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        readable=False,
        show_default=False,
        help="Write here, not over the package.",
    ),
]
PrepareOption = Annotated[
    Path | None,
    typer.Option(
        "--prepare",
        metavar="OUT",
        readable=False,
        show_default=False,
        rich_help_panel=ELSEWHERE_PANEL,
        help="Write the bytes to sign to this file and sign nothing. With --public-key.",
    ),
]
AttachOption = Annotated[
    Path | None,
    typer.Option(
        "--attach",
        metavar="SIG",
        readable=False,
        show_default=False,
        rich_help_panel=ELSEWHERE_PANEL,
        help="Verify and add this signature, bare bytes (ECDSA in DER). With --public-key.",
    ),
]
PublicKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--public-key",
        metavar="FILE",
        readable=False,
        show_default=False,
        rich_help_panel=ELSEWHERE_PANEL,
        help="The public key of --prepare and --attach.",
    ),
]
