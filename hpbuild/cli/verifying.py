"""Steps of ``verify`` between the command line and the verifier."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hpbuild.bundle.output import read_bounded
from hpbuild.cli.bounds import Bounds, bounds
from hpbuild.cli.choices import STATE_WAIT, LowestTier
from hpbuild.cli.confined import confined
from hpbuild.cli.output import Output
from hpbuild.cli.remembering import Remembering, accept_reported, lines_of
from hpbuild.codes import cli as codes
from hpbuild.codes.verify import POLICY_CONTRADICTS
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.manifest.model import SCHEMA_ID
from hpbuild.manifest.schema import prepare
from hpbuild.report import verify as report
from hpbuild.report.document import Document
from hpbuild.sign.keys import read_public
from hpbuild.values import Digest, parse_moment
from hpbuild.verify.line import AcceptedLines
from hpbuild.verify.policy import Policy, policy_from_keys
from hpbuild.verify.request import VerifyRequest
from hpbuild.verify.states import Tier
from hpbuild.verify.verdict import worst
from hpbuild.verify.verifier import import_checks, verify

if TYPE_CHECKING:
    from hpbuild.servicing import StateFile


def run(
    bundles: Sequence[Path],
    *,
    policy: Path | None = None,
    key: Sequence[Path] = (),
    threshold: int | None = None,
    installed: Path | None = None,
    pid: int | None = None,
    dump: Path | None = None,
    lowest_tier: LowestTier | None = None,
    allow_unsigned: bool = False,
    time: str | None = None,
    state: Path | None = None,
    no_record: bool = False,
    state_wait: float = STATE_WAIT,
    attest: Path | None = None,
    attest_key: str | None = None,
    attest_host: str | None = None,
    within: Bounds | None = None,
    output: Output | None = None,
) -> ExitStatus:
    """``hpbuild verify`` with what its options say. Raises HpbuildError for options that do not fit; what is
    wrong with a package is in the result."""
    at = given_time(time)
    shown = output or Output()
    trust = make_policy(
        key, threshold, lowest_tier, allow_unsigned=allow_unsigned, policy=policy, command="verify"
    )
    wanted = None
    if (attest, attest_key, attest_host) != (None, None, None):
        from hpbuild.cli.attesting import attestation, refuse_hollow, write_summary

        inputs = (*bundles, *key, policy, installed, dump, state)
        wanted = attestation(attest, attest_key, attest_host, inputs)
    if wanted is not None:
        refuse_hollow(trust, at)
    with Remembering(state, no_record, state_wait).opened(trust, "verify", at) as kept:
        comparand = Comparand(installed, pid, dump)
        packages, status = check_packages(bundles, trust, comparand, shown, within or bounds(), kept, at)
    if wanted is not None:
        write_summary(wanted, packages, status, trust.sha256, shown)
    document = report.document(packages, status)
    shown.emit(document, lambda entries: report.blocks(entries, full=shown.full))
    return status


def make_policy(
    keys: Sequence[Path],
    threshold: int | None,
    lowest_tier: LowestTier | None,
    *,
    allow_unsigned: bool,
    policy: Path | None,
    command: str,
) -> Policy:
    """The trust policy that the options of ``command`` describe: the file ``policy``, or all the others; None
    where an option was not given. HpbuildError HP9001 when they name nobody to trust, or name both."""
    place = f"hpbuild {command}"
    if policy is not None:
        if keys or allow_unsigned or threshold is not None or lowest_tier is not None:
            cause = "--policy goes with none of --key, --threshold, --lowest-tier and --allow-unsigned"
            raise HpbuildError(codes.USAGE, place, cause)
        from hpbuild.verify.policy_file import read_policy

        return read_policy(policy)
    if not keys and not allow_unsigned:
        cause = (
            "nobody to trust is named: give --policy FILE or --key FILE, or --allow-unsigned to look at the "
            "package alone"
        )
        raise HpbuildError(codes.USAGE, place, cause)
    tier = Tier(lowest_tier.value) if lowest_tier is not None else Tier.AUTHENTICODE
    if allow_unsigned and keys:
        raise HpbuildError(POLICY_CONTRADICTS, place, "--allow-unsigned does not go with --key")
    if allow_unsigned:
        return Policy(allow_unsigned=True, lowest_tier=tier)
    wanted = 1 if threshold is None else threshold
    return policy_from_keys([read_public(path) for path in keys], wanted, tier)


def given_time(text: str | None) -> datetime | None:
    """The time that ``--time`` names, None without it. HpbuildError HP9001 for anything else than RFC 3339 in
    UTC with whole seconds."""
    if text is None:
        return None
    try:
        return parse_moment(text)
    except ValueError as error:
        raise HpbuildError(codes.USAGE, "hpbuild verify", f"--time: {error}") from None


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
    paths: Sequence[Path],
    policy: Policy,
    comparand: Comparand,
    output: Output,
    bounds: Bounds,
    state: "StateFile | None" = None,
    now: datetime | None = None,
) -> tuple[list[Document], ExitStatus]:
    """Every package's document, and the exit status of the worst. Each is looked at in a child process of its
    own within ``bounds``; one that cannot be read does not keep the others from being checked. Those that are
    verified are remembered in ``state``, where the next one sees them. ``now``: None for the clock."""
    packages: list[Document] = []
    if len(paths) > 1:
        import_checks()  # here, so that not every child does it again
    with output.progress() as progress:
        for done, path in enumerate(paths):
            progress("verify", path.name, done, len(paths))
            entry = _package(path, policy, comparand, bounds, done, lines_of(state), now)
            accept_reported(state, entry)
            packages.append(entry)
    return packages, worst([ExitStatus(entry["status"]) for entry in packages])


def _package(
    path: Path,
    policy: Policy,
    comparand: Comparand,
    bounds: Bounds,
    number: int,
    accepted: AcceptedLines | None,
    now: datetime | None,
) -> Document:
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
        accepted=accepted,
        now=now,
    )
    prepare(SCHEMA_ID)  # here, so that not every child does it again
    try:
        return confined(lambda: report.package(verify(request)), bounds, str(path), number)
    except HpbuildError as error:
        return report.unreadable(str(path), error.finding, Digest.of(data).hex)
