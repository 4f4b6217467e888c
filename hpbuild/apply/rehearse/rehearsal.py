"""The rehearsal, readable as the list of its steps.

The program starts; as soon as the package's modules are loaded it is verified and applied, and then
reverted and applied again, round by round, while the program runs. At the end the package is in effect; the
program goes on until it ends by itself, or is ended when only its end could show more.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from hpbuild.apply.live.driver import Session, open_session
from hpbuild.apply.live.order import Order
from hpbuild.apply.live.patching import confirm
from hpbuild.apply.live.preparing import Prepared, prepare
from hpbuild.apply.live.protocol import Reply, Times
from hpbuild.apply.live.result import LiveRequest
from hpbuild.apply.rehearse.judging import compiled, contains, described, judge
from hpbuild.apply.rehearse.model import (
    NO_TIMES,
    Action,
    End,
    Ending,
    Expectation,
    Rehearsal,
    Schedule,
    Step,
)
from hpbuild.apply.rehearse.program import Program
from hpbuild.codes import rehearse as codes
from hpbuild.dataclass import dataclass, field, replace
from hpbuild.errors import ExitStatus, Finding, HpbuildError
from hpbuild.manifest.model import Module
from hpbuild.pe.processes import Process, open_process
from hpbuild.verify.policy import Policy
from hpbuild.verify.request import Verification, VerifyRequest
from hpbuild.verify.running import find_loaded
from hpbuild.verify.states import ModuleState
from hpbuild.verify.verifier import verify

PAUSE = 0.05
GRACE = 1.0
"""Seconds in which a program that no longer answers turns out to have ended."""
SETTLED = 1.0
"""Seconds without a new module after which no further one is waited for."""

Progress = Callable[[str, str, int, int], None]
Connect = Callable[[Process], Session]


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalRequest:
    """``bundle`` is the whole package, ``name`` what to call it in messages; ``folder`` is for the program's
    output, None for a new temporary one."""

    bundle: bytes
    name: str
    policy: Policy
    command: tuple[str, ...]
    schedule: Schedule
    expectation: Expectation
    folder: Path | None = None


@dataclass(slots=True)
class _Course:
    """What has happened so far."""

    pid: int | None = None
    ready: float | None = None
    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    modules: tuple[tuple[str, str], ...] = ()
    waits: Times = NO_TIMES
    looks: Times = NO_TIMES


def rehearse(request: RehearsalRequest, progress: Progress, connect: Connect = open_session) -> Rehearsal:
    """Rehearse a package that the policy accepts. What went wrong is in the result's findings.

    Raises HpbuildError before the program runs: HP7400 and HP7350 when it cannot be started, HP7407 for the
    pattern, HP7408 when the run without the package gave nothing to compare with, HP7409 for the folder."""
    if request.expectation.pattern is not None:
        compiled(request.expectation.pattern)
    verification = verify(VerifyRequest(bundle=request.bundle, name=request.name, policy=request.policy))
    if verification.exit is not ExitStatus.YES or verification.manifest is None:
        return _not_accepted(request, verification)
    folder = _output_folder(request.folder)
    reference = _reference(request, folder, progress) if request.expectation.same_output else None
    output, errors = folder / "output.txt", folder / "errors.txt"
    course = _Course()
    with _started(request.command, output, errors) as program:
        progress("rehearse", "waiting for the modules", 0, 0)
        try:
            _run_rounds(request, verification.manifest.modules, program, course, progress, connect)
        except HpbuildError as error:
            course.findings.append(_explained(error, program, request))
        progress("rehearse", "waiting for the end", 0, 0)
        ending = _ending(request, program, output, failed=bool(course.findings))
    if not course.findings or ending.end is End.BY_ITSELF:
        said = None if reference is None else reference.read_bytes()
        found = judge(request.expectation, ending, output.read_bytes(), said, request.command[0])
        course.findings += found
    return Rehearsal(
        command=request.command,
        rounds=request.schedule.rounds,
        verification=verification,
        pid=course.pid,
        ready=course.ready,
        steps=tuple(course.steps),
        ending=ending,
        output=output,
        errors=errors,
        reference=reference,
        modules=course.modules,
        waits=course.waits,
        looks=course.looks,
        findings=tuple(course.findings),
    )


def _not_accepted(request: RehearsalRequest, verification: Verification) -> Rehearsal:
    """The verifier said no, so the program was not started."""
    found = [item for check in verification.checks for item in check.findings]
    return Rehearsal(
        command=request.command,
        rounds=request.schedule.rounds,
        verification=verification,
        findings=(*found, *verification.findings),
    )


class _started(AbstractContextManager[Program]):  # noqa: N801 - used like a function
    """A program that is ended whatever happens."""

    def __init__(self, command: Sequence[str], output: Path, errors: Path) -> None:
        self._program = Program(command, output, errors)

    def __enter__(self) -> Program:
        return self._program

    def __exit__(self, *_: object) -> None:
        self._program.end()


def _output_folder(folder: Path | None) -> Path:
    try:
        if folder is None:
            return Path(tempfile.mkdtemp(prefix="hpbuild-rehearsal-"))
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HpbuildError(codes.NO_OUTPUT_FOLDER, str(folder), error.strerror or "unusable") from error
    return folder


def _reference(request: RehearsalRequest, folder: Path, progress: Progress) -> Path:
    """The output of a whole run without the package."""
    path = folder / "reference.txt"
    progress("rehearse", "a run without the package", 0, 0)
    with _started(request.command, path, folder / "reference-errors.txt") as program:
        ending = program.wait(request.schedule.limit)
    if ending is None:
        cause = f"it did not end in {request.schedule.limit:g} seconds"
        raise HpbuildError(codes.REFERENCE_FAILED, request.command[0], cause)
    wrong = judge(replace(request.expectation, pattern=None), ending, b"", None, request.command[0])
    if wrong:
        raise HpbuildError(codes.REFERENCE_FAILED, request.command[0], wrong[0].cause)
    return path


def _run_rounds(
    request: RehearsalRequest,
    modules: Sequence[Module],
    program: Program,
    course: _Course,
    progress: Progress,
    connect: Connect,
) -> None:
    """From the loaded modules to the last apply."""
    schedule = request.schedule
    course.pid = _wait_for_modules(request, modules, program)
    course.ready = time.monotonic() - program.started
    _hold(program, schedule.after, schedule)
    live = LiveRequest(bundle=request.bundle, name=request.name, policy=request.policy, pid=course.pid)
    with open_process(course.pid) as process:
        prepared = prepare(live, process)
        course.modules = _states(prepared)
        if prepared.order is None:
            course.findings += prepared.findings or (_in_effect(request),)
            return
        with connect(process) as session:
            _alternate(request, program, course, progress, session, live, prepared, prepared.order)


def _alternate(
    request: RehearsalRequest,
    program: Program,
    course: _Course,
    progress: Progress,
    session: Session,
    live: LiveRequest,
    prepared: Prepared,
    order: Order,
) -> None:
    """The rounds. Once the last apply has succeeded the program may end."""
    schedule = request.schedule
    for number in range(schedule.rounds + 1):
        progress("rehearse", "round", number, schedule.rounds)
        if number:
            _step(course, Action.REVERT, number, lambda: session.revert(order.id))
            if number == 1:
                _confirm(course, live, prepared, ModuleState.APPLICABLE)
            _hold(program, schedule.hold, schedule)
        _step(course, Action.APPLY, number, lambda: session.apply(order))
        if number == 0 < schedule.rounds:
            _confirm(course, live, prepared, ModuleState.APPLIED)
        if number < schedule.rounds:
            _hold(program, schedule.hold, schedule)
    try:
        status = session.status()
        course.waits, course.looks = status.waits, status.looks
        _confirm(course, live, prepared, ModuleState.APPLIED)
    except HpbuildError:
        if program.wait(GRACE) is None:
            raise


def _step(course: _Course, action: Action, number: int, work: Callable[[], Reply]) -> None:
    """One apply or revert; raises what it raised, noted as a step that failed."""
    started = time.monotonic()
    try:
        reply = work()
    except HpbuildError as error:
        seconds = time.monotonic() - started
        course.steps.append(Step(action=action, round=number, seconds=seconds, finding=error.finding))
        raise
    course.steps.append(
        Step(
            action=action,
            round=number,
            seconds=time.monotonic() - started,
            commit_ns=reply.commit_ns,
            waits=reply.waits,
            looks=reply.looks,
        )
    )


def _confirm(course: _Course, live: LiveRequest, prepared: Prepared, wanted: ModuleState) -> None:
    """The verifier's second look; raises its first finding."""
    after, wrong = confirm(live, prepared.counterparts, wanted)
    course.modules = _states(replace(prepared, verification=after))
    if wrong:
        raise HpbuildError(wrong[0].code, wrong[0].place, wrong[0].cause)


