"""Every error that ends a run, as the finding that is shown for it."""

import errno
import os

from hpbuild.errors import Finding, HpbuildError

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from pathlib import Path


def finding_of(error: Exception) -> Finding:
    """The finding of ``error``: its own, that of a file or a full disk, or that of a defect of hpbuild."""
    from hpbuild.codes import cli as codes

    if isinstance(error, HpbuildError):
        return error.finding
    if isinstance(error, MemoryError):
        return Finding(codes.OUT_OF_MEMORY, "hpbuild", "an allocation failed")
    return _os_finding(error) if isinstance(error, OSError) else _bug_finding(error)


def _os_finding(error: OSError) -> Finding:
    from hpbuild.cli.stdout import discard
    from hpbuild.codes import cli as codes

    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "stdout"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        if error.filename is None:
            discard()
        return Finding(codes.NO_SPACE, place, error.strerror or "no space left")
    if error.filename is None:
        return _bug_finding(error)
    return Finding(codes.FILE_UNUSABLE, place, error.strerror or type(error).__name__)


def _bug_finding(error: Exception) -> Finding:
    from hpbuild.codes import cli as codes

    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    from pathlib import Path

    place = "?" if frame is None else f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
    wanted = os.environ.get("HPBUILD_BUG_REPORT")
    cause = f"{type(error).__name__}: {error}"
    if wanted:
        cause += f" ({_write_report(Path(wanted), error)})"
    return Finding(codes.INTERNAL_ERROR, place, cause)


def _write_report(path: "Path", error: Exception) -> str:
    import platform
    import traceback

    from hpbuild import __version__

    head = f"hpbuild {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    try:
        path.write_text(head + "".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as failure:
        return f"no report: {failure.strerror}"
    return f"report in {path}"
