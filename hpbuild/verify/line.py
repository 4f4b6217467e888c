"""V16: how the package stands to what was accepted of its product line before.

A line only goes forward. A package is identified by the SHA-256 of its statement: countersigning changes the
file and not the statement. Reading and writing what was accepted is not done here
(``hpbuild.servicing``).
"""

from collections.abc import Iterator
from datetime import datetime

from hpbuild.bundle.statement import Reverts, Statement
from hpbuild.codes import servicing as codes
from hpbuild.dataclass import dataclass, replace
from hpbuild.errors import Finding
from hpbuild.values import moment_text, parse_moment
from hpbuild.verify.checks import LINE, CheckResult, judged, not_run
from hpbuild.verify.policy import Policy

PREDICATE = "statement.json: predicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A package that was accepted at ``time`` (UTC); ``statement`` is the SHA-256 of its statement in
    lower-case hex, the rest is what the statement says."""

    id: str
    sequence: int
    statement: str
    supersedes: tuple[str, ...]
    reverts: Reverts | None
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedLine:
    """What was accepted of one product line, in the order of acceptance."""

    product: str
    packages: tuple[Accepted, ...] = ()

    @property
    def highest(self) -> int:
        """The highest sequence, 0 when nothing was accepted."""
        return max((item.sequence for item in self.packages), default=0)

    @property
    def reverted(self) -> frozenset[str]:
        """Statement digests of the packages that were taken back."""
        return frozenset(item.reverts.statement.hex for item in self.packages if item.reverts is not None)

    @property
    def superseded(self) -> dict[str, Accepted]:
        """By the id of a superseded package, the last one that says so."""
        return {name: item for item in self.packages for name in item.supersedes}

    @property
    def in_effect(self) -> tuple[Accepted, ...]:
        """Packages that were neither taken back nor superseded; revert packages are not among them."""
        gone, replaced = self.reverted, self.superseded
        return tuple(
            item
            for item in self.packages
            if item.reverts is None and item.statement not in gone and item.id not in replaced
        )

    def find(self, statement: str) -> Accepted | None:
        """The accepted package with this statement digest."""
        return next((item for item in self.packages if item.statement == statement), None)


@dataclass(frozen=True, slots=True)
class AcceptedLines:
    """What was accepted of all lines."""

    lines: tuple[AcceptedLine, ...] = ()

    def of(self, product: str) -> AcceptedLine:
        """The line of ``product``, an empty one when nothing of it was accepted."""
        return next((line for line in self.lines if line.product == product), AcceptedLine(product=product))

    def having(self, product: str, package: Accepted) -> "AcceptedLines":
        """These lines with one more package."""
        line = self.of(product)
        longer = replace(line, packages=(*line.packages, package))
        others = tuple(item for item in self.lines if item.product != product)
        return AcceptedLines(tuple(sorted((*others, longer), key=lambda item: item.product)))


def check_line(
    statement: Statement, statement_sha256: str, line: AcceptedLine | None, policy: Policy
) -> CheckResult:
    """V16. ``line`` is what was accepted of the statement's product, None when nobody keeps that;
    ``statement_sha256`` is the digest of the statement's bytes in lower-case hex."""
    if line is None:
        if not policy.state_required:
            return not_run(LINE, "no state of the release line was given")
        return judged(LINE, (Finding(codes.STATE_REQUIRED, "policy", "no state of the line was given"),))
    if not statement.product:
        return judged(LINE, (Finding(codes.NO_PRODUCT, f"{PREDICATE}.product", "it is empty"),))
    known = line.find(statement_sha256)
    facts = (
        ("product", line.product),
        ("accepted before", len(line.packages)),
        ("highest sequence", line.highest),
        ("this package", "accepted before" if known is not None else "new"),
    )
    findings = [*_position(statement, line), *_standing(statement, statement_sha256, line)]
    if known is None:
        findings += [*_names(statement, line), *_jump(statement, line, policy)]
        findings += _taken_back(statement, line)
    if not line.packages:
        findings.append(Finding(codes.FIRST_OF_LINE, line.product, f"sequence {statement.sequence}"))
    return judged(LINE, findings, facts)


