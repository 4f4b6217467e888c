"""V18: who signed the installed file."""

from datetime import datetime
from typing import TYPE_CHECKING

from hpbuild.codes.pins import NO_SIGNED_FILE, OTHER_PUBLISHER, SIGNATURE_OF_OTHER_FILE
from hpbuild.errors import Finding, HpbuildError
from hpbuild.manifest.model import Module
from hpbuild.pe.authenticode import authenticode_digest
from hpbuild.pe.authenticode_signature import agree_with_lief, signature_of
from hpbuild.pe.image import Image
from hpbuild.values import moment_text
from hpbuild.verify.checks import PUBLISHER, CheckResult, Fact, judged, not_run
from hpbuild.verify.policy import Policy, PublisherRule
from hpbuild.verify.states import ModuleState, Tier

if TYPE_CHECKING:
    from hpbuild.verify.authenticode import FileSignature
    from hpbuild.verify.running import InProcess

SIGNED_TIERS = (Tier.EXACT, Tier.AUTHENTICODE)
"""Identities of a file that are about all bytes which a signature is about."""


def check_publisher(
    module: Module, image: Image, policy: Policy, now: datetime, state: ModuleState | None = None
) -> CheckResult:
    """V18. ``image.data`` are the bytes of the installed file, ``state`` how it stands to the package.

    The file's signature is sound, speaks of this file's SHA-256 Authenticode hash under the strict layout,
    and its signer's chain ends at an authority of the policy's publisher rule, for code signing, at the time
    of its RFC 3161 time stamp where one of the policy's authorities made it, else at ``now``. Older
    countersignatures (PKCS #9) are not believed. A file that has the package written into it cannot carry
    such a signature, and the original that it gives back says nothing of the bytes that are installed."""
    rule = policy.publisher
    if rule is None:
        return _no_rule(module)
    if state is ModuleState.APPLIED:
        reason = (
            "a file that a package was written into cannot carry its publisher's signature; revert --offline "
            "judges the original that it gives back"
        )
        return not_run(PUBLISHER, reason, module.path)
    try:
        facts = _judge(image, rule, policy, now, module.path)
    except HpbuildError as error:
        cause = f"{error.finding.place}: {error.finding.cause}".removeprefix(f"{module.path}: ")
        return judged(PUBLISHER, (Finding(error.code, module.path, cause),), (), module.path)
    return judged(PUBLISHER, (), facts, module.path)


def check_publisher_behind(module: Module, taken: "InProcess", policy: Policy, now: datetime) -> CheckResult:
    """V18 of a module in memory, which carries no signature: that of the file behind it.

    Judged only on a file that is the baseline at one of ``SIGNED_TIERS`` which the policy accepts, and that
    has the headers which are in memory; what memory holds besides is for V11 to V15. HP6218 otherwise."""
    if policy.publisher is None:
        return _no_rule(module)
    file, tier = taken.file, taken.where.file_tier
    if file is not None and tier in SIGNED_TIERS and tier.reaches(policy.lowest_tier):
        return check_publisher(module, file, policy, now)
    if taken.where.file is None:
        cause = f"the file of {taken.where.path} is not known here"
    elif taken.remarks:
        cause = taken.remarks[0].cause
    elif tier is None:
        cause = f"{taken.where.file} is the fixed build"
    else:
        wanted = policy.lowest_tier if policy.lowest_tier in SIGNED_TIERS else Tier.AUTHENTICODE
        cause = f"{taken.where.file} reaches the tier {tier}, {wanted} is asked for"
    return judged(PUBLISHER, (Finding(NO_SIGNED_FILE, module.path, cause),), (), module.path)


def _no_rule(module: Module) -> CheckResult:
    return not_run(PUBLISHER, "the policy has no rule about the publisher", module.path)


def _judge(image: Image, rule: PublisherRule, policy: Policy, now: datetime, place: str) -> tuple[Fact, ...]:
    from hpbuild.sign.chains import Purpose, build_chain  # for policies with a rule about publishers alone
    from hpbuild.verify.authenticode import read_signature
    from hpbuild.verify.subjects import subject_defect

    signature = read_signature(signature_of(image, place), place)
    own = authenticode_digest(image, cross_check=True)
    if own is None or own.raw != signature.digest:
        found = "no hash, for it is not laid out strictly" if own is None else f"the hash {own.hex}"
        cause = f"it speaks of {signature.digest.hex()}, the file has {found}"
        raise HpbuildError(SIGNATURE_OF_OTHER_FILE, place, cause)
    agree_with_lief(image, signature.digest, place)
    at, source = _time(signature, policy, now)
    chain = build_chain(
        signature.signer,
        signature.others,
        rule.authorities,
        at=at,
        purpose=Purpose.CODE_SIGNING,
        revocations=policy.revocations,
        now=now,
        accept_outdated=policy.outdated_lists,
    )
    if defect := subject_defect(rule.subject, chain.leaf):
        raise HpbuildError(OTHER_PUBLISHER, place, f"{chain.leaf.subject[:200]}: {defect}")
    stamp = moment_text(at)
    return (("signer", chain.leaf.subject[:200]), ("certificate", chain.leaf.sha256), (source, stamp))


def _time(signature: "FileSignature", policy: Policy, now: datetime) -> tuple[datetime, str]:
    """When the signature is judged to have been made, and what that rests on."""
    if signature.token and policy.timestamp_authorities:
        from hpbuild.sign.timestamps import check_timestamp

        try:
            stamp = check_timestamp(
                signature.token,
                signature.value,
                policy.timestamp_authorities,
                policy.revocations,
                now=now,
                accept_outdated=policy.outdated_lists,
            )
        except HpbuildError:
            return now, "judged at"  # a time that nobody vouches for does not count
        if stamp.time <= now:
            return stamp.time, "signed at"
    return now, "judged at"
