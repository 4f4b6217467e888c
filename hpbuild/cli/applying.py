"""Steps of ``apply`` and ``revert`` between the command line and the work."""

from pathlib import Path

from hpbuild.apply.offline.apply import apply_offline
from hpbuild.apply.offline.result import OfflineRequest, OfflineResult
from hpbuild.apply.offline.revert import revert_offline
from hpbuild.bundle.output import read_bounded
from hpbuild.cli.output import Output
from hpbuild.cli.remembering import Remembering, accept, lines_of
from hpbuild.codes import cli as codes
from hpbuild.dataclass import replace
from hpbuild.errors import HpbuildError
from hpbuild.report import apply as report
from hpbuild.verify.policy import Policy


def usage(command: str, cause: str) -> HpbuildError:
    """HP9001: ``command`` cannot do anything with the options that it got."""
    return HpbuildError(codes.USAGE, f"hpbuild {command}", cause)


def offline_request(bundle: Path, installed: Path, output: Path, policy: Policy) -> OfflineRequest:
    """The request with the package read. Raises HpbuildError HP48xx."""
    data = read_bounded(bundle, policy.limits.bundle_size)
    return OfflineRequest(bundle=data, name=str(bundle), installed=installed, output=output, policy=policy)


def apply_to_copy(
    bundle: Path, places: tuple[Path, Path], policy: Policy, memory: Remembering, shown: Output
) -> int:
    """Apply a package offline and report; ``places`` are what is installed and the output. The package is
    remembered after the files were written."""
    request = offline_request(bundle, *places, policy)
    with memory.opened(policy, "apply") as state:
        result = apply_offline(replace(request, accepted=lines_of(state)))
        if result.done:
            accept(state, result.verification)
    return _shown("apply", result, places, shown)


def revert_copy(
    bundle: Path,
    places: tuple[Path, Path],
    policy: Policy,
    memory: Remembering,
    shown: Output,
    *,
    signed: bool,
) -> int:
    """Take a package out of a patched file and report, otherwise as ``apply_to_copy``. ``signed``: only a
    revert package will do."""
    request = offline_request(bundle, *places, policy)
    with memory.opened(policy, "revert") as state:
        result = revert_offline(replace(request, accepted=lines_of(state), signed_revert=signed))
        if result.done:
            accept(state, result.verification)
    return _shown("revert", result, places, shown)


def _shown(command: str, result: OfflineResult, places: tuple[Path, Path], shown: Output) -> int:
    document = report.document(command, result, *places)
    shown.emit(document, lambda entries: report.blocks(entries, full=shown.full))
    return result.status
