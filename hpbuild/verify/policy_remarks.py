"""What is legal in a policy and should be looked at: remarks for ``hpbuild policy check``."""

from collections.abc import Iterator
from datetime import datetime

from hpbuild.codes import policy as codes
from hpbuild.errors import Finding
from hpbuild.sign.certificates import Certificate
from hpbuild.verify.policy import Policy
from hpbuild.verify.states import Tier


def remarks(policy: Policy, unused: tuple[str, ...], now: datetime) -> tuple[Finding, ...]:
    """Warnings about ``policy`` at the time ``now``; ``unused`` are names that it defines and never uses."""
    return (
        *(
            Finding(codes.ONE_VOTE, f"role {role.name}", "its threshold is 1")
            for role in policy.roles
            if role.threshold == 1 and not policy.hybrid
        ),
        *(
            Finding(codes.MANY_OF_ONE, f"role {role.name}", f"its threshold is {role.threshold}")
            for role in policy.roles
            if role.identities and len(role.keys) + len(role.identities) < role.threshold
        ),
        *_rules(policy),
        *(Finding(codes.UNUSED, "policy", name) for name in unused),
        *_out_of_date(policy, now),
        *(
            Finding(
                codes.OVERRIDE_EXPIRED,
                f"override of {item.code} for {item.package}",
                item.expires.isoformat(),
            )
            for item in policy.overrides
            if now >= item.expires
        ),
    )


def _rules(policy: Policy) -> Iterator[Finding]:
    if policy.max_age is None and not policy.expiry_required:
        yield Finding(codes.NO_END, "policy", "neither max_age_days nor expiry = 'required'")
    if not policy.lowest_tier.reaches(Tier.AUTHENTICODE):
        yield Finding(codes.WEAK_TIER, "lowest_tier", policy.lowest_tier)
    if not policy.state_required:
        yield Finding(codes.NO_STATE, "state", "optional")


def _out_of_date(policy: Policy, now: datetime) -> Iterator[Finding]:
    authorities = {
        item.sha256: item
        for item in (
            *policy.timestamp_authorities,
            *(one for role in policy.roles for identity in role.identities for one in identity.authorities),
            *(policy.publisher.authorities if policy.publisher else ()),
        )
    }
    for item in authorities.values():
        if not item.not_before <= now <= item.not_after:
            yield Finding(codes.OUT_OF_DATE, f"authority {item.subject[:200]}", _span(item))
    if policy.outdated_lists:
        return
    for entry in policy.revocations:
        if entry.next_update is None or not entry.this_update <= now <= entry.next_update:
            until = entry.next_update.isoformat() if entry.next_update else "(no next update)"
            yield Finding(codes.OUT_OF_DATE, f"revocation list of {entry.issuer[:200]}", f"until {until}")


def _span(item: Certificate) -> str:
    return f"valid {item.not_before.isoformat()} to {item.not_after.isoformat()}"
