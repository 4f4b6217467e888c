"""Codes of patching a running process (HP73xx): first what the agent reports, then what its driver does."""

from hpbuild.errors import Code, ExitStatus, Severity

_RESTART = "Restart the program with the updated file when it is convenient."
_OR_RESTART = "or restart the program with the updated file."
_DEFECT = "This is a defect of hpbuild: report it with the package and the agent's answer."


def _row(number: int, title: str, why: str, remedy: str, exit_: ExitStatus = ExitStatus.NO) -> Code:
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=exit_, why=why, remedy=remedy)


BUSY = _row(
    7300,
    "another command is at work in the process",
    "Two packages written at once could leave the process half with one and half with the other.",
    "Wait until the other apply or revert has ended, look with `status`, and try again.",
    ExitStatus.UNAVAILABLE,
)
BAD_ORDER = _row(
    7301,
    "the agent does not accept the order",
    "The agent believes nothing it is handed: an order that contradicts itself is not carried out.",
    _DEFECT,
    ExitStatus.BUG,
)
IMAGE_HASH = _row(
    7302,
    "the patch image that reached the process is not the one that was verified",
    "Code that nobody vouched for would be put into the process.",
    "Fetch the package again; if it happens again, look for what changes files on this machine.",
)
MODULE_MISSING = _row(
    7303,
    "the process has not loaded the module",
    "There is nothing to patch where the package's file is not in use.",
    "Nothing to do for this process: it will load the file as it is on disk.",
    ExitStatus.NOT_APPLICABLE,
)
PIN_DIFFERS = _row(
    7304,
    "the loaded module is another build",
    "The package was made for one build of the file; in any other its bytes would land somewhere else.",
    "Choose the package made for the build that is loaded; the file on disk may be newer than the process.",
    ExitStatus.NOT_APPLICABLE,
)
CODE_DIFFERS = _row(
    7305,
    "the module's code in memory is not that of its file",
    "Something changed the code that the new functions replace or rely on; what they would do is unknown.",
    "Find out what writes into the program (security products, debuggers, other patches), " + _OR_RESTART,
)
HOOKED = _row(
    7306,
    "another program has redirected a function",
    "Both cannot own the same entry: overwriting the other's jump would switch it off without a word.",
    "The message names the module that the jump leads to. Take that hook off, or restart the program with "
    "the updated file.",
)
WINDOWS_HOTPATCH = _row(
    7307,
    "Windows itself has hotpatched a function",
    "Windows keeps its own list of what it redirected, and "
    "would undo or repeat it whatever this package does.",
    "Leave the module to Windows' own servicing.",
)
NO_ROOM = _row(
    7308,
    "there is no free address space within 2 GiB above the module",
    "New code must lie where the module's 32-bit displacements reach it.",
    _RESTART,
)
PROTECT_FAILED = _row(
    7309,
    "the protection of a page could not be changed",
    "Something forbids writing code in this process (a policy against dynamic code, a security product); "
    "every byte that had been written was put back.",
    "Allow it for this process, " + _OR_RESTART,
)
UNWIND_FAILED = _row(
    7310,
    "the unwind tables of the new code were not accepted",
    "An exception that passes through the new code would end the process.",
    _RESTART,
)
CALL_TARGETS_FAILED = _row(
    7311,
    "Control Flow Guard did not accept the new functions as call targets",
    "The first indirect call of a new function would end the process.",
    _RESTART,
)
THREAD_IN_WINDOW = _row(
    7312,
    "a thread stands inside the bytes that a redirection needs",
    "It would go on in the middle of a jump. The agent waited for it to leave, then put everything back.",
    "Try again; if the thread stays there (a debugger or another tool may hold it), "
    + _RESTART[0].lower()
    + _RESTART[1:],
)
WINDOW_HAS_CALL = _row(
    7313,
    "a call returns into the bytes that a redirection needs",
    "A thread that has not returned from it yet would come back into the middle of a jump.",
    "The function cannot be redirected in a running process. " + _RESTART,
)
REREAD_DIFFERS = _row(
    7314,
    "what was written is not what is read back",
    "Something else writes to the same bytes at the same time; every byte of the package was put back.",
    "Find out what writes into the program (security products, debuggers, other patches) and try again.",
)
OLDER_SEQUENCE = _row(
    7315,
    "a newer package of the same product is active",
    "An older package would bring back what the newer one fixed.",
    "Nothing to do; to go back on purpose, revert the newer package first.",
    ExitStatus.NOT_APPLICABLE,
)
NOT_APPLIED = _row(
    7316,
    "the package is not active in this process",
    "There is nothing of it to take back.",
    "Look with `status` which packages are active.",
    ExitStatus.NOT_APPLICABLE,
)
FOUNDATION_MODULE = _row(
    7317,
    "the agent stands on this module itself",
    "While a page of ntdll, kernel32 or kernelbase is being written the agent could not run either.",
    _RESTART,
)
INJECTION_FAILED = _row(
    7318,
    "the agent could not be loaded into the process",
    "Without it nothing can be changed, and nothing was.",
    "Run with the rights of the process's owner; programs that forbid foreign libraries cannot be patched "
    "live.",
    ExitStatus.UNAVAILABLE,
)
NO_SUCH_PROCESS = _row(
    7319,
    "there is no such process, or it may not be opened",
    "Nothing was changed.",
    "Check the process id, and run with the rights of the process's owner.",
    ExitStatus.UNAVAILABLE,
)
WRONG_ARCHITECTURE = _row(
    7320,
    "the process does not run x64 code",
    "Packages hold code for 64-bit x86 processes.",
    "Choose the package for the program's architecture.",
    ExitStatus.NOT_APPLICABLE,
)
TIMEOUT = _row(
    7321,
    "the agent did not answer in time",
    "It may still be at work: it finishes, or puts everything back, whether anybody listens or not.",
    "Look with `status` until no command is at work; it says which package is active.",
    ExitStatus.UNAVAILABLE,
)
CANCELLED = _row(
    7322,
    "the command was withdrawn before it began",
    "The process started no thread for it in time (it may hold its loader lock); nothing was changed.",
    "Try again when the process does work.",
    ExitStatus.UNAVAILABLE,
)
PROCESS_GONE = _row(
    7323,
    "the process ended while the agent was at work",
    "A process that has ended is in no state at all; its files were not touched.",
    "Find out why it ended; if it crashes again with the package and not without it, report it.",
    ExitStatus.UNAVAILABLE,
)
BAD_REPLY = _row(
    7330,
    "the agent's answer cannot be read",
    "An answer that is not understood is not taken for success; the process may or may not be patched.",
    "Look with `status`. If the agent is from another release of hpbuild, use that release.",
    ExitStatus.MALFORMED,
)
BAD_JOURNAL = _row(
    7331,
    "the agent's journal in the process cannot be read",
    "Which package is active cannot be told from it.",
    "Use the release of hpbuild that applied the package, or `verify --pid`, which compares the code itself.",
    ExitStatus.MALFORMED,
)

