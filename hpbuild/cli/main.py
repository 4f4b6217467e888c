"""The entry point: run a command, turn every outcome into text or JSON and an exit status.

typer is imported inside ``run`` so that Ctrl-C is handled from the first moment on.
"""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from hpbuild.errors import Finding, HpbuildError


def run() -> None:
    """Run ``hpbuild`` with the arguments of the process and end the process."""
    _open_standard_streams()
    sys.exit(main(sys.argv[1:]))


def _open_standard_streams() -> None:
    """Lead streams that were closed before the start (``>&-``) nowhere. Otherwise the next file that is
    opened, a package perhaps, would get the number of stdout and whatever is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run one command line; the exit status (design, section 8). Raises nothing but SystemExit, which
    only typer's own completion options use."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _outcome(arguments)
    except KeyboardInterrupt:
        from hpbuild.codes.cli import INTERRUPTED

        return _fail(arguments, Finding(INTERRUPTED, "hpbuild", "stopped by the user (Ctrl-C, SIGINT)"))


def _outcome(arguments: Sequence[str]) -> int:
    from hpbuild.cli.app import dispatch
    from hpbuild.codes import cli as codes

    try:
        return dispatch(arguments)
    except HpbuildError as error:
        return _fail(arguments, error.finding)
    except MemoryError:
        return _fail(arguments, Finding(codes.OUT_OF_MEMORY, "hpbuild", "an allocation failed"))
    except OSError as error:
        return _fail(arguments, _os_finding(error))
    except Exception as error:  # noqa: BLE001 - the one place that keeps tracebacks from users
        return _fail(arguments, _bug_finding(error))


def _os_finding(error: OSError) -> Finding:
    from hpbuild.cli.output import discard
    from hpbuild.codes import cli as codes

    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "stdout"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        if error.filename is None:
            discard(sys.stdout)
        return Finding(codes.NO_SPACE, place, error.strerror or "no space left")
    if error.filename is None:
        return _bug_finding(error)
    return Finding(codes.FILE_UNUSABLE, place, error.strerror or type(error).__name__)


def _bug_finding(error: Exception) -> Finding:
    from hpbuild.codes import cli as codes

    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = "?" if frame is None else f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
    wanted = os.environ.get("HPBUILD_BUG_REPORT")
    cause = f"{type(error).__name__}: {error}"
    if wanted:
        cause += f" ({_write_report(Path(wanted), error)})"
    return Finding(codes.INTERNAL_ERROR, place, cause)


def _write_report(path: Path, error: Exception) -> str:
    import platform
    import traceback

    from hpbuild import __version__

    head = f"hpbuild {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    try:
        path.write_text(head + "".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as failure:
        return f"no report: {failure.strerror}"
    return f"report in {path}"


def _fail(arguments: Sequence[str], finding: Finding) -> int:
    """Show the finding as the run's outcome. In JSON mode it goes to stdout, as every result does."""
    from hpbuild.cli.output import discard, write_text
    from hpbuild.report import error as report
    from hpbuild.report import plain
    from hpbuild.report.document import json_text

    try:
        if wants_json(arguments):
            write_text(json_text(report.document(finding)))
        else:
            sys.stderr.write(plain.render(report.blocks(finding)))
    except OSError:
        discard(sys.stdout)  # nowhere to say it; the status remains
    return int(finding.code.exit)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the command line or the environment asks for JSON; needed when parsing itself failed."""
    asked = os.environ.get("HPBUILD_FORMAT", "")
    words = [word.upper() for word in arguments if word.isidentifier()]
    for count in (1, 2):
        asked = os.environ.get(f"HPBUILD_{'_'.join(words[:count])}_FORMAT", asked)
    for position, word in enumerate(arguments):
        if word == "--":
            break
        if word == "--format" and position + 1 < len(arguments):
            asked = arguments[position + 1]
        elif word.startswith("--format="):
            asked = word.partition("=")[2]
    return asked == "json"
