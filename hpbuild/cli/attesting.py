"""Steps of ``verify --attest``: a signed summary of what was checked, where, and against which files."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hpbuild.bundle.output import write_atomic
from hpbuild.cli.output import Output
from hpbuild.cli.passphrase import existing_passphrase
from hpbuild.cli.piece import CHILD_VARIABLE
from hpbuild.codes import cli as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.report.attestation import Circumstances, summary
from hpbuild.report.document import Document
from hpbuild.sign.dsse import sign_envelope
from hpbuild.sign.signer import Signer, signer_from_uri
from hpbuild.values import moment_text
from hpbuild.verify.policy import Policy

COMMAND = "hpbuild verify"


@dataclass(frozen=True, slots=True)
class Attestation:
    """Where the summary goes, who signs it, and what the machine is called in it."""

    out: Path
    signer: Signer
    host: str


def attestation(
    out: Path | None, key: str | None, host: str | None, inputs: Sequence[Path | None]
) -> Attestation | None:
    """What the options ask for, None when nothing. The key is opened before anything is checked.

    Raises HpbuildError HP9001 for an option without the others or an output that is one of the ``inputs``
    (files, or trees for the files in them), and what opening the key raises."""
    if CHILD_VARIABLE in os.environ:
        return None  # the key is for the parent, which signs; it stays away from what is read
    if out is None or key is None:
        if (out, key, host) != (None, None, None):
            raise HpbuildError(codes.USAGE, COMMAND, "--attest and --attest-key go together")
        return None
    refuse_input(out, [Path(key.partition(":")[2]), *(path for path in inputs if path is not None)])
    return Attestation(out, signer_from_uri(key, existing_passphrase), host or platform.node())


def refuse_hollow(trust: Policy, at: datetime | None) -> None:
    """HpbuildError HP9001 for a summary that would tell its readers more than was checked: PASSED for what
    nobody vouched for under the policy ``trust``, or a verification at the time ``at``, which --time
    named."""
    if trust.allow_unsigned:
        raise HpbuildError(codes.USAGE, COMMAND, "--attest does not go with --allow-unsigned")
    if at is not None:
        raise HpbuildError(codes.USAGE, COMMAND, "--attest does not go with --time: a summary is about now")


def refuse_input(out: Path, inputs: Sequence[Path]) -> None:
    """HpbuildError HP9001 when ``out`` is one of the files ``inputs``, or an existing file below one that
    is a directory: a summary never destroys what it is about."""
    if not out.exists():
        return
    for path in inputs:
        inside = path.is_dir() and path.resolve() in out.resolve().parents
        if inside or (path.exists() and out.samefile(path)):
            raise HpbuildError(codes.USAGE, COMMAND, f"the output {out} is one of the inputs")


def write_summary(
    wanted: Attestation,
    packages: Sequence[Document],
    status: ExitStatus,
    policy_sha256: str,
    output: Output,
) -> None:
    """Sign and write the summary as a DSSE envelope, whatever the verdict. Nothing is written when no package
    could be read: there are no bytes to speak of. ``policy_sha256`` as in ``Circumstances``. Raises
    HpbuildError: HP4508, HP48xx, and what the signer raises."""
    if all(entry["sha256"] is None for entry in packages):
        output.log("no package could be read, so nothing is attested")
        return
    now = moment_text(datetime.now(UTC))
    payload = summary(packages, status, Circumstances(wanted.host, now, policy_sha256))
    write_atomic(wanted.out, sign_envelope(payload, [wanted.signer]))