def _states(prepared: Prepared) -> tuple[tuple[str, str], ...]:
    loaded = prepared.counterparts or (None,) * len(prepared.verification.modules)
    return tuple(
        (result.path, str(result.state or "not compared") if here is not None else "not-loaded")
        for result, here in zip(prepared.verification.modules, loaded, strict=True)
    )


def _in_effect(request: RehearsalRequest) -> Finding:
    cause = "the program runs files that have the package already"
    return Finding(codes.NOTHING_TO_REHEARSE, request.command[0], cause)


def _wait_for_modules(request: RehearsalRequest, modules: Sequence[Module], program: Program) -> int:
    """The process of the program that has loaded all of the package's modules, or some and no further one for
    a while. Raises HpbuildError HP7401, HP7402."""
    deadline = time.monotonic() + request.schedule.load_limit
    seen: tuple[int, int] = (0, 0)
    since = time.monotonic()
    while time.monotonic() < deadline:
        found = max((_loaded_count(pid, modules), pid) for pid in program.pids())
        if found != seen:
            seen, since = found, time.monotonic()
        count, pid = found
        if count == len(modules) or (count and time.monotonic() - since >= SETTLED):
            return pid
        if not program.running:
            raise HpbuildError(codes.ENDED_EARLY, request.command[0], "before it had loaded the modules")
        time.sleep(PAUSE)
    names = ", ".join(module.path for module in modules[:5])
    cause = f"not loaded after {request.schedule.load_limit:g} seconds: {names}"
    raise HpbuildError(codes.NEVER_LOADED, request.command[0], cause)


