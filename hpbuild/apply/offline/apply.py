"""``apply --offline``: verify, make the patched copy of every module, check it, write all or none."""

from pathlib import Path

from hpbuild.apply.offline.copy import PatchedCopy, patched_copy
from hpbuild.apply.offline.installed import Verified, judged_findings, verified_modules
from hpbuild.apply.offline.output import all_or_none
from hpbuild.apply.offline.result import OfflineRequest, OfflineResult, WrittenModule
from hpbuild.apply.offline.revert import original_of
from hpbuild.codes import apply_offline as codes
from hpbuild.codes.servicing import REVERT_NOT_APPLIED
from hpbuild.dataclass import replace
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.values import Digest
from hpbuild.verify import Policy, VerifyRequest, verify
from hpbuild.verify.locate import subject_from
from hpbuild.verify.module import compare
from hpbuild.verify.states import ModuleState


def apply_offline(request: OfflineRequest) -> OfflineResult:
    """Write a patched copy of every module of the package that ``request.installed`` has.

    When the verifier does not say yes, the result tells why and nothing is written. Raises HpbuildError:
    HP8041 for a revert package, HP7202 when a module has the package already, HP7204 to HP7210, HP7215 to
    HP7217, HP48xx, and what the readers of images raise.
    """
    verification = verify(
        VerifyRequest(
            bundle=request.bundle,
            name=request.name,
            policy=request.policy,
            installed=request.installed,
            accepted=request.accepted,
        )
    )
    findings = list(judged_findings(verification))
    if verification.exit is not ExitStatus.YES:
        return OfflineResult(
            verification=verification, status=verification.exit, modules=(), findings=tuple(findings)
        )
    if verification.reverts is not None:
        cause = f"it takes {verification.reverts.id} back"
        raise HpbuildError(REVERT_NOT_APPLIED, verification.id, cause)
    written: list[WrittenModule] = []
    with all_or_none(request.output, tree=request.installed.is_dir()) as write:
        for verified in verified_modules(
            request.bundle, verification, request.policy, ModuleState.APPLICABLE, codes.ALREADY_APPLIED
        ):
            copy = patched_copy(verified.module, verified.image, verified.patch)
            check_copy(verified, copy, request.policy, verification.carried_sequence)
            findings += copy.findings
            written.append(_written(verified, copy, write(verified.module.path, copy.data)))
    return OfflineResult(
        verification=verification, status=ExitStatus.YES, modules=tuple(written), findings=tuple(findings)
    )


def check_copy(verified: Verified, copy: PatchedCopy, policy: Policy, sequence: int) -> None:
    """HP7210 unless the copy can be read, the verifier finds the package applied in it, and it can be taken
    back to the very file it was made from."""
    module = verified.module
    try:
        subject = subject_from(copy.data, verified.path, module.path)
        compared = compare(
            module, subject, verified.patch.image, lowest=policy.lowest_tier, sequence=sequence
        )
        state = compared.state
        same = original_of(subject.image, module, policy.limits.installed_size) == verified.image.data
    except HpbuildError as error:
        raise HpbuildError(codes.RESULT_WRONG, module.path, str(error)) from error
    if state is not ModuleState.APPLIED or not same:
        cause = f"its state would be {state}" if same else "its undo record gives another file back"
        raise HpbuildError(codes.RESULT_WRONG, module.path, cause)


def _written(verified: Verified, copy: PatchedCopy, output: Path) -> WrittenModule:
    before = verified.image.data
    return WrittenModule(
        path=verified.module.path,
        installed=verified.path,
        output=output,
        before=before.digest(),
        before_size=len(before),
        after=Digest.of(copy.data),
        after_size=len(copy.data),
        tier=str(verified.compared.tier or ""),
        copy=replace(copy, data=b""),
    )
