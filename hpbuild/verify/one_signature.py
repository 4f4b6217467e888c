"""One signature of the envelope under a policy: whose it is, when it was made, and why it has no vote.

A signature has a vote when a key that the policy names verifies it, or the key of its own certificate does
and the certificate is of an identity of the policy. What goes wrong with one signature never touches another.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hpbuild.codes import policy as codes
from hpbuild.dataclass import dataclass, field, replace
from hpbuild.errors import Finding, HpbuildError
from hpbuild.sign.algorithms import Algorithm, algorithm_of, spki_sha256, verify
from hpbuild.sign.dsse import DOCUMENT, Outcome, Signature
from hpbuild.sign.extension import Extension, decode_extension
from hpbuild.verify.identities import Chains, public_of, spki_of, vagueness
from hpbuild.verify.policy import Policy
from hpbuild.verify.roles import Identity, TrustedKey

if TYPE_CHECKING:
    from hpbuild.sign.certificates import Certificate
    from hpbuild.sign.timestamps import Timestamp

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far the clock of a time-stamp authority may be ahead of the verifier's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """The policy as the signatures need it: raw keys by SPKI SHA-256 with the names of their role, identities
    with theirs."""

    policy: Policy
    keys: Mapping[str, tuple[TrustedKey, str]]
    identities: Sequence[tuple[Identity, str]]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known about one signature. ``names`` are the roles that it could vote in, each with the
    policy's name of the key or identity; none when there is a ``reason`` why it has no vote."""

    keyid: str
    outcome: Outcome
    spki_sha256: str = ""
    algorithm: Algorithm | None = None
    certificate: str = ""
    timestamp: "Timestamp | None" = None
    names: Mapping[str, str] = field(default_factory=dict)
    reason: Finding | None = None
    remarks: tuple[Finding, ...] = ()


def trusted_of(policy: Policy, now: datetime) -> Trusted:
    """The keys and identities of ``policy`` with their roles."""
    return Trusted(
        policy=policy,
        keys={key.spki_sha256: (key, role.name) for role in policy.roles for key in role.keys},
        identities=[(identity, role.name) for role in policy.roles for identity in role.identities],
        now=now,
    )


def judge(index: int, signature: Signature, message: bytes, trusted: Trusted) -> Judgement:
    """Judge signature ``index`` over ``message``. Pure; never raises for what is in the signature."""
    place = f"{DOCUMENT}: signatures[{index}]"
    certificates, extension, defect = _extension(signature, place)
    found = _whose(signature, message, trusted, certificates)
    if certificates:
        found = replace(found, certificate=certificates[0].subject)
    if defect is not None:
        return replace(found, reason=defect)
    if found.outcome is not Outcome.VERIFIED:
        return replace(found, reason=_unverified(found, place))
    # A signature that only its own certificate verifies costs nothing more unless certificates may count.
    if found.spki_sha256 not in trusted.keys and not trusted.identities:
        return replace(found, reason=Finding(codes.UNKNOWN_KEY, place, f"key {found.spki_sha256}"))
    timestamp, remarks = _earliest(signature, extension, trusted, place)
    found = replace(found, timestamp=timestamp, remarks=remarks)
    reason = _excluded(found, trusted, place)
    if reason is None and certificates and spki_of(certificates[0]) != found.spki_sha256:
        cause = f"it is for key {spki_of(certificates[0]) or 'of an unknown kind'}"
        reason = Finding(codes.CERTIFICATE_OF_OTHER_KEY, place, cause)
    if reason is not None:
        return replace(found, reason=reason)
    return _with_roles(found, certificates, trusted, place)


def _extension(
    signature: Signature, place: str
) -> "tuple[tuple[Certificate, ...], Extension, Finding | None]":
    """Certificates and time stamps of a signature, none when the extension is bad, which is then said."""
    if not signature.extension:
        return (), Extension(), None
    from hpbuild.sign.certificates import load_certificate  # few packages have certificates

    try:
        extension = decode_extension(signature.extension, f"{place}.extension")
        certificates = tuple(
            load_certificate(der, f"{place}.extension.certificates[{number}]")
            for number, der in enumerate(extension.certificates)
        )
    except HpbuildError as error:
        return (), Extension(), error.finding
    return certificates, extension, None


