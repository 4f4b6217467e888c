"""Codes of the closure proof (HP70xx)."""

from hpbuild.errors import Code, ExitStatus, Severity

_REBUILD = (
    "Build the package again from the same two files; if it fails again, report a defect with both files."
)
_FETCH = "Give the two files that the package was built from, and the package as its publisher made it."
_DEFECT = "This is a defect of hpbuild: report it with the two binaries. Do not ship the package."


def _row(number: int, title: str, why: str, remedy: str = _DEFECT, exit_: ExitStatus = ExitStatus.NO) -> Code:
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=exit_, why=why, remedy=remedy)


PATCH_IMAGE_NOT_PINNED = _row(
    7001,
    "the patch image is not the one the manifest names",
    "What was proved would not be what is installed.",
    _FETCH,
)
PATCH_IMAGE_UNUSABLE = _row(
    7002,
    "the patch image cannot be read back or moved",
    "A package whose patch image cannot be placed cannot be applied.",
    _REBUILD,
)
MALFORMED_CLAIMS = _row(
    7003,
    "the correspondence handed to the proof is malformed",
    "Without a usable correspondence nothing can be compared.",
    exit_=ExitStatus.BUG,
)
WRONG_IMAGES = _row(
    7004,
    "the files are not the ones the package was built from",
    "A proof about other files says nothing about this package.",
    _FETCH,
    ExitStatus.NOT_APPLICABLE,
)
MANIFEST_RANGES = _row(
    7005,
    "ranges in the manifest do not fit together",
    "A carried function whose parts differ in length from its source cannot be its copy.",
    _REBUILD,
)
MANIFEST_DIGEST = _row(
    7006,
    "a digest in the manifest is not that of the function",
    "A verifier would accept another build, or refuse the right one.",
    _REBUILD,
)
REFERENCE_NOT_PINNED = _row(
    7007,
    "new code refers to a place of the baseline that the manifest does not list",
    "A verifier that checks the installed file by its functions would not look at that place.",
    _REBUILD,
)

UNCOVERED_BYTES = _row(
    7010,
    "bytes of the fixed image belong to no class",
    "A difference in them would go unnoticed.",
)
CONTRADICTORY_CLASSES = _row(
    7011,
    "bytes of the fixed image belong to two classes",
    "A byte that is both identical and changed proves nothing.",
)
FALSE_PADDING = _row(
    7012,
    "bytes called padding are not filler",
    "Code or data hidden in filler would be left out of the comparison.",
)
FALSE_METADATA = _row(
    7013,
    "bytes called metadata are outside every loader table",
    "Code or data hidden there would be left out of the comparison.",
)

UNDECODABLE = _row(
    7020,
    "claimed code that the independent decoder cannot read",
    "References in it cannot be followed, so its identity cannot be shown.",
)
CODE_DIFFERS = _row(
    7021,
    "code called identical has other bytes in the baseline",
    "The installed program would keep code that the fixed one does not have.",
)
CODE_REFERENCE = _row(
    7022,
    "identical code refers to something that is not the counterpart",
    "The same instructions would call or read something else than in the fixed binary.",
)
RELOCATIONS_DIFFER = _row(
    7023,
    "base relocations of corresponding bytes differ",
    "The loader would change one side and not the other.",
)
CARRIED_CODE_DIFFERS = _row(
    7030,
    "carried code differs from the fixed binary's",
    "The package would install code that nobody built.",
)
CARRIED_CODE_REFERENCE = _row(
    7031,
    "carried code refers to something that is not the counterpart",
    "The new code would call or read something else than in the fixed binary.",
)

DATA_DIFFERS = _row(
    7040,
    "data called identical has other bytes in the baseline",
    "The program would go on with the old value.",
)
DATA_REFERENCE = _row(
    7041,
    "identical data points at something that is not the counterpart",
    "A table or pointer would lead to another function or datum than in the fixed binary.",
)
CARRIED_DATA_DIFFERS = _row(
    7042,
    "carried data differs from the fixed binary's",
    "The package would install data that nobody built.",
)
CARRIED_DATA_REFERENCE = _row(
    7043,
    "carried data points at something that is not the counterpart",
    "A table or pointer would lead to another function or datum than in the fixed binary.",
)
SHARED_VARIABLE = _row(
    7044,
    "two variables of the fixed image correspond to one of the baseline",
    "Writing the one would change the other.",
)
TABLE_TORN = _row(
    7045,
    "a carried virtual table lacks words that lie in front of it",
    "The runtime would find another type of an object, or a virtual base at another place.",
)
CARRIED_THROW = _row(
    7046,
    "carried data describes what is thrown",
    "The C++ runtime looks for the module that it lies in, and in a running process it lies in none.",
)

UNWIND_MISSING = _row(
    7050,
    "a function has no unwind record where it will run",
    "An exception that passes through it would end the process.",
)
UNWIND_DIFFERS = _row(
    7051,
    "unwind records of corresponding functions differ",
    "The stack would be unwound wrongly.",
)
UNWIND_REFERENCE = _row(
    7052,
    "an unwind record refers to something that is not the counterpart",
    "Another handler, or another range of code, would be used when an exception passes.",
)

UNACCOUNTED_PATCH_BYTES = _row(
    7060,
    "bytes of the patch image belong to nothing that the manifest names",
    "The package would carry something that the fixed binary does not contain.",
)
REDIRECTION_WRONG = _row(
    7061,
    "a redirection does not lead to the function's copy",
    "Callers would reach other code than the fixed function.",
)
REDIRECTION_MISSING = _row(
    7062,
    "a changed function of the baseline is not redirected",
    "Its callers would go on using the old code.",
)
REDIRECTION_TOUCHES_IDENTICAL = _row(
    7063,
    "a redirection writes into bytes that other code needs",
    "A function that must stay as it is would be changed as well.",
)
NATIVE_TABLE_DISAGREES = _row(
    7064,
    "the native hotpatch table says something else than the manifest",
    "Two readers of one package would apply two different patches.",
    _REBUILD,
)
CALL_RETURNS_INTO_JUMP = _row(
    7065,
    "a call returns into the bytes that a redirection overwrites",
    "A thread that is in the called function would come back into the middle of the jump.",
)

UNDECLARED_DIFFERENCE = _row(
    7070,
    "the two images differ in something that the package neither delivers nor declares",
    "Whoever reads the package would believe that it delivers everything.",
)
SELECTION_DIFFERS = _row(
    7071,
    "the list of functions does not agree with what is carried and left out",
    "Whoever reads the list would believe that the package delivers something else than it does.",
    _REBUILD,
)
LEFT_OUT_UNSOUND = _row(
    7072,
    "what is left out has no version of its own in the baseline",
    "The baseline's version would have to stay in use, but it is replaced, or it is something else's.",
    _REBUILD,
)
LINE_NUMBER_FALSE = _row(
    7073,
    "what is declared as a line number is none",
    "Only the constant of an instruction that loads it may differ in a function that is left as it is; "
    "anything else could be the fix.",
    _REBUILD,
)

ROWS = tuple(row for row in tuple(globals().values()) if isinstance(row, Code))
