"""What comes before the agent: the verifier's yes, and the order made from what it looked at."""

from collections.abc import Sequence

from hpbuild.apply.live.journal import Journal
from hpbuild.apply.live.order import Order
from hpbuild.apply.live.orders import make_order, read_target
from hpbuild.apply.live.result import LiveRequest
from hpbuild.apply.live.status import read_journal
from hpbuild.bundle.reader import read_bundle
from hpbuild.codes.driver import LOADED_LATER
from hpbuild.codes.servicing import REVERT_NEEDED, REVERT_NOT_APPLIED
from hpbuild.codes.verify import CHECK_NOT_RUN
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import ExitStatus, Finding, HpbuildError
from hpbuild.manifest.model import Manifest
from hpbuild.pe.processes import LoadedModule, Process
from hpbuild.verify import checks
from hpbuild.verify.request import ModuleResult, Verification, VerifyRequest
from hpbuild.verify.running import find_loaded
from hpbuild.verify.states import ModuleState
from hpbuild.verify.verdict import exit_status, required
from hpbuild.verify.verifier import verify

AGENTS_OWN = frozenset({checks.PIN, checks.FUNCTIONS, checks.REFERENCES, checks.WINDOWS, checks.STATE})
"""Checks of memory that the agent makes itself, against the order and its journal. They are excused where the
code of another package of the product is in effect, which this one replaces, and before old bytes are put
back. No other check of a loaded module is ever left out."""


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
    return verify(_question(request))


def _question(request: LiveRequest) -> VerifyRequest:
    return VerifyRequest(
        bundle=request.bundle,
        name=request.name,
        policy=request.policy,
        pid=request.pid,
        accepted=request.accepted,
    )


def may_revert(request: LiveRequest, verification: Verification, process: Process) -> Prepared | None:
    """None when ``request`` asks for no signed revert package, or ``verification`` says yes to one and to
    what the policy asks of the loaded modules besides their bytes; else the refusal."""
    if not request.signed_revert:
        return None
    status = package_status(request, verification)
    if status is not ExitStatus.YES:
        return _refused(verification, (), status)
    if verification.reverts is None or verification.manifest is None:
        finding = Finding(REVERT_NEEDED, verification.id, "it takes nothing back")
        return replace(_refused(verification, (), REVERT_NEEDED.exit), findings=(finding,))
    found = find_loaded(verification.manifest.modules, process.modules)
    counterparts = tuple(item.loaded for item in found)
    if any(item.finding is not None for item in found):
        return _refused(verification, counterparts, verification.exit)
    return _unless_passed(request, verification, counterparts, AGENTS_OWN)


def prepare(request: LiveRequest, process: Process) -> Prepared:
    """Verify the package and the process's memory, and make the order.

    Raises HpbuildError: HP8041 for a revert package, HP7362 and HP7363 for the files behind the
    modules, HP7331 for a journal that cannot be read, HP725x for the process."""
    verification = verify_memory(request)
    package = package_status(request, verification)
    manifest = verification.manifest
    if package is not ExitStatus.YES or manifest is None:
        return _refused(verification, (), package)
    if verification.reverts is not None:
        cause = f"it takes {verification.reverts.id} back"
        raise HpbuildError(REVERT_NOT_APPLIED, verification.id, cause)
    found = find_loaded(manifest.modules, process.modules)
    counterparts = tuple(item.loaded for item in found)
    if any(item.finding is not None for item in found):
        return _refused(verification, counterparts, verification.exit)
    states = _loaded_states(verification.modules, counterparts)
    if not states:
        return _refused(verification, counterparts, verification.exit)
    if 0 < states.count(ModuleState.APPLIED) < len(states):
        cause = f"of {len(states)} loaded modules {states.count(ModuleState.APPLIED)} have its new code"
        return Prepared(
            verification=verification,
            counterparts=counterparts,
            order=None,
            status=LOADED_LATER.exit,
            findings=(Finding(LOADED_LATER, manifest.id, cause),),
        )
    known = set(states) in ({ModuleState.APPLIED}, {ModuleState.APPLICABLE})
    if not known and not _takes_over(read_journal(process), manifest):
        return _refused(verification, counterparts, verification.exit)
    refused = _unless_passed(request, verification, counterparts, frozenset() if known else AGENTS_OWN)
    if refused is not None:
        return refused
    applied = states[0] is ModuleState.APPLIED
    return Prepared(
        verification=verification,
        counterparts=counterparts,
        order=None if applied else _order(request, manifest, counterparts),
        status=ExitStatus.YES,
    )


def unpassed(
    verification: Verification,
    counterparts: Sequence[LoadedModule | None],
    asked: frozenset[checks.Check],
    excused: frozenset[checks.Check] = frozenset(),
) -> tuple[Finding, ...]:
    """What stands in the way of every check of every loaded module having passed; () when nothing does.

    ``counterparts`` are in step with the verification's modules, ``asked`` the optional checks that are asked
    for, ``excused`` those that do not matter here. HP6002 for a check that was not made."""
    wanted = [check for check in required(checks.MODULE_CHECKS, asked) if check not in excused]
    made = {(result.module, result.check): result for result in verification.checks}
    missing: list[Finding] = []
    for module, loaded in zip(verification.modules, counterparts, strict=True):
        for check in wanted if loaded is not None else ():
            result = made.get((module.path, check))
            if result is None or not (result.passed or result.findings):
                reason = result.reason if result is not None else "it has no result"
                missing.append(
                    Finding(CHECK_NOT_RUN, module.path, f"{check.number} ({check.name}): {reason}")
                )
            elif not result.passed:
                missing += result.findings
    return tuple(missing)


def _unless_passed(
    request: LiveRequest,
    verification: Verification,
    counterparts: tuple[LoadedModule | None, ...],
    excused: frozenset[checks.Check],
) -> Prepared | None:
    """The refusal for what is ``unpassed``, None for nothing."""
    missing = unpassed(verification, counterparts, _question(request).asked, excused)
    if not missing:
        return None
    refusal = _refused(verification, counterparts, verification.exit)
    more = tuple(finding for finding in missing if finding not in refusal.findings)
    return replace(refusal, findings=(*refusal.findings, *more))


def _order(request: LiveRequest, manifest: Manifest, counterparts: Sequence[LoadedModule | None]) -> Order:
    bundle = read_bundle(request.bundle, place=request.name)
    targets = [
        read_target(module, loaded, request.policy.lowest_tier)
        for module, loaded in zip(manifest.modules, counterparts, strict=True)
        if loaded is not None
    ]
    return make_order(manifest, bundle.members, bundle.sha256, targets)


def package_status(request: LiveRequest, verification: Verification) -> ExitStatus:
    """What the checks of the package alone say, whatever is loaded."""
    alone = [result for result in verification.checks if not result.module]
    asked = _question(request).asked
    return exit_status(alone, (), verification.authenticity, installed=False, asked=asked)[0]


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
