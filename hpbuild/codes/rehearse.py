"""HP7400 to HP7449: rehearsing a package on a program that runs."""

from hpbuild.errors import Code, ExitStatus, Severity


def _refuse(number: int, status: ExitStatus, title: str, why: str, remedy: str) -> Code:
    """Row that refuses."""
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


CANNOT_START = _refuse(
    7400, ExitStatus.USAGE, "the program could not be started",
    "Nothing was rehearsed.",
    "Check the command behind `--`: the path of the program, and that it may be executed. On Linux a .exe "
    "is started through Wine, anything else as it is.",
)  # fmt: skip
NEVER_LOADED = _refuse(
    7401, ExitStatus.NOT_APPLICABLE, "the program did not load any of the package's modules in time",
    "A package is rehearsed in a process that runs its modules.",
    "Give the program work that makes it load them, or more time with --load-limit.",
)  # fmt: skip
ENDED_EARLY = _refuse(
    7402, ExitStatus.NO, "the program ended before the rehearsal was over",
    "Not every round was made, so less was shown than was asked for.",
    "When it ended by itself, give it more work or ask for fewer --rounds. When it should not have ended, "
    "look at its output.",
)  # fmt: skip
WRONG_EXIT = _refuse(
    7403, ExitStatus.NO, "the program ended with another exit status than it should",
    "A program that fails while it is patched may fail because of the patch.",
    "Look at its output, and run it once without the package. --expect-exit says which status is right.",
)  # fmt: skip
OUTPUT_DIFFERS = _refuse(
    7404, ExitStatus.NO, "the program's output differs from that of a run without the package",
    "The package changed what the program says, or the output is different in every run.",
    "Compare the two files. When the fix should change the output, use --expect-output instead.",
)  # fmt: skip
OUTPUT_LACKS = _refuse(
    7405, ExitStatus.NO, "the program's output does not have what it should have",
    "The pattern of --expect-output was found nowhere in it.",
    "Look at the output file; try the pattern with Python's `re.search`, flag MULTILINE.",
)  # fmt: skip
STILL_RUNNING = _refuse(
    7406, ExitStatus.NO, "the program did not end in time",
    "Its exit status, or its whole output, was asked for. It hangs, or it needs longer.",
    "Give it more time with --limit, or leave --expect-exit and --same-output away for a program that "
    "serves without end.",
)  # fmt: skip
BAD_PATTERN = _refuse(
    7407, ExitStatus.USAGE, "the pattern of --expect-output is not a regular expression",
    "Nothing was rehearsed.",
    "Write it as Python's `re` understands it, and quote it for the shell.",
)  # fmt: skip
REFERENCE_FAILED = _refuse(
    7408, ExitStatus.NO, "the run without the package gave nothing to compare with",
    "--same-output compares with a whole run of the unpatched program, which did not end well by itself.",
    "Run the command on its own first, and give it more time with --limit when it needs it.",
)  # fmt: skip
NO_OUTPUT_FOLDER = _refuse(
    7409, ExitStatus.USAGE, "the folder for the program's output cannot be used",
    "What the program says is part of the result and must not be lost.",
    "Name a folder that can be written, or none: then a new one is made.",
)  # fmt: skip
NOTHING_TO_REHEARSE = _refuse(
    7410, ExitStatus.NOT_APPLICABLE, "the program has the package already",
    "Its files were patched before, so there is no old code that could be patched while it runs.",
    "Rehearse with the unpatched files of the baseline.",
)  # fmt: skip

ROWS: tuple[Code, ...] = (
    CANNOT_START,
    NEVER_LOADED,
    ENDED_EARLY,
    WRONG_EXIT,
    OUTPUT_DIFFERS,
    OUTPUT_LACKS,
    STILL_RUNNING,
    BAD_PATTERN,
    REFERENCE_FAILED,
    NO_OUTPUT_FOLDER,
    NOTHING_TO_REHEARSE,
)
