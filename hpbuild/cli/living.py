"""Steps of the commands that work on a running process, between the command line and the work."""

import time
from pathlib import Path

from hpbuild.apply.live.patching import apply_live, revert_every, revert_live
from hpbuild.apply.live.result import LiveRequest
from hpbuild.apply.live.standing import standing_of
from hpbuild.bundle.output import read_bounded
from hpbuild.cli.output import Output
from hpbuild.cli.remembering import Remembering, accept, lines_of
from hpbuild.dataclass import replace
from hpbuild.errors import ExitStatus
from hpbuild.pe.processes import open_process
from hpbuild.report import live as report
from hpbuild.verify.policy import Policy
from hpbuild.verify.states import Tier

ANYBODYS = Policy(allow_unsigned=True, lowest_tier=Tier.FUNCTIONS)
"""For looking only: who made the package does not matter."""

NOTHING_KEPT = Remembering(None, no_record=False, wait=0)


def live_request(bundle: Path, pid: int, policy: Policy) -> LiveRequest:
    """The request with the package read. Raises HpbuildError HP48xx."""
    data = read_bounded(bundle, policy.limits.bundle_size)
    return LiveRequest(bundle=data, name=str(bundle), policy=policy, pid=pid)


def apply_running(bundle: Path, pid: int, policy: Policy, memory: Remembering, output: Output) -> int:
    """Apply a package to a process and report. The package is remembered after it was applied."""
    output.log(f"apply to process {pid}")
    request = live_request(bundle, pid, policy)
    with memory.opened(policy, "apply") as state:
        result = apply_live(replace(request, accepted=lines_of(state)))
        if result.done and result.before is not None:
            accept(state, result.before)
    document = report.document("apply", str(bundle), result)
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return result.status


def revert_running(
    bundle: Path, pid: int, output: Output, policy: Policy = ANYBODYS, memory: Remembering = NOTHING_KEPT
) -> int:
    """Take a package out of a process and report. With a ``policy`` only a revert package that it accepts
    will do; it is remembered after the package was taken out."""
    output.log(f"revert in process {pid}")
    request = replace(live_request(bundle, pid, policy), signed_revert=policy is not ANYBODYS)
    with memory.opened(policy, "revert") as state:
        result = revert_live(replace(request, accepted=lines_of(state)))
        if result.done and result.before is not None:
            accept(state, result.before)
    document = report.document("revert", str(bundle), result)
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return result.status


def revert_all_running(pid: int, output: Output) -> int:
    """Take every package out of a process and report."""
    output.log(f"revert everything in process {pid}")
    started = time.monotonic()
    journal, reply = revert_every(pid)
    seconds = time.monotonic() - started
    with open_process(pid) as process:
        windows_pid = process.windows_pid
    document = report.every_document(pid, windows_pid, journal, reply, seconds)
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return ExitStatus.YES


def show_status(pid: int, bundle: Path | None, output: Output) -> int:
    """Say what is in effect in a process."""
    request = None if bundle is None else live_request(bundle, pid, ANYBODYS)
    standing = standing_of(pid, request)
    document = report.status_document(standing, None if bundle is None else str(bundle))
    output.emit(document, report.status_blocks)
    return standing.status
