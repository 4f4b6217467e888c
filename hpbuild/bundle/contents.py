"""Do statement, manifest and members of one bundle say the same? Pure checks, each returns findings."""

from collections.abc import Mapping

from hpbuild.bundle.layout import UNSIGNED
from hpbuild.bundle.reader import Bundle
from hpbuild.bundle.statement import ModulePin, Statement
from hpbuild.codes import bundle as codes
from hpbuild.errors import Finding
from hpbuild.manifest.model import Manifest
from hpbuild.manifest.paths import IMAGES
from hpbuild.values import Digest


def subject_findings(members: Mapping[str, bytes], statement: Statement) -> tuple[Finding, ...]:
    """Every member is a subject with its digest, and every subject a member (HP4302, HP4303)."""
    findings: list[Finding] = []
    named = {subject.name: subject.sha256 for subject in statement.subjects}
    signed = members.keys() - UNSIGNED
    for name in sorted(signed | named.keys()):
        if name not in named:
            findings.append(Finding(codes.SUBJECT_MISSING, name, "the statement does not list this member"))
        elif name not in signed:
            findings.append(
                Finding(codes.SUBJECT_MISSING, name, "the statement lists it, the bundle has it not")
            )
        elif (found := Digest.of(members[name])) != named[name]:
            cause = f"SHA-256 {found.hex}, the statement says {named[name].hex}"
            findings.append(Finding(codes.SUBJECT_MISMATCH, name, cause))
    return tuple(findings)


def agreement_findings(statement: Statement, manifest: Manifest) -> tuple[Finding, ...]:
    """Statement and manifest agree about what both say (HP4304). The manifest of a revert package is that of
    the package which it takes back."""
    reverts = statement.reverts
    pins = tuple(ModulePin(module.path, module.baseline.sha256) for module in manifest.modules)
    own: tuple[tuple[str, object, object], ...] = (
        ("id", statement.id, manifest.id),
        ("sequence", statement.sequence, manifest.sequence),
    )
    if reverts is not None:
        own = (
            ("reverts.id", reverts.id, manifest.id),
            ("reverts.sequence", reverts.sequence, manifest.sequence),
        )
    pairs = (
        *own,
        ("product", statement.product, manifest.product),
        ("advisories", statement.advisories, manifest.advisories),
        ("tool", statement.tool, manifest.tool),
    )
    findings = [
        Finding(
            codes.STATEMENT_DISAGREES,
            f"statement.json: predicate.{name}",
            f"{left!r}, the manifest says {right!r}",
        )
        for name, left, right in pairs
        if left != right
    ]
    if statement.pins != pins:
        cause = "the pins are not those of the manifest's modules"
        findings.append(Finding(codes.STATEMENT_DISAGREES, "statement.json: predicate.pins", cause))
    return tuple(findings)


def image_findings(bundle: Bundle, manifest: Manifest) -> tuple[Finding, ...]:
    """The members under ``images/`` are the patch images that the manifest names (HP4305, HP4306)."""
    findings: list[Finding] = []
    present = {name for name in bundle.members if name.startswith(IMAGES)}
    named = {module.image.member for module in manifest.modules}
    findings += [
        Finding(codes.IMAGE_MISSING, name, "no module of the manifest uses this member")
        for name in sorted(present - named)
    ]
    for index, module in enumerate(manifest.modules):
        place = f"manifest.json: modules[{index}].image"
        content = bundle.members.get(module.image.member) if module.image.member in present else None
        if content is None:
            findings.append(Finding(codes.IMAGE_MISSING, place, f"the bundle has no {module.image.member}"))
        elif len(content) != module.image.size:
            cause = f"{module.image.member} has {len(content)} bytes, not {module.image.size}"
            findings.append(Finding(codes.IMAGE_MISMATCH, place, cause))
        elif (found := Digest.of(content)) != module.image.sha256:
            cause = f"{module.image.member} has SHA-256 {found.hex}, not {module.image.sha256.hex}"
            findings.append(Finding(codes.IMAGE_MISMATCH, place, cause))
    return tuple(findings)
