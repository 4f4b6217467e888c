"""Steps of ``build`` between the command line and the pipeline."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hpbuild.cli.output import Output
from hpbuild.codes import cli as codes
from hpbuild.codes.bundle import SUPERSEDES_CONTRADICTS
from hpbuild.dataclass import dataclass
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.manifest.readers import root
from hpbuild.manifest.text_fields import read_id
from hpbuild.values import moment_text, parse_moment

if TYPE_CHECKING:
    from hpbuild.pipeline import BuildRequest, BuildResult, Work

LAST_SECOND = 253402300799
"""9999-12-31T23:59:59Z, the last time that RFC 3339 can write."""


def created_time() -> str:
    """SOURCE_DATE_EPOCH as RFC 3339 UTC, '' when unset (reproducible-builds.org specification).

    Raises HpbuildError HP9007 when it is not a whole number of seconds."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return ""
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= LAST_SECOND):
        raise HpbuildError(codes.BAD_ENVIRONMENT, "SOURCE_DATE_EPOCH", f"the value is {text[:40]!r}")
    return moment_text(datetime.fromtimestamp(int(text), UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a package stands in its release line; ``expiry`` is RFC 3339 UTC or ''."""

    id: str
    sequence: int
    supersedes: tuple[str, ...]
    expiry: str


def usage(cause: str) -> HpbuildError:
    """HP9001: the options of ``build`` do not go together."""
    return HpbuildError(codes.USAGE, "hpbuild build", cause)


def place_in_line(name: str, sequence: int, supersedes: Sequence[str], expires: str) -> Place:
    """The options that place a package in its line, looked at before the work begins.

    Raises HpbuildError: HP4014 for what is no id, HP4307 for a package that supersedes itself or another one
    twice, HP9001 for an expiry that is none or has passed by SOURCE_DATE_EPOCH, HP9007."""
    for option, values in (("--id", (name,)), ("--supersedes", supersedes)):
        for value in values:
            read_id(root(value, option))
    if name in supersedes or len(set(supersedes)) != len(supersedes):
        cause = "an id occurs twice, or it is the package's own"
        raise HpbuildError(SUPERSEDES_CONTRADICTS, "--supersedes", cause)
    return Place(
        id=name, sequence=sequence, supersedes=tuple(supersedes), expiry=expiry_time(expires, created_time())
    )


def expiry_time(expires: str, created: str) -> str:
    """The time that ``expires`` means, '' for '': RFC 3339 UTC in whole seconds, or a number of days after
    ``created`` (as ``created_time`` gives it). Never counted from the clock: the same inputs give the same
    package. Raises HpbuildError HP9001."""
    if not expires:
        return ""
    if not (expires.isascii() and expires.isdigit()):
        try:
            wanted = parse_moment(expires)
        except ValueError as error:
            raise usage(f"--expires: {error}, nor a number of days") from None
    elif not created:
        raise usage("--expires in days counts from SOURCE_DATE_EPOCH, which is not set")
    else:
        start = parse_moment(created)
        try:
            wanted = start + timedelta(days=int(expires[:10]))
        except OverflowError:
            raise usage(f"--expires: {expires[:20]} days are beyond the calendar") from None
    text = moment_text(wanted) if wanted.year > 999 else ""
    if not text or text <= created:
        raise usage(f"--expires: {expires[:20]} has passed when the package is made")
    return text


def _refuse_to_overwrite(out: Path, inputs: tuple[Path, ...]) -> None:
    """HpbuildError HP9001 when the output is one of the inputs: a slip that would destroy a build."""
    for path in inputs:
        if out.exists() and path.is_file() and out.samefile(path):
            raise HpbuildError(codes.USAGE, "hpbuild build", f"the output {out} is one of the inputs")


def _nothing(result: "BuildResult") -> str:
    """Why there is nothing to patch, in words."""
    lines = sum(diff.difference.summary.line_only for diff in result.diffs)
    if lines:
        return f"nothing but line numbers differ, in {lines} functions"
    return "no function differs from the baseline"


def write_package(
    request: "BuildRequest", place: Place, out: Path, output: Output, work: "Work", *, attach: bool
) -> int:
    """Build where ``work`` says, write the package whole or not at all, with its attachments if ``attach``,
    and report.
    HpbuildError HP9011 for nothing to patch."""
    from hpbuild.bundle.layout import ATTACHMENTS
    from hpbuild.bundle.output import write_atomic
    from hpbuild.bundle.reader import read_bundle
    from hpbuild.pipeline import assemble, build
    from hpbuild.report import build as report
    from hpbuild.report import prove as proof_report
    from hpbuild.values import Digest

    baseline, fixed = str(request.baseline), str(request.fixed)
    _refuse_to_overwrite(out, (request.baseline, request.fixed))
    with output.progress() as progress:
        result = build(request, progress, work)
    if result.refused or not all(proof.ok for proof in result.proofs):
        document = report.refused(baseline, fixed, result.diffs, result.proofs)
        output.emit(document, lambda entries: report.blocks(entries, full=output.full))
        return ExitStatus.NO
    if not result.members:
        raise HpbuildError(codes.NOTHING_TO_PATCH, fixed, _nothing(result))
    data = assemble(result, attach=attach, supersedes=place.supersedes, expiry=place.expiry)
    write_atomic(out, data)
    document = report.built(
        baseline,
        fixed,
        path=str(out),
        sha256=Digest.of(data).hex,
        size=len(data),
        manifest=result.manifest,
        proofs=[proof_report.proof(item) for item in result.proofs],
        attachments=[name for name in read_bundle(data).members if name.startswith(ATTACHMENTS)],
        supersedes=place.supersedes,
        expiry=place.expiry,
    )
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return ExitStatus.YES


def write_revert(reverted: Path, place: Place, reason: str, out: Path, output: Output) -> int:
    """Write the package that takes ``reverted`` back, and report. Raises HpbuildError HP9001 without a
    reason, and as ``make_revert``."""
    from hpbuild.bundle.output import write_atomic
    from hpbuild.bundle.reader import read_bundle, read_bundle_file
    from hpbuild.bundle.revert import make_revert
    from hpbuild.bundle.statement import decode_statement
    from hpbuild.report import build as report
    from hpbuild.values import Digest

    if not reason:
        raise usage("--revert needs --reason: why the package is taken back")
    _refuse_to_overwrite(out, (reverted,))
    data = make_revert(read_bundle_file(reverted), place.id, place.sequence, reason, place.expiry)
    write_atomic(out, data)
    statement = decode_statement(read_bundle(data, place=str(out)).statement)
    document = report.revert_built(str(reverted), str(out), Digest.of(data).hex, len(data), statement)
    output.emit(document, report.revert_blocks)
    return ExitStatus.YES
