"""Steps of ``apply`` and ``revert`` between the command line and the work."""

from pathlib import Path

from hpbuild.apply.offline.result import OfflineRequest
from hpbuild.bundle.output import read_bounded
from hpbuild.codes import cli as codes
from hpbuild.errors import HpbuildError
from hpbuild.verify.policy import Policy


def usage(command: str, cause: str) -> HpbuildError:
    """HP9001: ``command`` cannot do anything with the options that it got."""
    return HpbuildError(codes.USAGE, f"hpbuild {command}", cause)


def offline_request(bundle: Path, installed: Path, output: Path, policy: Policy) -> OfflineRequest:
    """The request with the package read. Raises HpbuildError HP48xx."""
    data = read_bounded(bundle, policy.limits.bundle_size)
    return OfflineRequest(bundle=data, name=str(bundle), installed=installed, output=output, policy=policy)
