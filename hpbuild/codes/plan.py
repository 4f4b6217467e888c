"""Codes of the plan stage (HP30xx): what may not be hotpatched, and what the auditor should know."""

from hpbuild.errors import Code, ExitStatus, Severity

CHANGED_INITIALISER = Code(
    id="HP3001",
    title="the initial value of a writable variable changed",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The running process owns the variable: its value may have changed since the start, so writing the"
    " new initial value would destroy state, and leaving the old one would run new code on old data.",
    remedy="Move the new value into code that runs (an explicit assignment in the fix), or ship this change"
    " with a restart.",
)
NEW_IMPORT = Code(
    id="HP3002",
    title="the fix calls an imported function that the baseline does not import",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The loader resolved the baseline's imports when the process started; nothing fills a new slot.",
    remedy="Reach the function through one that is imported already, or ship this change with a restart.",
)
AMBIGUOUS_VARIABLE = Code(
    id="HP3003",
    title="a writable variable may be new or an existing one",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="If it is an existing variable, a second copy would split the program's state in two; if it is new,"
    " using an old address would overwrite other data. The binaries alone do not decide it.",
    remedy="Give the symbols of both images (--symbols), which name their variables.",
)
FOLDED_FUNCTION = Code(
    id="HP3004",
    title="one baseline entry serves several functions that differ in the fixed image",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The linker folded identical functions into one; redirecting its entry would change all of them.",
    remedy="Link the baseline without identical code folding for this function, or ship with a restart.",
)
NO_ROOM = Code(
    id="HP3005",
    title="no redirection fits at the entry of a changed function",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The jump to the new code needs two bytes behind five of filler, or five bytes that nothing else"
    " jumps into. Without it old code would go on running, or a thread would run half an instruction.",
    remedy="Build the baseline with padding before functions (/FUNCTIONPADMIN or -fms-hotpatch), or ship with"
    " a restart.",
)
EXCEPTION_DATA = Code(
    id="HP3006",
    title="exception data of a carried function is in a form that cannot be moved",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The function's language-specific exception data holds addresses in a form that is not understood;"
    " moved wrongly, the first exception through the new code would crash the process.",
    remedy="Ship this change with a restart.",
)
THREAD_LOCAL = Code(
    id="HP3007",
    title="the layout or initial value of thread-local data changed",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Threads that run already have their copy in the old layout; new code would read beside its"
    " variables.",
    remedy="Keep thread-local variables as they are in the fix, or ship with a restart.",
)
UNRESOLVED = Code(
    id="HP3008",
    title="carried code refers to something that has no counterpart in the baseline",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The address means something in the fixed image that cannot be found in the baseline; guessing would"
    " make new code read or call the wrong thing.",
    remedy="Look at the place with `diff --format json`; give symbols, or ship with a restart.",
)
STALE_POINTER = Code(
    id="HP3009",
    title="a writable variable holds the address of data that changed",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The process keeps the pointer it started with, so unchanged code would go on using the old data.",
    remedy="Ship this change with a restart.",
)
CODE_AS_DATA = Code(
    id="HP3010",
    title="a carried function contains bytes that are neither code nor a known table",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Moving bytes that are not understood may break addresses hidden in them.",
    remedy="Give symbols, or ship this change with a restart.",
)
UNSEEN_ADDRESS = Code(
    id="HP3011",
    title="data of the fixed image differs in a way that looks like addresses without relocations",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The differing words all moved by one distance: they may be offsets to places that lie elsewhere in"
    " the fixed image. A verbatim copy would point nowhere.",
    remedy="Give symbols, or ship this change with a restart.",
)
LOOP_AT_ENTRY = Code(
    id="HP3012",
    title="code inside a changed function jumps back to its entry",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="A thread inside the old body would jump into the new function in the middle of the old one's work.",
    remedy="Ship this change with a restart.",
)
SHORT_JUMP = Code(
    id="HP3013",
    title="a short jump leaves a function that must be carried",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="It reaches 127 bytes; from where the new code lies it cannot reach its target, and a longer jump"
    " would shift the code behind it.",
    remedy="Ship this change with a restart.",
)
RUNS_ON = Code(
    id="HP3014",
    title="a function that must be carried runs on into the code behind it",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Control passes its end without a jump: the two are one piece of code with two entries.",
    remedy="Ship this change with a restart.",
)
EXPORTED_DATA = Code(
    id="HP3015",
    title="exported data changed",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Other modules hold the baseline's address of it and would go on using the old content.",
    remedy="Ship this change with a restart.",
)

