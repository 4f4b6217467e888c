"""The verified files of a run, read again and found unchanged."""

from collections.abc import Iterator
from pathlib import Path

from hpbuild.bundle.reader import Bundle, read_bundle
from hpbuild.codes import apply_offline as codes
from hpbuild.codes.verify import MODULE_NOT_FOUND
from hpbuild.dataclass import dataclass
from hpbuild.errors import Code, ExitStatus, Finding, HpbuildError
from hpbuild.manifest.model import Module
from hpbuild.patchimage.read import PatchImage, read_patch_image
from hpbuild.pe.image import Image
from hpbuild.verify import Policy, Verification
from hpbuild.verify.locate import read_installed, subject_from
from hpbuild.verify.module import Compared, compare
from hpbuild.verify.states import ModuleState


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A module of a package that the verifier said yes to, its patch image, and the installed file."""

    module: Module
    patch: PatchImage
    path: Path
    image: Image
    compared: Compared


def judged_findings(verification: Verification) -> tuple[Finding, ...]:
    """All findings of a verification, NOT_VERIFIED first when it is not a yes."""
    of_checks = tuple(finding for check in verification.checks for finding in check.findings)
    found = of_checks + verification.findings
    if verification.exit is ExitStatus.YES:
        return found
    cause = f"the verdict is {verification.verdict.value}"
    return (Finding(codes.NOT_VERIFIED, verification.name, cause), *found)


def verified_modules(
    bundle: bytes, verification: Verification, policy: Policy, wanted: ModuleState, otherwise: Code
) -> Iterator[Verified]:
    """The modules of a successful ``verification`` of ``bundle``, one in memory at a time. All of them must
    be in the state ``wanted``, else HpbuildError ``otherwise`` before the first is read. HP7204 for a file
    that is not any more what was verified."""
    for result in verification.modules:
        if result.state is not wanted:
            raise HpbuildError(otherwise, result.path, f"its state is {result.state}")
    opened = read_bundle(bundle)
    modules = {} if verification.manifest is None else {m.path: m for m in verification.manifest.modules}
    for result in verification.modules:
        module = modules[result.path]
        if result.installed is None:
            raise HpbuildError(MODULE_NOT_FOUND, module.path, "it was compared with no file")
        verified = _read(opened, module, result.installed, policy, verification.carried_sequence, wanted)
        found = verified.image.data.digest().hex
        if result.sha256 and found != result.sha256:
            cause = f"SHA-256 {result.sha256} when it was verified, {found} now"
            raise HpbuildError(codes.FILE_CHANGED, str(result.installed), cause)
        yield verified


def _read(
    bundle: Bundle, module: Module, path: Path, policy: Policy, sequence: int, wanted: ModuleState
) -> Verified:
    patch = read_patch_image(
        bundle.members[module.image.member], module.image.member, module.baseline.size_of_image
    )
    data = read_installed(path, module.path, policy.limits.installed_size)
    subject = subject_from(data, path, module.path)
    compared = compare(module, subject, patch.image, lowest=policy.lowest_tier, sequence=sequence)
    if compared.state is not wanted:
        cause = f"it was {wanted} when it was verified and is {compared.state} now"
        raise HpbuildError(codes.FILE_CHANGED, str(path), cause)
    return Verified(module=module, patch=patch, path=path, image=subject.image, compared=compared)
