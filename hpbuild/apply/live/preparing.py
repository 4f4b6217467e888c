"""What comes before the agent: the verifier's yes, and the order made from what it looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

from hpbuild.apply.live.journal import Journal
from hpbuild.apply.live.order import Order
from hpbuild.apply.live.orders import make_order, read_target
from hpbuild.apply.live.result import LiveRequest
from hpbuild.apply.live.status import read_journal
from hpbuild.bundle.reader import read_bundle
from hpbuild.codes.driver import LOADED_LATER
from hpbuild.errors import ExitStatus, Finding
from hpbuild.manifest.model import Manifest
from hpbuild.pe.processes import LoadedModule, Process
from hpbuild.verify.request import ModuleResult, Verification, VerifyRequest
from hpbuild.verify.running import find_loaded
from hpbuild.verify.states import ModuleState
from hpbuild.verify.verdict import exit_status
from hpbuild.verify.verifier import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A package before it is handed over. ``counterparts`` are loaded modules in step with the manifest's;
    ``order`` is None when there is nothing to do (``status`` YES: it is in effect already) or when the
    verifier said no: then ``status`` and ``findings`` are its."""

    verification: Verification
    counterparts: tuple[LoadedModule | None, ...]
    order: Order | None
    status: ExitStatus
    findings: tuple[Finding, ...] = ()


def verify_memory(request: LiveRequest) -> Verification:
    """The verifier's word on the package and on the memory of the process."""
    return verify(
        VerifyRequest(bundle=request.bundle, name=request.name, policy=request.policy, pid=request.pid)
    )


def prepare(request: LiveRequest, process: Process) -> Prepared:
    """Verify the package and the process's memory, and make the order.

    Raises HpbuildError: HP7362 and HP7363 for the files behind the
    modules, HP7331 for a journal that cannot be read, HP725x for the process."""
    verification = verify_memory(request)
    package = _package_status(verification)
    manifest = verification.manifest
    if package is not ExitStatus.YES or manifest is None:
        return _refused(verification, (), package)
    found = find_loaded(manifest.modules, process.modules)
    counterparts = tuple(item.loaded for item in found)
    if any(item.finding is not None for item in found):
        return _refused(verification, counterparts, verification.exit)
    states = _loaded_states(verification.modules, counterparts)
    if not states:
        return _refused(verification, counterparts, verification.exit)
    if all(state is ModuleState.APPLIED for state in states):
        return Prepared(
            verification=verification, counterparts=counterparts, order=None, status=ExitStatus.YES
        )
    if any(state is ModuleState.APPLIED for state in states):
        cause = f"of {len(states)} loaded modules {states.count(ModuleState.APPLIED)} have its new code"
        return Prepared(
            verification=verification,
            counterparts=counterparts,
            order=None,
            status=LOADED_LATER.exit,
            findings=(Finding(LOADED_LATER, manifest.id, cause),),
        )
    accepted = all(state is ModuleState.APPLICABLE for state in states)
    if not accepted and not _takes_over(read_journal(process), manifest):
        return _refused(verification, counterparts, verification.exit)
    return Prepared(
        verification=verification,
        counterparts=counterparts,
        order=_order(request, manifest, counterparts),
        status=ExitStatus.YES,
    )


def _order(request: LiveRequest, manifest: Manifest, counterparts: Sequence[LoadedModule | None]) -> Order:
    bundle = read_bundle(request.bundle, place=request.name)
    targets = [
        read_target(module, loaded, request.policy.lowest_tier)
        for module, loaded in zip(manifest.modules, counterparts, strict=True)
        if loaded is not None
    ]
    return make_order(manifest, bundle.members, bundle.sha256, targets)


def _package_status(verification: Verification) -> ExitStatus:
    """What the checks of the package alone say, whatever is loaded."""
    alone = [result for result in verification.checks if not result.module]
    status, _ = exit_status(alone, (), verification.authenticity, installed=False)
    return status


def _loaded_states(
    results: Sequence[ModuleResult], counterparts: Sequence[LoadedModule | None]
) -> list[ModuleState | None]:
    pairs = zip(results, counterparts, strict=True)
    return [result.state for result, loaded in pairs if loaded is not None]


def _takes_over(journal: Journal | None, manifest: Manifest) -> bool:
    """True when another package of the product is in effect: the agent itself compares its redirections, and
    refuses an older sequence."""
    product = manifest.product or manifest.id
    active = journal.packages if journal is not None else ()
    own = (manifest.id, manifest.sequence)
    return any(item.product == product and (item.id, item.sequence) != own for item in active)


def _refused(
    verification: Verification, counterparts: tuple[LoadedModule | None, ...], status: ExitStatus
) -> Prepared:
    found = [item for check in verification.checks for item in check.findings]
    return Prepared(
        verification=verification,
        counterparts=counterparts,
        order=None,
        status=status if status is not ExitStatus.YES else ExitStatus.NO,
        findings=(*found, *verification.findings),
    )
