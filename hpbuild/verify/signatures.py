"""V03: who vouches for the package. Works on the raw bytes of statement and envelope.

Every signature is judged, whatever becomes of the others (``one_signature``); those that have a vote are
counted (``votes``). A signature without a vote is no fault of a package that enough others have signed, so
the reasons become findings only when a role is not met; the report shows them always.
"""

from collections.abc import Sequence
from datetime import datetime

from hpbuild.bundle.reader import Bundle
from hpbuild.codes import policy as codes
from hpbuild.codes.verify import SIGNATURES_WAIVED, UNTRUSTED
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import Finding, HpbuildError
from hpbuild.sign.bundle_signing import envelope_statement_findings
from hpbuild.sign.dsse import DOCUMENT, decode_envelope, pae
from hpbuild.verify.checks import SIGNATURES, CheckResult, Fact, judged, not_run
from hpbuild.verify.one_signature import Judgement, judge, trusted_of
from hpbuild.verify.policy import Policy
from hpbuild.verify.request import Signer
from hpbuild.verify.states import Authenticity, CheckStatus
from hpbuild.verify.votes import Count, Tally, Vote, count_votes


@dataclass(frozen=True, slots=True)
class Signatures:
    """Outcome of V03."""

    check: CheckResult
    signers: tuple[Signer, ...]
    authenticity: Authenticity


def check_signatures(bundle: Bundle, policy: Policy, now: datetime) -> Signatures:
    """Judge every signature over the statement's bytes at the time ``now`` and count the votes. Pure.

    With ``allow_unsigned`` the check is not run, but an envelope that is there must still be well-formed
    and enclose this statement.
    """
    try:
        findings = list(envelope_statement_findings(bundle))
        judgements = _judge_all(bundle.envelope, policy, now)
    except HpbuildError as error:
        return Signatures(judged(SIGNATURES, (error.finding,)), (), Authenticity.UNTRUSTED)
    votes, judgements = _votes(judgements)
    count = count_votes(policy.roles, votes, hybrid=policy.hybrid)
    signers = tuple(_signer(item, count) for item in judgements)
    if policy.allow_unsigned:
        return _waived(findings, signers)
    if not policy.roles:
        findings.append(Finding(UNTRUSTED, "policy", "no trusted key is named"))
    elif bundle.envelope is None:
        findings.append(Finding(UNTRUSTED, "bundle", "it is not signed"))
    elif not count.met:
        findings += [_unmet(tally, signers) for tally in count.tallies if not tally.met]
        findings += [signer.reason for signer in signers if signer.reason is not None]
    check = judged(SIGNATURES, findings, _facts(count, policy, votes))
    trusted = check.status is CheckStatus.PASSED
    return Signatures(check, signers, Authenticity.TRUSTED if trusted else Authenticity.UNTRUSTED)


def _judge_all(envelope: bytes | None, policy: Policy, now: datetime) -> tuple[Judgement, ...]:
    if envelope is None:
        return ()
    decoded = decode_envelope(envelope)
    message = pae(decoded.payload_type, decoded.payload)
    trusted = trusted_of(policy, now)
    return tuple(judge(index, item, message, trusted) for index, item in enumerate(decoded.signatures))


def _waived(findings: Sequence[Finding], signers: tuple[Signer, ...]) -> Signatures:
    if findings:
        return Signatures(judged(SIGNATURES, findings), signers, Authenticity.UNTRUSTED)
    waived = Finding(SIGNATURES_WAIVED, "policy", "unsigned packages are allowed: nobody vouches for it")
    check = not_run(SIGNATURES, "waived by the policy", findings=(waived,))
    return Signatures(check, signers, Authenticity.WAIVED)


def _votes(judgements: Sequence[Judgement]) -> tuple[list[Vote], tuple[Judgement, ...]]:
    """One vote for each key, good for the roles of all its signatures; a later signature of a key that has a
    vote is marked."""
    votes: dict[str, Vote] = {}
    marked = []
    for index, item in enumerate(judgements):
        if item.reason is None and item.algorithm is not None:
            earlier = votes.get(item.spki_sha256)
            roles = tuple(item.names)
            if earlier is not None:
                roles = tuple(dict.fromkeys((*earlier.roles, *roles)))
            votes[item.spki_sha256] = Vote(item.spki_sha256, item.algorithm.post_quantum, roles)
            if earlier is not None:
                place = f"{DOCUMENT}: signatures[{index}]"
                again = Finding(codes.VOTED_ALREADY, place, f"key {item.spki_sha256}")
                item = replace(item, reason=again)
        marked.append(item)
    return list(votes.values()), tuple(marked)


def _unmet(tally: Tally, signers: Sequence[Signer]) -> Finding:
    """The finding for a role that is not met."""
    bad = sum(signer.outcome == "bad" for signer in signers)
    cause = f"{tally}; the envelope has {len(signers)} signatures, {bad} of them bad"
    if tally.hybrid and tally.classical + tally.post_quantum:
        return Finding(codes.HYBRID_NOT_MET, f"role {tally.role}", cause)
    return Finding(UNTRUSTED, f"role {tally.role}", cause)


def _facts(count: Count, policy: Policy, votes: Sequence[Vote]) -> tuple[Fact, ...]:
    if len(policy.roles) == 1 and not policy.hybrid:
        return (("keys that signed", len(votes)), ("threshold", policy.threshold))
    return tuple((f"role {tally.role}", str(tally)) for tally in count.tallies)


def _signer(item: Judgement, count: Count) -> Signer:
    role = count.role_of.get(item.spki_sha256, "") if item.reason is None else ""
    return Signer(
        spki_sha256=item.spki_sha256,
        algorithm=str(item.algorithm or ""),
        key_hint=item.keyid,
        outcome=str(item.outcome),
        trusted=item.reason is None,
        role=role,
        name=item.names.get(role, next(iter(item.names.values()), "")),
        certificate=item.certificate,
        signing_time=item.timestamp.time if item.timestamp else None,
        timestamp_authority=item.timestamp.authority if item.timestamp else "",
        reason=item.reason,
        remarks=item.remarks,
    )
