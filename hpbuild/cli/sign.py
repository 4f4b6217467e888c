"""``hpbuild sign``: add signatures to a package."""

from hpbuild.cli.options import BundleArgument, Color, ColorOption, Format, FormatOption
from hpbuild.cli.output import Output
from hpbuild.cli.sign_options import (
    AttachOption,
    CertificateOption,
    KeyUriOption,
    PrepareOption,
    PublicKeyOption,
    SignedOption,
    TimestampOption,
)
from hpbuild.errors import ExitStatus


def sign(
    bundle: BundleArgument,
    key: KeyUriOption = None,
    cert: CertificateOption = None,
    timestamp_url: TimestampOption = None,
    out: SignedOption = None,
    prepare: PrepareOption = None,
    attach: AttachOption = None,
    public_key: PublicKeyOption = None,
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