def _whose(
    signature: Signature, message: bytes, trusted: Trusted, certificates: "Sequence[Certificate]"
) -> Judgement:
    """The key that verifies the signature: of the policy, else of the signature's own certificate."""
    named = trusted.keys.get(signature.keyid)
    keys = {item.spki_sha256: item.public for item, _ in ((named,) if named else ())}
    keys |= {identity: item.public for identity, (item, _) in trusted.keys.items()}
    own = public_of(certificates[0]) if certificates else None
    if own is not None:
        keys.setdefault(spki_sha256(own), own)
    for identity, key in keys.items():
        if verify(key, message, signature.sig):
            return Judgement(
                keyid=signature.keyid,
                outcome=Outcome.VERIFIED,
                spki_sha256=identity,
                algorithm=algorithm_of(key),
            )
    claimed = signature.keyid in keys or own is not None
    return Judgement(keyid=signature.keyid, outcome=Outcome.BAD if claimed else Outcome.UNKNOWN_KEY)


def _unverified(found: Judgement, place: str) -> Finding:
    if found.outcome is Outcome.BAD:
        return Finding(codes.BAD_SIGNATURE, place, "it is not by the key that it names")
    return Finding(codes.UNKNOWN_KEY, place, f"no trusted key verifies it; it names {found.keyid[:80]!r}")


def _earliest(
    signature: Signature, extension: Extension, trusted: Trusted, place: str
) -> "tuple[Timestamp | None, tuple[Finding, ...]]":
    """The earliest time stamp that the policy trusts, and what is wrong with the others."""
    policy, good, remarks = trusted.policy, [], []
    if not policy.timestamp_authorities:
        return None, ()
    from hpbuild.sign.timestamps import check_timestamp  # with ASN.1, for those who need it

    for number, token in enumerate(extension.timestamps):
        try:
            timestamp = check_timestamp(
                token,
                signature.sig,
                policy.timestamp_authorities,
                policy.revocations,
                now=trusted.now,
                accept_outdated=policy.outdated_lists,
            )
        except HpbuildError as error:
            where = f"{place}.extension.timestamps[{number}]"
            remarks.append(Finding(error.code, where, error.finding.cause))
            continue
        if timestamp.time > trusted.now + CLOCK_TOLERANCE:
            cause = f"it says {timestamp.time.isoformat()}, judged at {trusted.now.isoformat()}"
            remarks.append(Finding(codes.TIMESTAMP_IN_FUTURE, place, cause))
        else:
            good.append(timestamp)
    return min(good, key=lambda item: item.time, default=None), tuple(remarks)


def _excluded(found: Judgement, trusted: Trusted, place: str) -> Finding | None:
    """Why the key or the missing time stamp keeps a valid signature from counting; None when nothing does."""
    policy = trusted.policy
    if found.algorithm not in policy.algorithms:
        return Finding(codes.ALGORITHM_NOT_ALLOWED, place, f"{found.algorithm}")
    for revoked in policy.revoked_keys:
        if revoked.spki_sha256 != found.spki_sha256:
            continue
        time = found.timestamp.time if found.timestamp else None
        if revoked.since is None or time is None or time >= revoked.since:
            since = f" since {revoked.since.isoformat()}" if revoked.since else ""
            signed = (
                f"signed at {time.isoformat()}" if time else "no trusted time stamp says when it was made"
            )
            return Finding(codes.KEY_REVOKED, place, f"revoked{since}: {revoked.reason}; {signed}")
    if policy.timestamps_required and found.timestamp is None:
        if found.remarks:
            return found.remarks[0]
        return Finding(codes.TIMESTAMP_MISSING, place, f"key {found.spki_sha256}")
    return None


def _with_roles(
    found: Judgement, certificates: "Sequence[Certificate]", trusted: Trusted, place: str
) -> Judgement:
    """Roles of the raw key and of every identity that the certificate has; else why there is none."""
    names: dict[str, str] = {}
    if found.spki_sha256 in trusted.keys:
        key, role = trusted.keys[found.spki_sha256]
        names[role] = key.name
    failures: list[Finding] = []
    if certificates:
        at = found.timestamp.time if found.timestamp else trusted.now
        chains = Chains(certificates, trusted.policy, at, trusted.now, place)
        for identity, role in trusted.identities:
            failure = chains.failure(identity)
            if failure is None:
                names.setdefault(role, identity.name)
            else:
                failures.append(failure)
    if names:
        return replace(found, names=names)
    unknown = Finding(codes.UNKNOWN_KEY, place, f"key {found.spki_sha256}")
    return replace(found, reason=min(failures, key=vagueness, default=unknown))