def _position(statement: Statement, line: AcceptedLine) -> Iterator[Finding]:
    """The package is not below what was accepted, and was not expired by then."""
    if statement.sequence < line.highest:
        cause = f"{statement.sequence}, and {line.highest} was accepted"
        yield Finding(codes.ROLLBACK, f"{PREDICATE}.sequence", cause)
    latest = max((item.time for item in line.packages), default=None)
    if latest is None or not statement.expiry:
        return
    expiry = parse_moment(statement.expiry)
    if latest >= expiry:
        accepted = moment_text(latest)
        cause = f"it expired {statement.expiry}, the last package was accepted {accepted}"
        yield Finding(codes.EXPIRED_BEFORE, f"{PREDICATE}.expiry", cause)


def _standing(statement: Statement, statement_sha256: str, line: AcceptedLine) -> Iterator[Finding]:
    """Neither superseded nor taken back."""
    if (newer := line.superseded.get(statement.id)) is not None:
        cause = f"{statement.id} is superseded by {newer.id} (sequence {newer.sequence})"
        yield Finding(codes.SUPERSEDED, f"{PREDICATE}.id", cause)
    if statement_sha256 in line.reverted:
        cause = f"{statement.id} (sequence {statement.sequence}) was taken back"
        yield Finding(codes.REPLAY, "statement.json", cause)


def _names(statement: Statement, line: AcceptedLine) -> Iterator[Finding]:
    """A new package has an id and a sequence that no accepted one has, and supersedes only older ones."""
    for item in line.packages:
        if item.sequence == statement.sequence:
            cause = f"sequence {item.sequence} is {item.id} with the statement {item.statement}"
            yield Finding(codes.EQUIVOCATION, f"{PREDICATE}.sequence", cause)
        elif item.id == statement.id:
            cause = f"{item.id} is sequence {item.sequence} with the statement {item.statement}"
            yield Finding(codes.ID_REUSED, f"{PREDICATE}.id", cause)
        if item.id in statement.supersedes and item.sequence >= statement.sequence:
            cause = f"{item.id} has sequence {item.sequence}, this package {statement.sequence}"
            yield Finding(codes.SUPERSEDES_NEWER, f"{PREDICATE}.supersedes", cause)


def _jump(statement: Statement, line: AcceptedLine, policy: Policy) -> Iterator[Finding]:
    """The first package of a line is not bounded: there is nothing to count from."""
    jump = statement.sequence - line.highest
    if line.packages and jump > policy.max_sequence_jump:
        cause = f"{jump} above {line.highest}, the policy allows {policy.max_sequence_jump}"
        yield Finding(codes.FAR_FUTURE, f"{PREDICATE}.sequence", cause)


def _taken_back(statement: Statement, line: AcceptedLine) -> Iterator[Finding]:
    """What a revert package takes back was accepted, and not taken back yet."""
    reverts = statement.reverts
    if reverts is None:
        return
    place = f"{PREDICATE}.reverts"
    found = line.find(reverts.statement.hex)
    if found is None:
        twin = next((i for i in line.packages if reverts.id == i.id or reverts.sequence == i.sequence), None)
        if twin is None:
            yield Finding(codes.REVERTS_UNKNOWN, place, f"{reverts.id} (sequence {reverts.sequence})")
            return
        cause = f"{twin.id} (sequence {twin.sequence}) was accepted with the statement {twin.statement}"
        yield Finding(codes.REVERTS_OTHER, place, f"{cause}, not {reverts.statement.hex}")
    elif (found.id, found.sequence) != (reverts.id, reverts.sequence):
        cause = f"the statement is that of {found.id} (sequence {found.sequence})"
        yield Finding(codes.REVERTS_OTHER, place, cause)
    elif found.reverts is not None:
        yield Finding(codes.REVERTS_OTHER, place, f"{found.id} is a revert package itself")
    elif found.statement in line.reverted:
        yield Finding(codes.REVERTED_ALREADY, place, f"{reverts.id} (sequence {reverts.sequence})")
