"""Codes of the match stage (HP21xx)."""

from hpbuild.errors import Code, ExitStatus, Severity

UNKNOWN_FUNCTION = Code(
    id="HP2110",
    title="no function has this name or address",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="A list of functions with an entry that means nothing may be a list for another build; what it was"
    " meant to name would be left out silently.",
    remedy="Take the name from `hpbuild diff`, or the address: 0x1234 is an RVA of the fixed image,"
    " baseline:0x1234 one of the baseline.",
)
AMBIGUOUS_FUNCTION = Code(
    id="HP2111",
    title="a name stands for several functions",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="Local functions of different source files may share a name, and so may functions of different files"
    " of a release; a guess could patch the wrong one.",
    remedy="Name the one that is meant by its address (0x1234), and in a tree by its file too (a.dll!NAME).",
)

ROWS: tuple[Code, ...] = (UNKNOWN_FUNCTION, AMBIGUOUS_FUNCTION)
