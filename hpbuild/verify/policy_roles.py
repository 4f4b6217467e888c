"""The roles of a policy file, with their keys and identities."""

from collections.abc import Mapping

from hpbuild.codes import policy as codes
from hpbuild.codes.verify import POLICY_THRESHOLD
from hpbuild.errors import HpbuildError
from hpbuild.manifest.readers import Node
from hpbuild.sign.algorithms import Algorithm, PublicKey, algorithm_of
from hpbuild.sign.certificates import Certificate
from hpbuild.verify.policy_nodes import fields_of, key_of, named, picked, subject_of, text_of
from hpbuild.verify.roles import Identity, Role, TrustedKey


def read_roles(
    fields: Mapping[str, Node],
    authorities: Mapping[str, Certificate],
    allowed: frozenset[Algorithm],
    place: str,
    *,
    hybrid: bool,
) -> tuple[Role, ...]:
    """The roles of the document with ``fields``. Raises HP6103 to HP6107 and HP6020."""
    keys = _keys(fields.get("keys"))
    identities = named(fields.get("identities"), lambda node: _identity(node, authorities))
    if both := keys.keys() & identities.keys():
        raise HpbuildError(codes.DUPLICATE_NAME, place, f"{min(both)} is a key and an identity")
    roles = named(fields.get("roles"), lambda node: _role(node, keys, identities))
    if not roles:
        raise HpbuildError(codes.TRUSTS_NOBODY, place, "there is no [[roles]]")
    owner: dict[str, str] = {}
    for role in roles.values():
        for key in role.keys:
            if owner.setdefault(key.name, role.name) != role.name:
                cause = f"the key {key.name} is in the roles {owner[key.name]} and {role.name}"
                raise HpbuildError(codes.KEY_TWICE, place, cause)
        _check_possible(role, allowed, place, hybrid=hybrid)
    return tuple(roles.values())


def _keys(node: Node | None) -> dict[str, TrustedKey]:
    publics: dict[str, PublicKey] = named(node, key_of)
    keys = {name: TrustedKey(name=name, public=public) for name, public in publics.items()}
    seen: dict[str, str] = {}
    for key in keys.values():
        if (other := seen.setdefault(key.spki_sha256, key.name)) != key.name:
            place = node.place if node is not None else ""
            raise HpbuildError(codes.KEY_TWICE, place, f"{other} and {key.name} are the same key")
    return keys


def _identity(node: Node, authorities: Mapping[str, Certificate]) -> Identity:
    fields = fields_of(node)
    return Identity(
        name=text_of(fields["name"]),
        authorities=picked(fields["authorities"], authorities),
        subject=subject_of(fields["subject"]),
    )


def _role(node: Node, keys: Mapping[str, TrustedKey], identities: Mapping[str, Identity]) -> Role:
    fields = fields_of(node)
    try:
        return Role(
            name=text_of(fields["name"]),
            threshold=fields["threshold"].integer() if "threshold" in fields else 1,
            keys=picked(fields.get("keys"), keys),
            identities=picked(fields.get("identities"), identities),
        )
    except HpbuildError as error:
        if error.code is POLICY_THRESHOLD:
            raise node.error(POLICY_THRESHOLD, error.finding.cause) from None
        raise


def _check_possible(role: Role, allowed: frozenset[Algorithm], place: str, *, hybrid: bool) -> None:
    """A role that no signatures could ever meet is a mistake (HP6020, HP6107). Of an identity nobody knows
    what keys its holders have."""
    if role.identities:
        return
    kinds = [algorithm_of(key.public) for key in role.keys]
    late = sum(kind is not None and kind.post_quantum for kind in kinds if kind in allowed)
    classical = sum(kind in allowed for kind in kinds) - late
    if hybrid and min(classical, late) < role.threshold:
        have = f"{classical} classical and {late} post-quantum keys"
        cause = f"{role.name}: {have} for a threshold of {role.threshold}"
        raise HpbuildError(codes.HYBRID_IMPOSSIBLE, place, cause)
    if classical + late < role.threshold:
        cause = (
            f"{role.name}: {classical + late} keys of allowed algorithms, the threshold is {role.threshold}"
        )
        raise HpbuildError(POLICY_THRESHOLD, place, cause)
