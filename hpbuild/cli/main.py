"""The entry point: run a command, turn every outcome into text or JSON and an exit status.

Whatever needs time to be imported is imported inside of functions: so Ctrl-C is handled from the first
moment on, and answers that are ready beforehand (``ready``) come at once.
"""

import atexit
import gc
import io
import os
import sys

from hpbuild.cli.heap import prepare_heap
from hpbuild.cli.piece import CHILD_VARIABLE
from hpbuild.cli.ready import ready_text

_OBJECTS = 200_000
"""How many more objects there are until Python looks for cycles among them. It would look a hundred times
while modules are imported, and find nothing."""

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from hpbuild.errors import Finding


def run() -> None:
    """Run ``hpbuild`` with the arguments of the process and end the process."""
    gc.set_threshold(_OBJECTS)
    _open_standard_streams()
    os.environ.pop(CHILD_VARIABLE, None)  # a parent sets it by another entrance
    arguments = sys.argv[1:]
    try:
        status = _status(arguments)
        if "enum" in sys.modules:  # otherwise the answer was ready, and the end will not take long
            _heed_no_more()
    except KeyboardInterrupt:
        _heed_no_more()  # a second press changes nothing
        status = _interrupted(arguments)
        # CPython 3.11 notes an interruption that leaves exec(), inside of a dataclass for one, for one that
        # nobody handled and ends by the signal whatever sys.exit says.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                continue  # nowhere to say it; the status remains
        os._exit(status)
    _leave(status)


def _leave(status: int) -> None:
    """End the process: all that is registered for its end is done, and what it wrote is out. To give back its
    memory piece by piece, as the interpreter would do, takes longer than some commands."""
    gc.freeze()  # in any case, the interpreter would look for cycles twice, and nothing is left to be found
    threading = sys.modules.get("threading")
    alone = threading is None or threading.active_count() == 1
    watched = sys.flags.interactive or sys.getprofile() is not None or sys.gettrace() is not None
    if alone and not watched:
        try:
            atexit._run_exitfuncs()  # as multiprocessing does before os._exit
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            sys.exit(status)  # the interpreter tells what it cannot write
        os._exit(status)
    sys.exit(status)


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


def _nowhere() -> io.TextIOWrapper:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - without pathlib


def main(arguments: list[str]) -> int:
    """Run one command line; the exit status (design, section 8). Raises nothing but SystemExit, which
    only typer's own completion options use."""
    try:
        return _status(arguments)
    except KeyboardInterrupt:
        return _interrupted(arguments)


def _status(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return _outcome(arguments)


def _interrupted(arguments: list[str]) -> int:
    from hpbuild.codes.cli import INTERRUPTED
    from hpbuild.errors import Finding

    return _fail(arguments, Finding(INTERRUPTED, "hpbuild", "stopped by the user (Ctrl-C, SIGINT)"))


def _outcome(arguments: list[str]) -> int:
    try:
        text = ready_text(arguments)
        return _run(arguments) if text is None else _show(text)
    except Exception as error:  # noqa: BLE001 - keeps tracebacks from users
        from hpbuild.cli.outcome import finding_of

        return _fail(arguments, finding_of(error))


def _heed_no_more() -> None:
    """Be deaf to Ctrl-C from now on, while the interpreter ends too."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(arguments: list[str]) -> int:
    # numpy's library for linear algebra, which nobody here uses, starts a thread for each processor, with its
    # memory, when it is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    prepare_heap(arguments)
    from hpbuild.cli.quick import quick_run

    run = quick_run(arguments)
    if run is not None:
        return run()
    from hpbuild.cli.app import dispatch

    return dispatch(arguments)


def _show(text: str) -> int:
    from hpbuild.cli.stdout import write_text

    write_text(text)
    return 0


def _fail(arguments: list[str], finding: "Finding") -> int:
    """Show the finding as the run's outcome. In JSON mode it goes to stdout, as every result does."""
    from hpbuild.cli.stdout import discard, write_text
    from hpbuild.report import error as report
    from hpbuild.report import plain
    from hpbuild.report.document import json_text

    try:
        if wants_json(arguments):
            write_text(json_text(report.document(finding)))
        else:
            sys.stderr.write(plain.render(report.blocks(finding)))
    except OSError:
        discard()  # nowhere to say it; the status remains
    return int(finding.code.exit)


def wants_json(arguments: list[str]) -> bool:
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
