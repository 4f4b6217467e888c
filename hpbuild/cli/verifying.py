"""Steps of ``verify`` between the command line and the verifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpbuild.bundle.output import read_bounded
from hpbuild.cli.output import Output
from hpbuild.codes import cli as codes
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.report import verify as report
from hpbuild.report.document import Document
from hpbuild.sign.keys import read_public
from hpbuild.verify.policy import Policy
from hpbuild.verify.request import VerifyRequest
from hpbuild.verify.states import Tier
from hpbuild.verify.verdict import worst
from hpbuild.verify.verifier import verify


def make_policy(
    keys: Sequence[Path], threshold: int, lowest_tier: str, *, allow_unsigned: bool, command: str = "verify"
) -> Policy:
    """The trust policy that the options of ``command`` describe. HpbuildError HP9001 when they name nobody to
    trust."""
    if not keys and not allow_unsigned:
        cause = "no trusted key is named: give --key FILE, or --allow-unsigned to look at the package alone"
        raise HpbuildError(codes.USAGE, f"hpbuild {command}", cause)
    return Policy(
        trusted=tuple(read_public(path) for path in keys),
        threshold=threshold,
        lowest_tier=Tier(lowest_tier),
        allow_unsigned=allow_unsigned,
    )


@dataclass(frozen=True, slots=True)
class Comparand:
    """What packages are compared with, one at most. HpbuildError HP9001 when more than one is given."""

    installed: Path | None = None
    pid: int | None = None
    dump: Path | None = None

    def __post_init__(self) -> None:
        if sum(item is not None for item in (self.installed, self.pid, self.dump)) > 1:
            raise HpbuildError(codes.USAGE, "hpbuild verify", "say one of --installed, --pid and --dump")


def check_packages(
    paths: Sequence[Path], policy: Policy, comparand: Comparand, output: Output
) -> tuple[list[Document], ExitStatus]:
    """Every package's document, and the exit status of the worst. One that cannot be read does not keep
    the others from being checked."""
    packages: list[Document] = []
    with output.progress() as progress:
        for done, path in enumerate(paths):
            progress("verify", path.name, done, len(paths))
            packages.append(_package(path, policy, comparand))
    return packages, worst([ExitStatus(entry["status"]) for entry in packages])


def _package(path: Path, policy: Policy, comparand: Comparand) -> Document:
    try:
        data = read_bounded(path, policy.limits.bundle_size)
    except HpbuildError as error:
        return report.unreadable(str(path), error.finding)
    request = VerifyRequest(
        bundle=data,
        name=str(path),
        policy=policy,
        installed=comparand.installed,
        pid=comparand.pid,
        dump=comparand.dump,
    )
    return report.package(verify(request))