SLUGS: dict[str, Code] = {
    "busy": BUSY,
    "bad-order": BAD_ORDER,
    "image-hash": IMAGE_HASH,
    "module-missing": MODULE_MISSING,
    "pin-differs": PIN_DIFFERS,
    "code-differs": CODE_DIFFERS,
    "hooked": HOOKED,
    "windows-hotpatch": WINDOWS_HOTPATCH,
    "no-room": NO_ROOM,
    "protect-failed": PROTECT_FAILED,
    "unwind-failed": UNWIND_FAILED,
    "call-targets-failed": CALL_TARGETS_FAILED,
    "thread-in-window": THREAD_IN_WINDOW,
    "window-has-call": WINDOW_HAS_CALL,
    "reread-differs": REREAD_DIFFERS,
    "older-sequence": OLDER_SEQUENCE,
    "not-applied": NOT_APPLIED,
    "foundation-module": FOUNDATION_MODULE,
    "injection-failed": INJECTION_FAILED,
    "no-such-process": NO_SUCH_PROCESS,
    "wrong-architecture": WRONG_ARCHITECTURE,
    "timeout": TIMEOUT,
    "cancelled": CANCELLED,
    "process-gone": PROCESS_GONE,
}
"""What the agent calls an error (field ``error`` of its answers) -> its row."""

ROWS = tuple(row for row in tuple(globals().values()) if isinstance(row, Code))
