"""Codes of the plan stage, second part (HP308x, HP309x): changes that look harmless and are not."""

from hpbuild.errors import Code, ExitStatus, Severity

FOLDED_IN_FIXED = Code(
    id="HP3080",
    title="an exported function shares another one's code in the fixed image only",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The linker of the fixed image folded two functions of equal bytes that are two in the baseline. One"
    " of the old bodies has no counterpart of its own: it would not be redirected, and other modules would"
    " go on calling it as it was.",
    remedy="Link the fixed image without identical code folding (/OPT:NOICF), or ship with a restart.",
)
EXPORT_MOVED = Code(
    id="HP3081",
    title="an export leads to another function than before",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Other modules resolved the export when they were loaded and hold the old function's address. That"
    " function is still there under its own right, so its entry cannot be sent to the new one.",
    remedy="Keep the export on its function and let that function call the new one, or ship with a restart.",
)
INTO_MIDDLE = Code(
    id="HP3082",
    title="code that stays leads into the middle of a function that is replaced",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Only the entry is redirected: whoever comes in behind it runs the old code. The two share a tail, or"
    " one has several entries.",
    remedy="Compile both images without tail merging across functions (or this one file without it), or ship"
    " with a restart.",
)
THREAD_OFFSETS = Code(
    id="HP3083",
    title="a changed function uses other places in the thread-local data than before",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The template is the same but variables changed their places in it: every running thread keeps its"
    " values where the baseline put them.",
    remedy="Keep the order of thread-local variables in the fix, or ship with a restart.",
)
NEW_INITIALISER = Code(
    id="HP3084",
    title="the fixed image runs one more initialiser when it is loaded",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The loader or the C runtime calls the entries of such a list once, at the start of the process or of"
    " a thread. The running process is past that: what the new entry constructs would stay zero.",
    remedy="Give new objects constant initialisers (constinit), or construct them on first use inside a"
    " function, or ship with a restart.",
)
NEVER_INITIALISED = Code(
    id="HP3085",
    title="a new variable gets its value from code that has run already",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Carried code uses the variable, but what fills it runs only while the image is loaded: a"
    " constructor of a global object, or DllMain. The variable would be used before it is made.",
    remedy="Initialise it with a constant, or on first use (InitOnceExecuteOnce, a local static), or ship"
    " with a restart.",
)
RAN_ALREADY = Code(
    id="HP3086",
    title="a changed function is reached only while the image is loaded or unloaded",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="It is called from the entry point, a thread-local callback or a list of initialisers and from"
    " nowhere else. It has run in every process that is to be patched.",
    remedy="Check what the old version left behind; if the fix depends on running it again, ship with a"
    " restart.",
)
ENDLESS = Code(
    id="HP3087",
    title="a changed function has a loop that it never leaves",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="A thread inside an old body finishes it there. This one does not end: its threads keep the old code"
    " for as long as they live, and only new calls get the new code.",
    remedy="Check whether the flaw is inside the loop itself or in a function that it calls (calls do reach"
    " new code); restart those threads, or ship with a restart.",
)
HOOKED = Code(
    id="HP3088",
    title="the entry of a changed function is redirected in the baseline already",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="It begins with the jump of a hook or of another patch. That file is not what was shipped, and"
    " undoing this package would bring the other one's jump back into memory.",
    remedy="Use the untouched build as the baseline.",
)
PATCHED_BASELINE = Code(
    id="HP3089",
    title="the baseline is a patch image or a patched copy itself",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Its load configuration leads to a hotpatch table. Packages are cumulative on the shipped build: one"
    " made against a patched copy fits no installed file.",
    remedy="Use the untouched build as the baseline.",
)
ENTRY_BRANCH = Code(
    id="HP3090",
    title="something jumps into the bytes that a redirection would overwrite",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="A loop, a jump table or an exception handler begins in the first bytes of the function: a thread"
    " would come out in the middle of the new jump.",
    remedy="Build the baseline with padding before functions, where two bytes of the entry are enough"
    " (/FUNCTIONPADMIN or -fms-hotpatch), or patch the callers instead, or ship with a restart.",
)
ENTRY_RELOCATED = Code(
    id="HP3091",
    title="the loader writes into the bytes that a redirection would overwrite",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="An absolute address lies there: its bytes in memory are not those of the file, so the old content"
    " can neither be checked nor put back.",
    remedy="Build the baseline with RIP-relative addresses (not -mcmodel=large), or with padding before"
    " functions, or ship with a restart.",
)
ENTRY_UNREADABLE = Code(
    id="HP3092",
    title="the entry of a changed function is no instruction",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The bytes at the entry do not decode: it may be data, encrypted code, or an instruction that hpbuild"
    " does not know.",
    remedy="Use the unpacked, unprotected build as the baseline, or ship with a restart.",
)
LOADER_FLAGS = Code(
    id="HP3093",
    title="flags for the loader differ between baseline and fixed",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="The loader read them when it mapped the image (address randomisation, control flow guard,"
    " subsystem). A hotpatch does not change them: a mitigation that the fix switches on stays off.",
    remedy="Declared as an exclusion in the manifest; ship with a restart if the fix needs it.",
)
EXPORT_ORDINALS = Code(
    id="HP3094",
    title="exports have other ordinals than in the baseline",
    severity=Severity.NOTE,
    exit=ExitStatus.YES,
    why="A hotpatch does not change the export table. Modules that import by name do not notice; one that"
    " was linked to the fixed image by ordinal would reach another function in the patched process.",
    remedy="Declared as an exclusion in the manifest. Fix ordinals in a module definition file if anybody"
    " uses them.",
)
FOUND_BY_MODULE = Code(
    id="HP3095",
    title="the C++ runtime would not find the module of carried data",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="A description of what is thrown holds distances from the base of its module, and the C++ runtime"
    " asks Windows which module it lies in (and so for type information of old compilers). In a running"
    " process carried data lies in no module: the first throw would end the process.",
    remedy="Let the fix throw a type that the baseline throws already, or report the error without throwing,"
    " or ship with a restart.",
)
CALL_AT_ENTRY = Code(
    id="HP3096",
    title="a call returns into the bytes that a redirection would overwrite",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="One of the function's first instructions is a call that ends inside the window. A thread that is in"
    " the called function while the bytes are written comes back into the middle of the new jump. No look at"
    " instruction pointers finds it: its return address is on its stack.",
    remedy="Build the baseline with padding before functions, where two bytes of the entry are enough"
    " (/FUNCTIONPADMIN or -fms-hotpatch), or patch the callers instead, or ship with a restart.",
)
TORN_TABLE = Code(
    id="HP3097",
    title="nobody can tell where carried data ends and the words of a virtual table begin",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="In front of the table of a class with virtual bases lie the offsets of these, as many as the class"
    " has. Other data touches them without a pointer or a symbol between: a copy of the one could lack words"
    " of the other.",
    remedy="Build both sides with symbols, or in the order of the old build, or ship with a restart.",
)

ROWS: tuple[Code, ...] = (
    FOLDED_IN_FIXED,
    EXPORT_MOVED,
    INTO_MIDDLE,
    THREAD_OFFSETS,
    NEW_INITIALISER,
    NEVER_INITIALISED,
    RAN_ALREADY,
    ENDLESS,
    HOOKED,
    PATCHED_BASELINE,
    ENTRY_BRANCH,
    ENTRY_RELOCATED,
    ENTRY_UNREADABLE,
    LOADER_FLAGS,
    EXPORT_ORDINALS,
    FOUND_BY_MODULE,
    CALL_AT_ENTRY,
    TORN_TABLE,
)
