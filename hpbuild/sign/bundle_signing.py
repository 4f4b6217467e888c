"""Signing a bundle: the envelope is added beside the signed members, which stay as they are."""

from collections.abc import Sequence

from hpbuild.bundle.contents import agreement_findings, image_findings, subject_findings
from hpbuild.bundle.layout import ENVELOPE
from hpbuild.bundle.reader import DEFAULT_LIMITS, Bundle, Limits, read_bundle
from hpbuild.bundle.statement import decode_statement
from hpbuild.bundle.writer import write_bundle
from hpbuild.codes import sign as codes
from hpbuild.errors import Finding, HpbuildError
from hpbuild.manifest.codec import decode
from hpbuild.manifest.consistency import check
from hpbuild.sign.dsse import DOCUMENT, decode_envelope, sign_envelope
from hpbuild.sign.signer import Signer, Signing


def sign_bundle(data: bytes, signers: Sequence[Signer | Signing], limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bundle ``data`` with a signature of each signer added; every other member stays as it is.

    Raises what ``read_signable`` raises, and HP51xx, HP52xx for signers and envelope.
    """
    bundle = read_signable(data, limits)
    envelope = sign_envelope(bundle.statement, signers, bundle.envelope)
    return write_bundle({**bundle.members, ENVELOPE: envelope})


def read_signable(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """The bundle in ``data``, whose members, statement and manifest agree.

    Nobody should sign what no verifier will accept: raises the first finding about members, statement and
    manifest (HP41xx, HP43xx), and HP52xx for the envelope.
    """
    bundle = read_bundle(data, limits)
    statement = decode_statement(bundle.statement)
    manifest = decode(bundle.manifest)
    findings = (
        *subject_findings(bundle.members, statement),
        *agreement_findings(statement, manifest),
        *image_findings(bundle, manifest),
        *check(manifest),
        *envelope_statement_findings(bundle),
    )
    if findings:
        raise HpbuildError(findings[0].code, findings[0].place, findings[0].cause)
    return bundle


def envelope_statement_findings(bundle: Bundle) -> tuple[Finding, ...]:
    """The bytes in the envelope are those of the statement member (HP5203); nothing for an unsigned bundle.

    Raises what ``decode_envelope`` raises.
    """
    if bundle.envelope is None or decode_envelope(bundle.envelope).payload == bundle.statement:
        return ()
    return (
        Finding(codes.PAYLOAD_DIFFERS, DOCUMENT, "the signed bytes are not those of the statement member"),
    )
