"""Steps of the commands that work on a running process, between the command line and the work."""

import time
from pathlib import Path

from hpbuild.apply.live.patching import apply_live, revert_every, revert_live
from hpbuild.apply.live.result import LiveRequest
from hpbuild.apply.live.standing import standing_of
from hpbuild.bundle.output import read_bounded
from hpbuild.cli.output import Output
from hpbuild.errors import ExitStatus
from hpbuild.pe.processes import open_process
from hpbuild.report import live as report
from hpbuild.verify.policy import Policy
from hpbuild.verify.states import Tier

ANYBODYS = Policy(allow_unsigned=True, lowest_tier=Tier.FUNCTIONS)
"""For looking only: who made the package does not matter."""


def live_request(bundle: Path, pid: int, policy: Policy) -> LiveRequest:
    """The request with the package read. Raises HpbuildError HP48xx."""
    data = read_bounded(bundle, policy.limits.bundle_size)
    return LiveRequest(bundle=data, name=str(bundle), policy=policy, pid=pid)


def apply_running(bundle: Path, pid: int, policy: Policy, output: Output) -> int:
    """Apply a package to a process and report."""
    output.log(f"apply to process {pid}")
    result = apply_live(live_request(bundle, pid, policy))
    document = report.document("apply", str(bundle), result)
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return result.status


def revert_running(bundle: Path, pid: int, output: Output) -> int:
    """Take a package out of a process and report."""
    output.log(f"revert in process {pid}")
    result = revert_live(live_request(bundle, pid, ANYBODYS))
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
