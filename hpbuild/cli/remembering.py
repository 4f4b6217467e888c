"""``--state``: the state file between the command line and the verifier."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hpbuild.bundle.statement import read_reverts
from hpbuild.cli.piece import CHILD_VARIABLE
from hpbuild.codes import cli as cli_codes
from hpbuild.codes import servicing as codes
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.manifest.readers import root
from hpbuild.report.document import Document, finding
from hpbuild.verify.line import Accepted, AcceptedLines
from hpbuild.verify.policy import Policy
from hpbuild.verify.request import Verification
from hpbuild.verify.states import Authenticity

if TYPE_CHECKING:
    from hpbuild.servicing import StateFile


@dataclass(frozen=True, slots=True)
class Remembering:
    """What ``--state``, ``--no-record`` and ``--state-wait`` ask for; without ``path`` nothing is kept."""

    path: Path | None
    no_record: bool
    wait: float

    @contextmanager
    def opened(
        self, policy: Policy, command: str, at: datetime | None = None
    ) -> "Iterator[StateFile | None]":
        """The state file for the block, None when there is none to use. ``at`` is the time at which packages
        are judged when that is not now.

        Raises HpbuildError: HP9001 for --no-record alone and for a record of what was judged at another time,
        HP8031 for a policy that trusts everybody, HP8012 where a package would be put to work and not be
        remembered although the policy wants that, and as ``open_state``."""
        if self.path is None:
            if self.no_record:
                raise HpbuildError(cli_codes.USAGE, f"hpbuild {command}", "--no-record is only for --state")
            yield None
            return
        if at is not None and not self.no_record:
            # What was good then may have expired or been revoked since: accepted is only what is good now.
            cause = "--time with --state needs --no-record: only what is good now is remembered"
            raise HpbuildError(cli_codes.USAGE, f"hpbuild {command}", cause)
        if policy.allow_unsigned:
            raise HpbuildError(codes.NOT_VOUCHED_FOR, f"hpbuild {command}", "the policy trusts everybody")
        if self.no_record and policy.state_required and command != "verify":
            cause = "--no-record: what is done would not be remembered"
            raise HpbuildError(codes.STATE_REQUIRED, f"hpbuild {command}", cause)
        from hpbuild.servicing import open_state, view_state

        if CHILD_VARIABLE in os.environ:
            # A child that began as a fresh interpreter: its parent holds the lock, and does the writing.
            yield view_state(self.path)
            return
        with open_state(self.path, self.wait, record=not self.no_record) as state:
            yield state


def lines_of(state: "StateFile | None") -> AcceptedLines | None:
    """What was accepted so far, None when nobody keeps that."""
    return None if state is None else state.lines


def accept(state: "StateFile | None", verification: Verification) -> None:
    """Remember a package that was accepted. Raises HpbuildError HP8029, HP8030."""
    if state is None or verification.authenticity is not Authenticity.TRUSTED:
        return
    package = Accepted(
        id=verification.id,
        sequence=verification.sequence,
        statement=verification.statement_sha256,
        supersedes=verification.supersedes,
        reverts=verification.reverts,
        time=_now(),
    )
    state.accept(verification.product, package)


def accept_reported(state: "StateFile | None", entry: Document) -> None:
    """Remember the package of ``entry``, its part of verify's document, when it was verified, and say so
    there. A package that could not be remembered has failed."""
    good = entry.get("status") == ExitStatus.YES and entry["authenticity"] == Authenticity.TRUSTED
    if state is None or not good:
        return
    reverts = entry["reverts"]
    package = Accepted(
        id=entry["id"],
        sequence=entry["sequence"],
        statement=entry["statement_sha256"],
        supersedes=tuple(entry["supersedes"]),
        reverts=None if reverts is None else read_reverts(root(reverts, "reverts")),
        time=_now(),
    )
    try:
        state.accept(entry["product"], package)
    except HpbuildError as error:
        entry["verdict"], entry["status"] = "failed", int(error.code.exit)
        entry["findings"].append(finding(error.finding))
    else:
        entry["recorded"] = state.records


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
