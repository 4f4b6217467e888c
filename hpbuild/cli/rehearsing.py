"""Steps of ``rehearse`` between the command line and the rehearsal."""

from collections.abc import Sequence
from pathlib import Path

from hpbuild.apply.rehearse.model import Expectation, Schedule
from hpbuild.apply.rehearse.rehearsal import RehearsalRequest, rehearse
from hpbuild.bundle.output import read_bounded
from hpbuild.cli.output import Output
from hpbuild.dataclass import replace
from hpbuild.report import rehearse as report
from hpbuild.verify.policy import Policy


def run_rehearsal(
    bundle: Path,
    command: Sequence[str],
    policy: Policy,
    schedule: Schedule,
    expectation: Expectation,
    folder: Path | None,
    output: Output,
) -> int:
    """Rehearse and report."""
    request = RehearsalRequest(
        bundle=read_bounded(bundle, policy.limits.bundle_size),
        name=str(bundle),
        # A rehearsal accepts nothing, so there is nothing to be remembered.
        policy=replace(policy, state_required=False),
        command=tuple(command),
        schedule=schedule,
        expectation=expectation,
        folder=folder,
    )
    with output.progress() as progress:
        result = rehearse(request, progress)
    document = report.document(str(bundle), result)
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return result.status
