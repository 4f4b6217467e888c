"""The result of the ``policy`` commands: what a policy asks for, and what should be looked at in it."""

from collections.abc import Sequence
from pathlib import Path

from hpbuild.errors import Finding
from hpbuild.report.blocks import Block, Heading, Line, Pairs, Table, Tone
from hpbuild.report.document import Document, finding, finding_blocks, start
from hpbuild.sign.algorithms import algorithm_of
from hpbuild.verify.policy import Policy
from hpbuild.verify.roles import Role


def document(
    action: str, path: Path, sha256: str, policy: Policy | None, findings: Sequence[Finding]
) -> Document:
    """The document of ``action`` (init, add-key, check) on the file ``path``; ``policy`` None for a file that
    trusts nobody yet. All names are as the file gives them."""
    return {
        **start("policy-check"),
        "action": action,
        "path": str(path),
        "sha256": sha256,
        "usable": policy is not None,
        "roles": [] if policy is None else [_role(role) for role in policy.roles],
        "rules": {} if policy is None else dict(_rules(policy)),
        "findings": [finding(item) for item in findings],
    }


def _role(role: Role) -> Document:
    return {
        "name": role.name,
        "threshold": role.threshold,
        "keys": [
            {
                "name": key.name,
                "algorithm": str(algorithm_of(key.public) or ""),
                "spki_sha256": key.spki_sha256,
            }
            for key in role.keys
        ],
        "identities": [
            {"name": item.name, "authorities": [authority.subject for authority in item.authorities]}
            for item in role.identities
        ],
    }


def _rules(policy: Policy) -> list[tuple[str, str]]:
    """Every rule in words; a fact for people, never for a decision."""
    required = {True: "required", False: "optional"}
    return [
        ("products", ", ".join(policy.products) or "any"),
        ("algorithms", ", ".join(sorted(policy.algorithms))),
        ("hybrid", "yes" if policy.hybrid else "no"),
        ("lowest tier", policy.lowest_tier.value),
        (
            "time stamps",
            f"{required[policy.timestamps_required]}, {len(policy.timestamp_authorities)} authorities",
        ),
        ("expiry", required[policy.expiry_required]),
        ("maximum age", f"{policy.max_age.days} days" if policy.max_age else "none"),
        ("state", f"{required[policy.state_required]}, jump of {policy.max_sequence_jump} at most"),
        ("attachments", ", ".join(sorted(policy.required_attachments)) or "none required"),
        ("publisher of installed files", "checked" if policy.publisher else "not checked"),
        (
            "revoked",
            f"{len(policy.revoked_keys)} keys, {len(policy.revocations)} certificate lists, "
            f"{len(policy.revoked_bundles)} packages",
        ),
        ("overrides", str(len(policy.overrides))),
    ]


def blocks(entry: Document) -> list[Block]:
    """The roles, then the rules, then the remarks."""
    done = {"init": "written", "add-key": "key added", "check": "can be used"}
    head = f"{entry['path']}: {done[entry['action']]}"
    if not entry["usable"]:
        head += "; it trusts nobody yet: add a key with `hpbuild policy add-key`"
    parts: list[Block] = [Heading("policy"), Line(head, Tone.GOOD if entry["usable"] else Tone.WARN)]
    parts.append(Pairs((("sha256", entry["sha256"]), *entry["rules"].items())))
    rows = tuple(
        (
            role["name"],
            str(role["threshold"]),
            item["name"],
            item.get("algorithm", "certificate"),
            _identity(item),
        )
        for role in entry["roles"]
        for item in (*role["keys"], *role["identities"])
    )
    if rows:
        columns = ("role", "threshold", "key or identity", "algorithm", "key (SPKI SHA-256) or authorities")
        parts += [Heading("roles"), Table(columns, rows)]
    return parts + finding_blocks(entry["findings"])


def _identity(item: Document) -> str:
    return str(item["spki_sha256"]) if "spki_sha256" in item else "; ".join(item["authorities"])
