"""Codes of reading running processes and their dumps, HP7250 to HP7299."""

from hpbuild.errors import Code, ExitStatus, Severity


def _refuse(number: int, status: ExitStatus, title: str, why: str, remedy: str) -> Code:
    """Row that refuses."""
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


NO_SUCH_PROCESS = _refuse(
    7250, ExitStatus.UNAVAILABLE, "there is no such process",
    "Nothing runs under this number, so nothing can be said about it.",
    "Give the number of the running process. Under Wine on Linux it is the Linux process id.",
)  # fmt: skip
PROCESS_FORBIDDEN = _refuse(
    7251, ExitStatus.UNAVAILABLE, "the process may not be looked at",
    "The system refused to hand out the memory of the process, so nothing is known about it.",
    "Run as the user who owns the process, or with the right to trace it (on Linux see the ptrace settings).",
)  # fmt: skip
NOT_A_WINDOWS_PROCESS = _refuse(
    7252, ExitStatus.NOT_APPLICABLE, "the process is no Windows process",
    "No thread of it has the block that every Windows thread has; packages are for Windows programs.",
    "Give the number of the Wine process that runs the program, not that of a launcher or a server.",
)  # fmt: skip
PROCESS_32_BIT = _refuse(
    7253, ExitStatus.NOT_APPLICABLE, "the process is a 32-bit process",
    "Packages are for x64 code.",
    "Give a process that runs the 64-bit program.",
)  # fmt: skip
PROCESS_GONE = _refuse(
    7254, ExitStatus.UNAVAILABLE, "the process ended while it was looked at",
    "What was read before belongs to a process that no longer exists.",
    "Start the program again and repeat.",
)  # fmt: skip
MEMORY_UNREADABLE = _refuse(
    7255, ExitStatus.UNAVAILABLE, "memory of the process cannot be read",
    "Nothing is mapped at an address that had to be looked at; what would be there is unknown.",
    "Repeat; the process may have been changing its mappings.",
)  # fmt: skip
LOADER_LIST = _refuse(
    7256, ExitStatus.MALFORMED, "the process's own list of modules makes no sense",
    "Which modules are loaded, and where, comes from this list; a damaged one leads to wrong places.",
    "Repeat; if it stays, the process is damaged or hides its modules.",
)  # fmt: skip
PROCESS_STARTING = _refuse(
    7257, ExitStatus.UNAVAILABLE, "the process is still starting",
    "Its list of modules is not there yet.",
    "Repeat in a moment.",
)  # fmt: skip
PROCESSES_NOT_HERE = _refuse(
    7258, ExitStatus.UNAVAILABLE, "processes cannot be read on this system",
    "Reading another process's memory is only known for Wine processes on Linux.",
    "Write a dump with full memory and verify it with --dump.",
)  # fmt: skip
DUMP_UNREADABLE = _refuse(
    7260, ExitStatus.UNAVAILABLE, "the dump cannot be read",
    "The file is missing, is no regular file, or the system refused to hand out its bytes.",
    "Give the path of a minidump that you may read.",
)  # fmt: skip
DUMP_MALFORMED = _refuse(
    7261, ExitStatus.MALFORMED, "the file is no usable minidump",
    "It does not begin as a minidump does, or a part of it leads outside the file or contradicts another.",
    "Write the dump again; give the dump itself, not an archive that holds it.",
)  # fmt: skip
DUMP_LIMIT = _refuse(
    7262, ExitStatus.LIMIT, "the dump lists more than is read",
    "Bounds keep a hostile dump from using up memory and time.",
    "Write the dump of one process only.",
)  # fmt: skip
DUMP_INCOMPLETE = _refuse(
    7263, ExitStatus.UNAVAILABLE, "the dump does not hold the memory in question",
    "Dumps are often written with a few pages only; what is missing is unknown and counts as nothing.",
    "Write the dump with full memory (MiniDumpWithFullMemory).",
)  # fmt: skip
MAPPED_IMAGE = _refuse(
    7264, ExitStatus.NOT_APPLICABLE, "the image in memory is not the one that the process lists",
    "Headers in memory and the process's list of modules disagree about where an image lies or how large it "
    "is, so its parts cannot be told.",
    "Look at what changed the headers of the module; restart the program.",
)  # fmt: skip
NOT_COMPARABLE = _refuse(
    7270, ExitStatus.NOT_APPLICABLE, "something that the new code refers to cannot be compared in memory",
    "The loader or the program's own start-up wrote there, so memory does not tell what the file has.",
    "Verify the installed file with --installed.",
)  # fmt: skip
FILE_BEHIND_OTHER = Code(
    id="HP7271", title="the file behind a module in memory is not the build that was looked for",
    severity=Severity.WARN, exit=ExitStatus.YES,
    why="The file was replaced or changed after the process had loaded it; the next start loads that one.",
    remedy="Verify the installed file with --installed.",
)  # fmt: skip
MODULE_AMBIGUOUS = _refuse(
    7272, ExitStatus.NOT_APPLICABLE, "the process has loaded several files with a module's name",
    "Nothing tells which of them the package is for.",
    "Make the program load one of them only.",
)  # fmt: skip
NONE_LOADED = _refuse(
    7273, ExitStatus.NOT_APPLICABLE, "the process has loaded none of the package's modules",
    "There was nothing to compare, and that is no success.",
    "Check the number of the process; a program may load the modules later. `hpbuild inspect` names them.",
)  # fmt: skip

ROWS: tuple[Code, ...] = (
    NO_SUCH_PROCESS,
    PROCESS_FORBIDDEN,
    NOT_A_WINDOWS_PROCESS,
    PROCESS_32_BIT,
    PROCESS_GONE,
    MEMORY_UNREADABLE,
    LOADER_LIST,
    PROCESS_STARTING,
    PROCESSES_NOT_HERE,
    DUMP_UNREADABLE,
    DUMP_MALFORMED,
    DUMP_LIMIT,
    DUMP_INCOMPLETE,
    MAPPED_IMAGE,
    NOT_COMPARABLE,
    FILE_BEHIND_OTHER,
    MODULE_AMBIGUOUS,
    NONE_LOADED,
)
