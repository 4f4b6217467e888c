"""V17: the attachments agree with the package, and those that the policy requires are there.

A VEX document is not missed in a package without advisories: it would have nothing to say. A package that
takes another one back has that one's manifest; attachments would speak of a package that is no longer in
effect, so none are demanded of it and none are allowed.
"""

from hpbuild.attachments.record import KINDS, VEX
from hpbuild.bundle.layout import ATTACHMENTS
from hpbuild.bundle.reader import Bundle
from hpbuild.bundle.statement import Statement
from hpbuild.codes.attachments import MISSING, OTHER_PACKAGE
from hpbuild.errors import Finding
from hpbuild.manifest.model import Manifest
from hpbuild.verify import checks
from hpbuild.verify.checks import CheckResult, Fact, judged, not_run
from hpbuild.verify.policy import Policy

SHOWN = 20
"""Attachments of unknown kinds that are named; the rest is counted."""


def check_attachments(
    bundle: Bundle, statement: Statement, manifest: Manifest, policy: Policy
) -> CheckResult:
    """V17: attachments of known kinds are well-formed and agree with the manifest (HP4501 to HP4506),
    required ones are there (HP4507). Others are named and never looked into."""
    present = [name for name in bundle.members if name.startswith(ATTACHMENTS)]
    known = [name for name in KINDS.values() if name in bundle.members]
    found: list[Finding] = []
    if statement.reverts is not None:
        cause = "it speaks of the package that this one takes back"
        found += [Finding(OTHER_PACKAGE, name, cause) for name in known]
    else:
        found += _missing(bundle, manifest, policy.required_attachments)
        if known:
            from hpbuild.attachments.agreement import findings
        for name in known:
            found += findings(name, bundle.members[name], manifest, bundle.manifest)
    if not present and not found and not policy.required_attachments:
        return not_run(checks.ATTACHMENTS, "the package has none, and the policy requires none")
    return judged(checks.ATTACHMENTS, found, _facts(bundle, present))


def _missing(bundle: Bundle, manifest: Manifest, required: frozenset[str]) -> list[Finding]:
    names = {kind: KINDS.get(kind, kind) for kind in sorted(required)}
    return [
        Finding(MISSING, name, f"the policy requires the {kind}")
        for kind, name in names.items()
        if name not in bundle.members and (name != VEX or manifest.advisories)
    ]


def _facts(bundle: Bundle, present: list[str]) -> tuple[Fact, ...]:
    known: list[Fact] = [
        (kind, len(bundle.members[name])) for kind, name in KINDS.items() if name in bundle.members
    ]
    others = [name for name in present if name not in KINDS.values()]
    if not others:
        return tuple(known)
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return (*known, ("not looked into", ", ".join(others[:SHOWN]) + more))
