"""``apply --pid`` and ``revert --pid``: verify, let the agent work, verify again."""

import time
from collections.abc import Callable, Sequence

from hpbuild.apply.live.driver import EVERY_PACKAGE, Session, open_session
from hpbuild.apply.live.journal import Journal
from hpbuild.apply.live.preparing import Prepared, may_revert, prepare, verify_memory
from hpbuild.apply.live.protocol import Reply
from hpbuild.apply.live.result import LiveModule, LiveRequest, LiveResult, LiveVerdict
from hpbuild.apply.live.status import active_package, read_journal
from hpbuild.codes.driver import COURIER_FAILED, COURIER_SILENT, MEMORY_DISAGREES, NOT_IN_EFFECT
from hpbuild.codes.live import BAD_REPLY, PROCESS_GONE, TIMEOUT
from hpbuild.errors import ExitStatus, Finding, HpbuildError, Severity
from hpbuild.pe.processes import LoadedModule, Process, open_process
from hpbuild.verify.request import ModuleResult, Verification
from hpbuild.verify.running import find_loaded
from hpbuild.verify.states import ModuleState
from hpbuild.verify.verdict import worst

UNANSWERED = frozenset({COURIER_FAILED, COURIER_SILENT, BAD_REPLY, TIMEOUT, PROCESS_GONE})
"""Refusals after which nothing is known but what the journal tells."""
VERDICTS = {
    "applied": LiveVerdict.APPLIED,
    "replaced": LiveVerdict.REPLACED,
    "already-applied": LiveVerdict.ALREADY_APPLIED,
    "reverted": LiveVerdict.REVERTED,
}

SessionMaker = Callable[[Process], Session]


def apply_live(request: LiveRequest, connect: SessionMaker = open_session) -> LiveResult:
    """Put the package into the process: all of its modules that are loaded, or none.

    Raises HpbuildError before anything was tried: HP725x for the process, HP7350 to HP7364 (codes.driver).
    What the verifier or the agent refuses is in the result."""
    with open_process(request.pid) as process:
        prepared = prepare(request, process)
        if prepared.order is None:
            settled = prepared.status is ExitStatus.YES
            verdict = LiveVerdict.ALREADY_APPLIED if settled else LiveVerdict.REFUSED
            return _result(request, process, prepared, verdict, prepared.findings)
        started = time.monotonic()
        try:
            with connect(process) as session:
                reply = session.apply(prepared.order)
        except HpbuildError as error:
            return _failed(request, process, prepared, error, time.monotonic() - started)
        seconds = time.monotonic() - started
    after, wrong = confirm(request, prepared.counterparts, ModuleState.APPLIED)
    return _result(request, process, prepared, VERDICTS[reply.result], wrong, reply, after, seconds)


def revert_live(request: LiveRequest, connect: SessionMaker = open_session) -> LiveResult:
    """Take the package out of the process again: the one that is given, or the one that a given revert
    package takes back. The old bytes come from the process's own journal, and the package says only which one
    is meant; a signature is asked for when ``request.signed_revert`` says so.

    Raises HpbuildError as ``apply_live``, and HP7366 when the package is not in effect."""
    with open_process(request.pid) as process:
        verification = verify_memory(request)
        if (refused := may_revert(request, verification, process)) is not None:
            return _result(request, process, refused, LiveVerdict.REFUSED, refused.findings)
        manifest = verification.manifest
        counterparts: tuple[LoadedModule | None, ...] = ()
        if manifest is None or active_package(read_journal(process), manifest.id) is None:
            place = verification.id or request.name
            raise HpbuildError(NOT_IN_EFFECT, place, f"the agent in process {request.pid} does not have it")
        counterparts = tuple(item.loaded for item in find_loaded(manifest.modules, process.modules))
        prepared = Prepared(
            verification=verification, counterparts=counterparts, order=None, status=ExitStatus.YES
        )
        started = time.monotonic()
        try:
            with connect(process) as session:
                reply = session.revert(manifest.id)
        except HpbuildError as error:
            return _failed(request, process, prepared, error, time.monotonic() - started)
        seconds = time.monotonic() - started
    after, wrong = confirm(request, counterparts, ModuleState.APPLICABLE)
    return _result(request, process, prepared, LiveVerdict.REVERTED, wrong, reply, after, seconds)


def revert_every(pid: int, connect: SessionMaker = open_session) -> tuple[Journal, Reply]:
    """Take every package out of a process; what was in effect before, and the answer.

    Raises HpbuildError: HP7366 when none is in effect, else as ``Session.revert``."""
    with open_process(pid) as process:
        journal = read_journal(process)
        if journal is None or not journal.packages:
            raise HpbuildError(NOT_IN_EFFECT, f"process {pid}", "no package is in effect there")
        with connect(process) as session:
            return journal, session.revert(EVERY_PACKAGE)


def confirm(
    request: LiveRequest, counterparts: Sequence[LoadedModule | None], wanted: ModuleState
) -> tuple[Verification, tuple[Finding, ...]]:
    """Verify the memory once more; HP7365 for every loaded module that is not ``wanted``."""
    after = verify_memory(request)
    wrong = [
        Finding(MEMORY_DISAGREES, result.path, f"its state is {result.state or 'not known'}, not {wanted}")
        for result, loaded in zip(after.modules, counterparts, strict=True)
        if loaded is not None and result.state is not wanted
    ]
    return after, tuple(wrong)


def _failed(
    request: LiveRequest, process: Process, prepared: Prepared, error: HpbuildError, seconds: float
) -> LiveResult:
    verdict = LiveVerdict.UNCERTAIN if error.code in UNANSWERED else LiveVerdict.REFUSED
    return _result(request, process, prepared, verdict, (error.finding,), seconds=seconds)


def _result(
    request: LiveRequest,
    process: Process,
    prepared: Prepared,
    verdict: LiveVerdict,
    findings: tuple[Finding, ...],
    reply: Reply | None = None,
    after: Verification | None = None,
    seconds: float = 0.0,
) -> LiveResult:
    before = prepared.verification
    refusing = [item.code.exit for item in findings if item.code.severity is Severity.REFUSE]
    disagrees = any(item.code is MEMORY_DISAGREES for item in findings)
    return LiveResult(
        verdict=LiveVerdict.UNCERTAIN if disagrees else verdict,
        status=worst([prepared.status, *refusing]),
        pid=request.pid,
        windows_pid=process.windows_pid,
        id=before.id,
        product=before.product,
        sequence=before.sequence,
        before=before,
        modules=_modules(prepared, after, reply),
        reply=reply,
        seconds=seconds,
        findings=findings,
    )


def _modules(prepared: Prepared, after: Verification | None, reply: Reply | None) -> tuple[LiveModule, ...]:
    results = prepared.verification.modules
    loaded = prepared.counterparts or (None,) * len(results)
    later = after.modules if after is not None else results
    return tuple(
        _module(before, counterpart, last, reply)
        for before, counterpart, last in zip(results, loaded, later, strict=True)
    )


def _module(
    before: ModuleResult, loaded: LoadedModule | None, after: ModuleResult, reply: Reply | None
) -> LiveModule:
    answers = reply.modules if reply is not None else ()
    place = next((item for item in answers if loaded is not None and item.base == loaded.base), None)
    return LiveModule(
        path=before.path,
        loaded=loaded,
        before=before.state or "",
        after=after.state or "",
        block=place.block if place else 0,
        delta=place.delta if place else 0,
        redirections=place.redirections if place else 0,
    )
