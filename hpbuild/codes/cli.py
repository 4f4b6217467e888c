"""HP9xxx: the command line and the machine that it runs on."""

from hpbuild.errors import Code, ExitStatus, Severity

USAGE = Code(
    id="HP9001",
    title="the command line is not understood",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="A command that guesses what was meant may read or write the wrong file, so nothing was done.",
    remedy="Correct the command; `hpbuild COMMAND --help` lists its arguments and options.",
)
INTERRUPTED = Code(
    id="HP9002",
    title="interrupted",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The run was stopped before it had an answer, and no answer is never a yes: the status is 1. "
    "Output files appear whole or not at all, so nothing half-written is left under their names.",
    remedy="Run the command again.",
)
INTERNAL_ERROR = Code(
    id="HP9003",
    title="hpbuild met a situation that its authors did not foresee",
    severity=Severity.REFUSE,
    exit=ExitStatus.BUG,
    why="This is a defect of hpbuild, whatever the input was. The run has no result.",
    remedy="Run it again with HPBUILD_BUG_REPORT=FILE in the environment and send that file, and the input "
    "if it may be shared, to the maintainers.",
)
FILE_UNUSABLE = Code(
    id="HP9004",
    title="a named file or directory cannot be used",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="It does not exist, is of another kind than the command needs, or the account that runs hpbuild "
    "may not read or write it.",
    remedy="Check the spelling, the kind (file or directory) and the permissions of the path.",
)
NO_SPACE = Code(
    id="HP9005",
    title="no space left for the output",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="An output that is cut off could be taken for a whole one, so it counts as not written.",
    remedy="Free space where the output goes (or raise the quota) and run the command again.",
)
OUT_OF_MEMORY = Code(
    id="HP9006",
    title="not enough memory",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="The operating system gave no more memory. The run has no result.",
    remedy="Run it where more memory is free. A 100 MiB image needs up to about 3 GiB.",
)
BAD_ENVIRONMENT = Code(
    id="HP9007",
    title="an environment variable has an unusable value",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="The variable decides what is written; ignoring a wrong value would silently give another package.",
    remedy="Correct or unset the variable. SOURCE_DATE_EPOCH is a whole number of seconds since 1970-01-01, "
    "HPBUILD_CACHE_SIZE a whole number of MiB.",
)
NO_SUCH_NAME = Code(
    id="HP9008",
    title="nothing is known under this name",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="The table of codes and the set of schemas are part of hpbuild; another version may know others.",
    remedy="`hpbuild explain --all` lists every code, `hpbuild schema` every schema.",
)
NOT_REPRODUCED = Code(
    id="HP9009",
    title="the rebuilt package differs from the given one",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Either the package was not built from these two files, or it was built by another version of "
    "hpbuild or with other symbols, or its contents were changed after the build.",
    remedy="Compare the version in the package (`hpbuild inspect`) with `hpbuild --version`, and check that "
    "baseline, fixed and `--symbols` are those of the build. If they are, do not ship the package.",
)
UNKNOWN_KIND = Code(
    id="HP9010",
    title="neither a package nor a PE image",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="`inspect` chooses by the first bytes of the file: a package starts with a ZIP local header, an "
    "image with the DOS header.",
    remedy="Name a .hpb package, or an .exe, .dll or .sys file.",
)
NOTHING_TO_PATCH = Code(
    id="HP9011",
    title="there is nothing to patch",
    severity=Severity.REFUSE,
    exit=ExitStatus.NOT_APPLICABLE,
    why="No function differs between baseline and fixed, so a package would have no effect. "
    "`hpbuild diff` shows what differs outside the code, if anything.",
    remedy="Check that the right two builds were named. If they were, no package is needed.",
)
BASELINE_DIFFERS = Code(
    id="HP9012",
    title="the named file is not the build that the package is for",
    severity=Severity.REFUSE,
    exit=ExitStatus.NOT_APPLICABLE,
    why="The old side of a disassembly from another build would show code that the package does not replace.",
    remedy="Name the exact baseline file; `hpbuild inspect` shows its SHA-256.",
)
NO_PASSPHRASE = Code(
    id="HP9013",
    title="no passphrase for the private key",
    severity=Severity.REFUSE,
    exit=ExitStatus.UNAVAILABLE,
    why="The key is protected by a passphrase, or is to be, and hpbuild has no way to learn it.",
    remedy="Set HPBUILD_PASSPHRASE, or run the command on a terminal. For a new key without protection, "
    "say --no-passphrase.",
)
PART_UNREADABLE = Code(
    id="HP9014",
    title="a part of the package cannot be shown",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="The manifest speaks of bytes that the package does not hold, so what it would do cannot be told.",
    remedy="`hpbuild verify` says in full what is wrong with it; get the package again from its source.",
)
BAD_LIST = Code(
    id="HP9015",
    title="a list of functions cannot be read",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="An entry that is skipped would silently give another package.",
    remedy="A list is a text file in UTF-8 with one function a line: a name or an RVA (0x1234). Lines that "
    "begin with # and what follows white space and # are ignored.",
)

CHILD_MEMORY = Code(
    id="HP9016",
    title="reading the files took more memory than is allowed",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="Files from elsewhere are read in a process of its own whose memory is bounded, so that a hostile "
    "one cannot take the machine's. It reached the bound and has no result, which is never a yes.",
    remedy="If the files are known and large, raise --max-memory (MiB). Otherwise do not trust them.",
)
CHILD_PROCESSOR = Code(
    id="HP9017",
    title="reading the files took more processor time than is allowed",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="Files from elsewhere are read in a process of its own whose processor time is bounded, so that a "
    "hostile one cannot stop a machine or a pipeline. It reached the bound and has no result.",
    remedy="If the files are known and large, raise --max-cpu (seconds). Otherwise do not trust them.",
)
CHILD_CLOCK = Code(
    id="HP9018",
    title="reading the files took longer than is allowed",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="The process that reads files from elsewhere was not done in time, by the clock, and was ended. It "
    "has no result.",
    remedy="If the files lie on a slow disk or network, raise --max-seconds, or copy them to a local disk "
    "first.",
)
CHILD_CRASHED = Code(
    id="HP9019",
    title="the process that read the files ended without an answer",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="A reader crashed on the files, or somebody ended it: the system does that when memory runs out. "
    "Nothing is known about the files.",
    remedy="Run it again with more free memory. If it crashes again, do not trust the files, and report "
    "them to the maintainers if they may be shared.",
)
CHILD_ANSWER = Code(
    id="HP9020",
    title="the answer of the process that read the files cannot be used",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="The answer is a bounded JSON document and is read as strictly as a package. One that is larger or "
    "malformed may come from a reader that a file has taken over.",
    remedy="Do not trust the files, and report them to the maintainers if they may be shared.",
)

ROWS: tuple[Code, ...] = (
    USAGE,
    INTERRUPTED,
    INTERNAL_ERROR,
    FILE_UNUSABLE,
    NO_SPACE,
    OUT_OF_MEMORY,
    BAD_ENVIRONMENT,
    NO_SUCH_NAME,
    NOT_REPRODUCED,
    UNKNOWN_KIND,
    NOTHING_TO_PATCH,
    BASELINE_DIFFERS,
    NO_PASSPHRASE,
    PART_UNREADABLE,
    BAD_LIST,
    CHILD_MEMORY,
    CHILD_PROCESSOR,
    CHILD_CLOCK,
    CHILD_CRASHED,
    CHILD_ANSWER,
)
