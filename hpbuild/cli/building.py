"""Steps of ``build`` between the command line and the pipeline."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hpbuild.cli.output import Output
from hpbuild.codes import cli as codes
from hpbuild.errors import ExitStatus, HpbuildError

if TYPE_CHECKING:
    from hpbuild.pipeline import BuildRequest, BuildResult

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
    return datetime.fromtimestamp(int(text), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refuse_to_overwrite(out: Path, inputs: tuple[Path, Path]) -> None:
    """HpbuildError HP9001 when the output is one of the inputs: a slip that would destroy a build."""
    for path in inputs:
        if out.exists() and path.is_file() and out.samefile(path):
            raise HpbuildError(codes.USAGE, "hpbuild build", f"the output {out} is one of the two builds")


def _nothing(result: "BuildResult") -> str:
    """Why there is nothing to patch, in words."""
    lines = sum(diff.difference.summary.line_only for diff in result.diffs)
    if lines:
        return f"nothing but line numbers differ, in {lines} functions"
    return "no function differs from the baseline"


def write_package(request: "BuildRequest", out: Path, output: Output) -> int:
    """Build, write the package whole or not at all, and report. HpbuildError HP9011 for nothing to patch."""
    from hpbuild.bundle.output import write_atomic
    from hpbuild.pipeline import assemble, build
    from hpbuild.report import build as report
    from hpbuild.report import prove as proof_report
    from hpbuild.values import Digest

    baseline, fixed = str(request.baseline), str(request.fixed)
    _refuse_to_overwrite(out, (request.baseline, request.fixed))
    with output.progress() as progress:
        result = build(request, progress)
    if result.refused or not all(proof.ok for proof in result.proofs):
        document = report.refused(baseline, fixed, result.diffs, result.proofs)
        output.emit(document, lambda entries: report.blocks(entries, full=output.full))
        return ExitStatus.NO
    if not result.members:
        raise HpbuildError(codes.NOTHING_TO_PATCH, fixed, _nothing(result))
    data = assemble(result)
    write_atomic(out, data)
    document = report.built(
        baseline,
        fixed,
        path=str(out),
        sha256=Digest.of(data).hex,
        size=len(data),
        manifest=result.manifest,
        proofs=[proof_report.proof(item) for item in result.proofs],
    )
    output.emit(document, lambda entries: report.blocks(entries, full=output.full))
    return ExitStatus.YES
