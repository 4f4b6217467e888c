"""``revert --offline``: the original file back out of a patched one and its undo record."""

from datetime import datetime

from hpbuild.apply.offline import undo
from hpbuild.apply.offline.installed import Verified, judged_findings, verified_modules
from hpbuild.apply.offline.output import all_or_none
from hpbuild.apply.offline.result import OfflineRequest, OfflineResult, WrittenModule
from hpbuild.apply.offline.sections import UNDO
from hpbuild.codes import apply_offline as codes
from hpbuild.codes.servicing import REVERT_NEEDED
from hpbuild.dataclass import replace
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.manifest.model import Module
from hpbuild.pe.image import Image
from hpbuild.values import Digest
from hpbuild.verify import Policy, VerifyRequest, verify
from hpbuild.verify.locate import subject_from
from hpbuild.verify.module import compare
from hpbuild.verify.publisher import check_publisher
from hpbuild.verify.states import ModuleState


def revert_offline(request: OfflineRequest) -> OfflineResult:
    """Write the original of every module of the package that ``request.installed`` has, byte for byte.

    When the verifier does not say yes, the result tells why and nothing is written. Raises HpbuildError:
    HP8042 for a package that takes nothing back where one is asked for, HP7203 when a module does not have
    the package, HP7204, HP7211 to HP7215, HP48xx.
    """
    policy = request.policy
    verification = verify(
        VerifyRequest(
            bundle=request.bundle,
            name=request.name,
            # The publisher signed the original: judged where that is at hand.
            policy=replace(policy, publisher=None),
            installed=request.installed,
            accepted=request.accepted,
        )
    )
    findings = judged_findings(verification)
    if verification.exit is not ExitStatus.YES:
        return OfflineResult(
            verification=verification, status=verification.exit, modules=(), findings=findings
        )
    if request.signed_revert and verification.reverts is None:
        raise HpbuildError(REVERT_NEEDED, verification.id, "it takes nothing back")
    written: list[WrittenModule] = []
    with all_or_none(request.output, tree=request.installed.is_dir()) as write:
        for verified in verified_modules(
            request.bundle, verification, policy, ModuleState.APPLIED, codes.NOT_APPLIED
        ):
            module = verified.module
            original = original_of(verified.image, module, policy.limits.installed_size)
            tier = _identity(verified, original, policy, verification.carried_sequence, verification.time)
            written.append(
                WrittenModule(
                    path=module.path,
                    installed=verified.path,
                    output=write(module.path, original),
                    before=verified.image.data.digest(),
                    before_size=len(verified.image.data),
                    after=Digest.of(original),
                    after_size=len(original),
                    tier=tier,
                    copy=None,
                )
            )
    return OfflineResult(
        verification=verification, status=ExitStatus.YES, modules=tuple(written), findings=findings
    )


def _identity(verified: Verified, original: bytes, policy: Policy, sequence: int, now: datetime) -> str:
    """The tier at which ``original`` is the module's baseline; HP7214 when the verifier would not say
    yes, HP62xx and HP53xx when it has not the publisher that the policy asks for."""
    module = verified.module
    try:
        subject = subject_from(original, verified.path, module.path)
    except HpbuildError as error:
        raise HpbuildError(codes.UNDO_RESULT_DIFFERS, module.path, str(error)) from error
    compared = compare(module, subject, verified.patch.image, lowest=policy.lowest_tier, sequence=sequence)
    if compared.state is not ModuleState.APPLICABLE:
        cause = f"SHA-256 {Digest.of(original).hex}: its state would be {compared.state}"
        raise HpbuildError(codes.UNDO_RESULT_DIFFERS, module.path, cause)
    for finding in check_publisher(module, subject.image, policy, now).findings:
        raise HpbuildError(finding.code, finding.place, finding.cause)
    return str(compared.tier or "")


def original_of(image: Image, module: Module, limit: int) -> bytes:
    """The file that ``image`` was made from, by its undo record; ``limit`` bounds its size in bytes. Raises
    HpbuildError HP7211 to HP7214. Whether it is the baseline is for the caller to find out."""
    records = [
        section
        for section in image.sections
        if section.name == UNDO and section.rva >= module.baseline.size_of_image
    ]
    if len(records) != 1:
        cause = f"{len(records)} sections are called {UNDO}"
        raise HpbuildError(codes.NO_UNDO_RECORD, module.path, cause)
    (section,) = records
    size = min(section.virtual_size, section.raw_size)
    content = image.data[section.raw_offset : section.raw_offset + size]
    # A patched file holds all of its original, some of it in the record.
    record = undo.decode(content, module.path, min(limit, len(image.data)))
    if record.patch_sha256 != module.image.sha256:
        cause = f"it is that of the patch image with SHA-256 {record.patch_sha256.hex}"
        raise HpbuildError(codes.UNDO_RESULT_DIFFERS, module.path, cause)
    return undo.restore(record, image.data, module.path)
