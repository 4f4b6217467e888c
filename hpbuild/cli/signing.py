"""Steps of ``sign`` between the command line and the signers."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hpbuild.bundle.output import read_bounded, write_atomic
from hpbuild.bundle.reader import read_bundle, read_bundle_file
from hpbuild.cli.passphrase import existing_passphrase
from hpbuild.codes import cli as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError
from hpbuild.report import sign as report
from hpbuild.report.document import Document
from hpbuild.sign.algorithms import Algorithm, PublicKey, algorithm_of, spki_sha256
from hpbuild.sign.bundle_signing import sign_bundle
from hpbuild.sign.certificates import MAX_PEM
from hpbuild.sign.dsse import MAX_SIGNATURE
from hpbuild.sign.keys import read_public
from hpbuild.sign.prepare import MadeElsewhere, bytes_to_sign, signings
from hpbuild.sign.signer import Signer, Signing, signer_from_uri

TIMESTAMP_TIMEOUT = 30.0
"""Seconds for one time-stamping authority to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOptions:
    """The options of one run. HpbuildError HP9001 for options that do not go together."""

    bundle: Path
    keys: tuple[str, ...] = ()
    certificates: tuple[Path, ...] = ()
    timestamp_urls: tuple[str, ...] = ()
    out: Path | None = None
    prepare: Path | None = None
    attach: Path | None = None
    public_key: Path | None = None

    def __post_init__(self) -> None:
        ways = (bool(self.keys), self.prepare is not None, self.attach is not None)
        if sum(ways) != 1:
            raise _usage("say one of --key URI, --prepare OUT and --attach SIG")
        if (self.public_key is None) != bool(self.keys):
            raise _usage("--public-key FILE goes with --prepare and --attach, and only there")
        if self.prepare is not None and (self.certificates or self.timestamp_urls or self.out):
            raise _usage("--prepare takes no --cert, --timestamp-url or --output: nothing is signed yet")


def run(options: SignOptions) -> Document:
    """Do what the options say and give the report's document."""
    if options.prepare is not None and options.public_key is not None:
        return _prepare(options.bundle, options.prepare, read_public(options.public_key))
    stamp = _timestamp(options.timestamp_urls)
    made = signings(_signers(options), _chains(options), stamp, datetime.now(UTC))
    signed = sign_bundle(read_bundle_file(options.bundle).raw, made)
    target = options.out or options.bundle
    write_atomic(target, signed)
    sha256 = read_bundle(signed, place=str(target)).sha256.hex
    return report.document(str(target), sha256, map(_made, made))


def _prepare(bundle: Path, out: Path, public: PublicKey) -> Document:
    package = read_bundle_file(bundle)
    content = bytes_to_sign(package.raw, public)
    algorithm = Algorithm(str(algorithm_of(public)))
    request = report.Request(
        path=str(out),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        algorithm=str(algorithm),
        spki_sha256=spki_sha256(public),
        hash=algorithm.hash,
        digest=hashlib.new(algorithm.hash, content).hexdigest() if algorithm.hash else "",
    )
    write_atomic(out, content)
    return report.prepared(str(bundle), package.sha256.hex, request)


def _signers(options: SignOptions) -> list[Signer]:
    if options.attach is not None and options.public_key is not None:
        signature = read_bounded(options.attach, MAX_SIGNATURE)
        return [MadeElsewhere(read_public(options.public_key), signature)]
    return [signer_from_uri(uri, existing_passphrase) for uri in options.keys]


def _chains(options: SignOptions) -> list[tuple[str, bytes]]:
    return [(str(path), read_bounded(path, MAX_PEM)) for path in options.certificates]


def _timestamp(urls: tuple[str, ...]) -> Callable[[bytes], bytes] | None:
    if not urls:
        return None
    from hpbuild.sign.timestamp_client import request_timestamp

    return lambda signature: request_timestamp(signature, urls, TIMESTAMP_TIMEOUT)


def _made(signing: Signing) -> report.SignatureMade:
    return report.SignatureMade(
        algorithm=str(algorithm_of(signing.signer.public)),
        spki_sha256=spki_sha256(signing.signer.public),
        certificates=len(signing.chain),
        timestamps=0 if signing.timestamp is None else 1,
    )


def _usage(cause: str) -> HpbuildError:
    return HpbuildError(codes.USAGE, "hpbuild sign", cause)
