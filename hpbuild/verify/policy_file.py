"""Policy files: TOML of the schema ``urn:hpbuild:schema:policy:1``. Everything is inline, so that one file
is the whole trust and has one digest."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from hpbuild.bundle.output import read_bounded
from hpbuild.codes import manifest as json_codes
from hpbuild.codes import policy as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest import schema
from hpbuild.manifest.readers import Node, root
from hpbuild.manifest.text_fields import parse_time
from hpbuild.sign.algorithms import Algorithm
from hpbuild.sign.certificates import Certificate
from hpbuild.verify.overrides import OVERRIDABLE
from hpbuild.verify.policy import (
    DEFAULT_SEQUENCE_JUMP,
    Limits,
    Override,
    Policy,
    PublisherRule,
    RevokedBundle,
    RevokedKey,
)
from hpbuild.verify.policy_nodes import (
    all_of,
    authority_of,
    fields_of,
    lists_of,
    named,
    picked,
    subject_of,
    text_of,
)
from hpbuild.verify.policy_roles import read_roles
from hpbuild.verify.policy_toml import toml_document
from hpbuild.verify.states import Tier

SCHEMA_ID = "urn:hpbuild:schema:policy:1"
MAX_POLICY = 8 << 20


def read_policy(path: Path) -> Policy:
    """The policy in a file; raises HP48xx and what ``parse_policy`` raises."""
    return parse_policy(read_bounded(path, MAX_POLICY), str(path))


def unused_names(data: bytes, place: str) -> tuple[str, ...]:
    """Keys, identities and authorities that a policy which ``parse_policy`` has read defines and never
    names."""
    fields = fields_of(root(toml_document(data, place), place))
    tables = {name: _names(fields.get(name)) for name in ("keys", "identities", "authorities")}
    used: dict[str, set[str]] = {name: set() for name in tables}
    for role in all_of(fields.get("roles"), fields_of):
        used["keys"].update(all_of(role.get("keys"), text_of))
        used["identities"].update(all_of(role.get("identities"), text_of))
    chained = [*all_of(fields.get("identities"), fields_of), fields_of(fields.get("publisher"))]
    for entry in chained:
        used["authorities"].update(all_of(entry.get("authorities"), text_of))
    return tuple(
        f"{table}: {name}" for table, names in tables.items() for name in names if name not in used[table]
    )


def _names(node: Node | None) -> tuple[str, ...]:
    return tuple(text_of(fields["name"]) for fields in all_of(node, fields_of))


def parse_policy(data: bytes, place: str) -> Policy:
    """The policy in the TOML text ``data``. Raises HP6101 to HP6109, HP6020 for a threshold that cannot be
    met, and HP500x, HP5303, HP5332 for keys, certificates and revocation lists that cannot be used."""
    document = toml_document(data, place)
    try:
        schema.validate(document, SCHEMA_ID, place)
        policy = _policy(root(document, place), hashlib.sha256(data).hexdigest())
    except HpbuildError as error:
        if error.code in json_codes.ROWS:
            raise HpbuildError(codes.NOT_A_POLICY, error.finding.place, error.finding.cause) from None
        raise
    if policy.timestamps_required and not policy.timestamp_authorities:
        raise HpbuildError(codes.AUTHORITIES_NEEDED, place, "timestamps = 'required'")
    return policy


def _policy(node: Node, sha256: str) -> Policy:
    """The values of a document that has met the schema; its readers only pick, and follow names."""
    fields = fields_of(node)
    authorities = named(fields.get("authorities"), authority_of)
    age = fields.get("max_age_days")
    algorithms = all_of(fields.get("algorithms"), lambda item: Algorithm(item.choice(list(Algorithm))))
    revoked = fields_of(fields.get("revoked"))
    allowed = frozenset(algorithms or Algorithm)
    hybrid = "hybrid" in fields and fields["hybrid"].flag()
    return Policy(
        name=text_of(fields.get("name")),
        roles=read_roles(fields, authorities, allowed, node.place, hybrid=hybrid),
        lowest_tier=Tier(text_of(fields.get("lowest_tier")) or Tier.AUTHENTICODE),
        hybrid=hybrid,
        algorithms=allowed,
        timestamp_authorities=tuple(named(fields.get("timestamp_authorities"), authority_of).values()),
        timestamps_required=text_of(fields.get("timestamps")) == "required",
        revocations=tuple(one for some in all_of(revoked.get("certificates"), lists_of) for one in some),
        outdated_lists=text_of(revoked.get("outdated_lists")) == "accept",
        revoked_keys=all_of(revoked.get("keys"), _revoked_key),
        revoked_bundles=all_of(revoked.get("bundles"), _revoked_bundle),
        products=all_of(fields.get("products"), text_of),
        max_age=None if age is None else timedelta(days=age.integer()),
        expiry_required=text_of(fields.get("expiry")) == "required",
        state_required=text_of(fields.get("state")) == "required",
        max_sequence_jump=(
            fields["max_sequence_jump"].integer() if "max_sequence_jump" in fields else DEFAULT_SEQUENCE_JUMP
        ),
        required_attachments=frozenset(all_of(fields.get("required_attachments"), text_of)),
        publisher=_publisher(fields.get("publisher"), authorities),
        overrides=all_of(fields.get("overrides"), _override),
        limits=Limits(**{key: item.integer() for key, item in fields_of(fields.get("limits")).items()}),
        sha256=sha256,
    )


def _publisher(node: Node | None, authorities: Mapping[str, Certificate]) -> PublisherRule | None:
    if node is None:
        return None
    fields = fields_of(node)
    return PublisherRule(
        authorities=picked(fields["authorities"], authorities), subject=subject_of(fields["subject"])
    )


def _revoked_key(node: Node) -> RevokedKey:
    fields = fields_of(node)
    since = fields.get("since")
    return RevokedKey(
        spki_sha256=fields["spki_sha256"].text(),
        since=None if since is None else parse_time(since, since.text()),
        reason=fields["reason"].text(),
    )


def _revoked_bundle(node: Node) -> RevokedBundle:
    fields = fields_of(node)
    return RevokedBundle(
        package=fields.get("id", fields.get("statement", node)).text(), reason=fields["reason"].text()
    )


def _override(node: Node) -> Override:
    fields = fields_of(node)
    code = fields["code"].text()
    if code not in {item.id for item in OVERRIDABLE}:
        cause = f"{code}; these can be: {', '.join(sorted(item.id for item in OVERRIDABLE))}"
        raise HpbuildError(codes.NOT_OVERRIDABLE, fields["code"].place, cause)
    return Override(
        code=code,
        package=fields["package"].text(),
        reason=fields["reason"].text(),
        by=fields["by"].text(),
        expires=parse_time(fields["expires"], fields["expires"].text()),
    )
