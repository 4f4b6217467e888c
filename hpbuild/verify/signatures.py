"""V03: who vouches for the package. Works on the raw bytes of statement and envelope."""

from dataclasses import dataclass

from hpbuild.bundle.reader import Bundle
from hpbuild.codes.verify import SIGNATURES_WAIVED, UNTRUSTED
from hpbuild.errors import Finding, HpbuildError
from hpbuild.sign.algorithms import algorithm_of, spki_sha256
from hpbuild.sign.bundle_signing import envelope_statement_findings
from hpbuild.sign.dsse import EnvelopeResult, verify_envelope
from hpbuild.verify.checks import SIGNATURES, CheckResult, judged, not_run
from hpbuild.verify.policy import Policy
from hpbuild.verify.request import Signer
from hpbuild.verify.states import Authenticity, CheckStatus


@dataclass(frozen=True, slots=True)
class Signatures:
    """Outcome of V03."""

    check: CheckResult
    signers: tuple[Signer, ...]
    authenticity: Authenticity


def check_signatures(bundle: Bundle, policy: Policy) -> Signatures:
    """Count the votes of the policy's keys over the statement's bytes. Pure.

    With ``allow_unsigned`` the check is not run, but an envelope that is there must still be well-formed
    and enclose this statement.
    """
    try:
        findings = list(envelope_statement_findings(bundle)) if bundle.envelope is not None else []
        result = None if bundle.envelope is None else verify_envelope(bundle.envelope, policy.trusted)
    except HpbuildError as error:
        return Signatures(judged(SIGNATURES, (error.finding,)), (), Authenticity.UNTRUSTED)
    signers = () if result is None else _signers(result, policy)
    votes = {signer.spki_sha256 for signer in signers if signer.trusted}
    if policy.allow_unsigned:
        if findings:
            return Signatures(judged(SIGNATURES, findings), signers, Authenticity.UNTRUSTED)
        waived = Finding(SIGNATURES_WAIVED, "policy", "unsigned packages are allowed: nobody vouches for it")
        return Signatures(
            not_run(SIGNATURES, "waived by the policy", findings=(waived,)), signers, Authenticity.WAIVED
        )
    if not policy.trusted:
        findings.append(Finding(UNTRUSTED, "policy", "no trusted key is named"))
    elif result is None:
        findings.append(Finding(UNTRUSTED, "bundle", "it is not signed"))
    elif len(votes) < policy.threshold:
        cause = (
            f"{len(votes)} of {policy.threshold} needed keys have signed; the envelope has "
            f"{len(signers)} signatures, {sum(s.outcome == 'bad' for s in signers)} of them bad"
        )
        findings.append(Finding(UNTRUSTED, "bundle", cause))
    check = judged(SIGNATURES, findings, (("keys that signed", len(votes)), ("threshold", policy.threshold)))
    trusted = check.status is CheckStatus.PASSED
    return Signatures(check, signers, Authenticity.TRUSTED if trusted else Authenticity.UNTRUSTED)


def _signers(result: EnvelopeResult, policy: Policy) -> tuple[Signer, ...]:
    algorithms = {spki_sha256(key): str(algorithm_of(key)) for key in policy.trusted}
    return tuple(
        Signer(
            spki_sha256=item.key,
            algorithm=algorithms.get(item.key, ""),
            key_hint=item.keyid,
            outcome=str(item.outcome),
            trusted=item.key in result.votes and item.key in algorithms,
        )
        for item in result.signatures
    )
