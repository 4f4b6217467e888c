"""HP7350 to HP7399: starting the live agent beside a process and working with it."""

from hpbuild.errors import Code, ExitStatus, Severity


def _refuse(number: int, status: ExitStatus, title: str, why: str, remedy: str) -> Code:
    """Row that refuses."""
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


WINE_MISSING = _refuse(
    7350, ExitStatus.UNAVAILABLE, "no Wine was found",
    "On Linux a Windows program runs under Wine, and the agent has to be started by the same Wine.",
    "Install Wine (Debian: `apt-get install wine wine64`), or put `wine` into the PATH.",
)  # fmt: skip
AGENT_MISSING = _refuse(
    7351, ExitStatus.UNAVAILABLE, "the live agent was not built",
    "The agent is a program of its own. A wheel of hpbuild contains it; a checkout has to build it.",
    "Run `make agent`, or install hpbuild from a wheel.",
)  # fmt: skip
FOREIGN_USER = _refuse(
    7352, ExitStatus.UNAVAILABLE, "the process belongs to another user",
    "Nobody but its own user and the administrator may read or change a process.",
    "Run hpbuild as the user of the process, or as administrator.",
)  # fmt: skip
COURIER_FAILED = _refuse(
    7353, ExitStatus.UNAVAILABLE, "the agent's courier did not run or ended without an answer",
    "Without its answer it is not known what happened in the process. The process is wholly old or wholly "
    "new, whatever became of the courier.",
    "`hpbuild status --pid N` tells which. Look at what the courier wrote, then run the command again.",
)  # fmt: skip
COURIER_SILENT = _refuse(
    7354, ExitStatus.UNAVAILABLE, "the agent's courier did not answer in time",
    "A process that is stopped, or whose machine is overloaded, may take long. The wait is limited so that "
    "no release gate hangs. The process is wholly old or wholly new.",
    "`hpbuild status --pid N` tells which; then run the command again.",
)  # fmt: skip
SYSTEM_UNSUPPORTED = _refuse(
    7355, ExitStatus.UNAVAILABLE, "live work is possible on Windows, and on Linux with Wine",
    "A Windows process exists only there.",
    "Run the command there; `hpbuild apply --offline` works everywhere.",
)  # fmt: skip
FILE_UNKNOWN = _refuse(
    7362, ExitStatus.NOT_APPLICABLE, "the file behind a loaded module cannot be read",
    "The process's memory is compared with the file that it was loaded from, byte for byte.",
    "Put the file back to where the process found it, or restart the program.",
)  # fmt: skip
FILE_NOT_BASELINE = _refuse(
    7363, ExitStatus.NOT_APPLICABLE, "the file behind a loaded module is another build than the package's",
    "The file was replaced after the process had loaded it, or the package is for another build.",
    "Get the package for the installed build; `hpbuild verify --installed` says what differs. After an "
    "update of the file, restart the program.",
)  # fmt: skip
LOADED_LATER = _refuse(
    7364, ExitStatus.NOT_APPLICABLE, "the package is in effect in some of its modules and not in others",
    "A module was loaded after the package had been applied. Its old code runs beside the new code of the "
    "others.",
    "Revert the package and apply it again: `hpbuild revert X.hpb --pid N`, `hpbuild apply X.hpb --pid N`.",
)  # fmt: skip
MEMORY_DISAGREES = _refuse(
    7365, ExitStatus.NO, "the agent has done its work, and the process's memory does not show it",
    "What was read afterwards, from outside, is neither the old code nor the new code of the package. "
    "Somebody else changes the process too.",
    "`hpbuild verify X.hpb --pid N` names the bytes. Restart the program before it is trusted again.",
)  # fmt: skip
NOT_IN_EFFECT = _refuse(
    7366, ExitStatus.NOT_APPLICABLE, "the package is not in effect in the process",
    "There is nothing to revert.",
    "`hpbuild status --pid N` says which packages are.",
)  # fmt: skip

ROWS: tuple[Code, ...] = (
    WINE_MISSING,
    AGENT_MISSING,
    FOREIGN_USER,
    COURIER_FAILED,
    COURIER_SILENT,
    SYSTEM_UNSUPPORTED,
    FILE_UNKNOWN,
    FILE_NOT_BASELINE,
    LOADED_LATER,
    MEMORY_DISAGREES,
    NOT_IN_EFFECT,
)
