"""Whether the program did what it should. Pure."""

import re

from hpbuild.apply.rehearse.model import End, Ending, Expectation
from hpbuild.codes import rehearse as codes
from hpbuild.errors import Finding, HpbuildError

LOW_BITS = 0xFF
"""What a Unix system keeps of an exit status."""


def compiled(pattern: str) -> re.Pattern[str]:
    """The expected pattern. Raises HpbuildError HP7407."""
    try:
        return re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise HpbuildError(codes.BAD_PATTERN, pattern, str(error)) from error


def contains(pattern: str, output: bytes) -> bool:
    """True when the output, read as UTF-8 with Unix or Windows line ends, has a match of ``pattern``."""
    text = output.decode("utf-8", "replace").replace("\r\n", "\n")
    return compiled(pattern).search(text) is not None


def judge(
    wanted: Expectation, ending: Ending, output: bytes, reference: bytes | None, place: str
) -> tuple[Finding, ...]:
    """What is wrong with the run, nothing when it was as it should be. ``reference`` is the output of the run
    without the package, None when none was made; ``place`` names the program."""
    found: list[Finding] = []
    if ending.end is End.BY_REHEARSAL and wanted.needs_end:
        found.append(Finding(codes.STILL_RUNNING, place, "it was ended by the rehearsal"))
    elif ending.end is End.BY_ITSELF and not _same_status(wanted.exit_status or 0, ending.status):
        cause = f"it ended with {described(ending.status)}, not {wanted.exit_status or 0}"
        found.append(Finding(codes.WRONG_EXIT, place, cause))
    if wanted.pattern is not None and not contains(wanted.pattern, output):
        found.append(Finding(codes.OUTPUT_LACKS, place, f"{len(output)} bytes without {wanted.pattern!r}"))
    if reference is not None and output != reference:
        found.append(Finding(codes.OUTPUT_DIFFERS, place, first_difference(output, reference)))
    return tuple(found)


def described(status: int | None) -> str:
    """An exit status in words."""
    if status is None:
        return "none"
    return f"signal {-status}" if status < 0 else f"status {status}"


def _same_status(wanted: int, found: int | None) -> bool:
    """Unix systems, and Wine on them, keep the low 8 bits only."""
    if found is None or found < 0:
        return False
    return wanted == found or (found <= LOW_BITS and wanted & LOW_BITS == found and wanted > LOW_BITS)


def first_difference(output: bytes, reference: bytes) -> str:
    """Where two outputs part, in words."""
    pairs = zip(output, reference, strict=False)
    at = next((index for index, (left, right) in enumerate(pairs) if left != right), None)
    if at is None:
        return f"{len(output)} bytes, without the package {len(reference)}; equal up to the shorter one's end"
    line = reference[:at].count(b"\n") + 1
    ours, theirs = output[at : at + 20], reference[at : at + 20]
    return f"first at byte {at}, line {line}: {ours!r}, without the package {theirs!r}"