INITIALISER = Code(
    id="HP3020",
    title="the entry point of the image changed",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="It ran when the image was loaded and does not run again, apart from thread notifications.",
    remedy="Check that the fix does not depend on initialisation.",
)
EXPORTS_DIFFER = Code(
    id="HP3021",
    title="exports differ between baseline and fixed",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="A hotpatch does not change the export table: other modules cannot find a new export.",
    remedy="Declared as an exclusion in the manifest; ship with a restart if the fix needs it.",
)
RESOURCES_DIFFER = Code(
    id="HP3022",
    title="resources or version information differ",
    severity=Severity.NOTE,
    exit=ExitStatus.YES,
    why="A hotpatch does not deliver resources; the file's version stays that of the baseline.",
    remedy="Declared as an exclusion in the manifest.",
)
REMOVED_FUNCTIONS = Code(
    id="HP3023",
    title="functions of the baseline are gone in the fixed image",
    severity=Severity.NOTE,
    exit=ExitStatus.YES,
    why="They stay in memory; nothing that the package carries calls them.",
    remedy="Nothing to do.",
)
UNUSED_ADDITIONS = Code(
    id="HP3024",
    title="code or data of the fixed image that nothing carried uses is left out",
    severity=Severity.NOTE,
    exit=ExitStatus.YES,
    why="It cannot be reached from the functions that the package carries.",
    remedy="Declared as an exclusion in the manifest.",
)
LINE_ONLY = Code(
    id="HP3026",
    title="functions that differ by line numbers alone are left as they are",
    severity=Severity.NOTE,
    exit=ExitStatus.YES,
    why="Moving code within its source file changes the line numbers that assertions and messages report. "
    "The old function does the same and reports the lines of the baseline's source.",
    remedy="Declared as exclusions in the manifest, each line number by its place; the proof lets nothing "
    "else differ.",
)
WEAK_PAIR = Code(
    id="HP3025",
    title="a changed function was paired by similarity alone",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="Neither names nor references nor position say that the two are one function.",
    remedy="Review the pair with `inspect --asm`, or give symbols.",
)

FILE_AND_TREE = Code(
    id="HP3030",
    title="a file is compared with a directory",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="A package is made from two files or from two release trees.",
    remedy="Name two files, or two directories.",
)
FILE_ADDED = Code(
    id="HP3031",
    title="the fixed release has a file that the baseline lacks",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="A running process has not loaded it, and a hotpatch installs no files; the fix may depend on it.",
    remedy="Install the file by other means and leave it out of the fixed tree, or ship with a restart.",
)

NOTHING_SELECTED = Code(
    id="HP3070",
    title="a listed function has nothing to deliver",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="It is the same in both images, or gone, or new and unused: the list was made for other builds, or"
    " the fix is not where it is believed to be.",
    remedy="Look at it with `hpbuild diff --explain-function NAME`, and take it from the list.",
)
NOT_CLOSED = Code(
    id="HP3071",
    title="the list of functions is not closed",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="What is carried and this function belong together, and it is not listed. Whether the new code relies"
    " on its new version, or both on one constant, cannot be seen in the binaries; old and new would mix.",
    remedy="Add the function that is missing to the list, or take from the list what needs it.",
)
LEFT_OUT = Code(
    id="HP3072",
    title="changed functions or data are left out by choice",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="The package is limited to a list of functions: applied, it is the fixed build only in these. The"
    " rest stays as it is in the baseline, with its faults.",
    remedy="Read the list of what is not delivered; each entry is declared in the manifest.",
)

ROWS: tuple[Code, ...] = (
    CHANGED_INITIALISER,
    NEW_IMPORT,
    AMBIGUOUS_VARIABLE,
    FOLDED_FUNCTION,
    NO_ROOM,
    EXCEPTION_DATA,
    THREAD_LOCAL,
    UNRESOLVED,
    STALE_POINTER,
    CODE_AS_DATA,
    UNSEEN_ADDRESS,
    LOOP_AT_ENTRY,
    SHORT_JUMP,
    RUNS_ON,
    EXPORTED_DATA,
    INITIALISER,
    EXPORTS_DIFFER,
    RESOURCES_DIFFER,
    REMOVED_FUNCTIONS,
    UNUSED_ADDITIONS,
    LINE_ONLY,
    WEAK_PAIR,
    FILE_AND_TREE,
    FILE_ADDED,
    NOTHING_SELECTED,
    NOT_CLOSED,
    LEFT_OUT,
)