def _loaded_count(pid: int, modules: Sequence[Module]) -> int:
    """How many of the modules a process has loaded; 0 for one that cannot be looked at (yet)."""
    try:
        with open_process(pid) as process:
            return sum(item.loaded is not None for item in find_loaded(modules, process.modules))
    except HpbuildError:
        return 0


def _hold(program: Program, seconds: float, schedule: Schedule) -> None:
    """Let the program work. Raises HpbuildError HP7402 when it ends meanwhile."""
    ending = program.wait(seconds)
    if ending is not None:
        cause = f"it ended with {described(ending.status)} before its {schedule.rounds} rounds were made"
        raise HpbuildError(codes.ENDED_EARLY, "the program", cause)


def _explained(error: HpbuildError, program: Program, request: RehearsalRequest) -> Finding:
    """What ``error`` comes from: whatever a step meets in a program that has ended, its end is the cause."""
    if error.code in (codes.ENDED_EARLY, codes.NEVER_LOADED) or (ending := program.wait(GRACE)) is None:
        return error.finding
    cause = f"it ended with {described(ending.status)}; {error}"
    return Finding(codes.ENDED_EARLY, request.command[0], cause)


def _ending(request: RehearsalRequest, program: Program, output: Path, *, failed: bool) -> Ending:
    """Wait for the end where it is asked for, or for the expected output; then end what still runs."""
    wanted, limit = request.expectation, request.schedule.limit
    if failed:
        return program.wait(0) or program.end()
    if wanted.needs_end:
        return program.wait(limit) or program.end()
    deadline = time.monotonic() + (limit if wanted.pattern is not None else 0)
    while time.monotonic() < deadline:
        if wanted.pattern is not None and contains(wanted.pattern, output.read_bytes()):
            break
        if (ending := program.wait(PAUSE * 4)) is not None:
            return ending
    return program.wait(0) or program.end()
