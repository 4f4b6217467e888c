"""Codes of the manifest stage: strict JSON and readers HP40xx, schema and consistency HP41xx."""

from hpbuild.errors import Code, ExitStatus, Severity

_TAMPERED = "Get the package again from its source; hpbuild never writes such a document."


def _refuse(number: int, title: str, why: str, remedy: str = _TAMPERED, *, limit: bool = False) -> Code:
    return Code(
        id=f"HP{number}",
        title=title,
        severity=Severity.REFUSE,
        exit=ExitStatus.LIMIT if limit else ExitStatus.MALFORMED,
        why=why,
        remedy=remedy,
    )


NOT_JSON = _refuse(
    4001,
    "not a JSON document",
    "Nothing can be said about a package whose description cannot be read.",
)
UNENCODABLE = _refuse(
    4002,
    "value has no canonical form",
    "A document without canonical bytes cannot be reproduced or signed.",
    "Remove the number beyond 2**53-1, the fraction or the broken text that the cause names.",
)
NOT_CANONICAL = _refuse(
    4003,
    "document is not in canonical form",
    "Two spellings of one document have two digests, and a reader could see what another one does not.",
)
DUPLICATE_KEY = _refuse(
    4004,
    "duplicate key in a JSON object",
    "Readers disagree about which of the two values counts, so a reviewer may see the harmless one.",
)
NUMBER = _refuse(
    4005,
    "number that JSON readers do not agree on",
    "Fractions, exponents and integers beyond 2**53-1 are rounded differently by different readers.",
)
LIMIT = _refuse(
    4006,
    "document exceeds a limit",
    "An unbounded document could exhaust the memory of the machine that checks it.",
    "If the document is genuine, split the release into several packages.",
    limit=True,
)
WRONG_TYPE = _refuse(
    4010, "value of the wrong type", "The description does not say what it must say at this place."
)
MISSING_KEY = _refuse(4011, "required key is missing", "A part of the description is absent.")
UNKNOWN_KEY = _refuse(
    4012,
    "unknown key",
    "A field that this version does not understand could change what the package means.",
    "Use the version of hpbuild that wrote the document, or a newer one.",
)
OUT_OF_RANGE = _refuse(
    4013, "value is out of range", "The value cannot describe a real file, function or package."
)
BAD_TEXT = _refuse(
    4014,
    "text is empty, too long or has control characters",
    "Such text can hide or forge lines in reports and on terminals.",
)
BAD_HEX = _refuse(
    4015, "broken hexadecimal text", "Bytes or a digest cannot be compared when they cannot be read."
)
BAD_DATE = _refuse(
    4016,
    "not a date of the form 2025-01-31T12:00:00Z",
    "A date that readers understand differently cannot limit how long a package may be used.",
    "Write the time in UTC with seconds and a final Z.",
)
UNKNOWN_SCHEMA = _refuse(
    4017,
    "document of another kind or version",
    "Its fields may mean something else than this version of hpbuild believes.",
    "Use the version of hpbuild that wrote the document, or a newer one.",
)
SCHEMA_MISMATCH = _refuse(
    4101,
    "document does not meet its JSON Schema",
    "Other programs read the document by the published schema.",
)
NO_SUCH_SCHEMA = Code(
    id="HP4102",
    title="no such schema",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="A document cannot be checked against a schema that this version does not have.",
    remedy="Choose one of the names that `hpbuild schema` lists.",
)
BAD_PATH = _refuse(
    4110,
    "unsafe or ambiguous module path",
    "A path that is absolute, climbs out of its directory or names a device could reach another file.",
    "Rename the file, or build from a directory where its relative path is plain.",
)
PATH_TWIN = _refuse(
    4111,
    "two paths that Windows takes for one",
    "It would depend on the order of files which of the two patches is applied.",
    "Rename one of the files so that they differ in more than case.",
)
NOT_SORTED = _refuse(
    4112,
    "list is not in its fixed order",
    "Without a fixed order the same release has more than one package.",
)
EMPTY = _refuse(
    4113,
    "nothing to patch",
    "A package or module without a replaced function proves nothing and changes nothing.",
    "Leave files without changes out of the package.",
)
BAD_RANGE = _refuse(
    4114,
    "range leaves its image or is empty",
    "The package would read or write bytes that belong to something else.",
)
OVERLAP = _refuse(
    4115,
    "ranges overlap",
    "Two parts of the package would claim the same bytes, and one would destroy the other.",
)
PIN_MISMATCH = _refuse(
    4116,
    "pins of baseline and fixed do not fit together",
    "Baseline and fixed must be two different builds of one file for one machine.",
)
BAD_FUNCTION = _refuse(
    4117,
    "function entry contradicts itself",
    "Reason, ranges and digests of a replaced function must tell the same story.",
)
BAD_DATUM = _refuse(
    4118, "data entry contradicts itself", "Reason, kind and ranges of a datum must tell the same story."
)
BAD_FIXUP = _refuse(
    4119,
    "fixup out of place",
    "A field outside the patch image, or overlapping fields, would corrupt code when it is moved.",
)
BAD_REDIRECTION = _refuse(
    4120,
    "redirection does not fit its function",
    "Redirecting another address than the entry, or to another place than the new code, runs wrong code.",
)
BAD_WINDOW = _refuse(
    4121,
    "redirection writes other bytes than its jump",
    "Bytes beyond the jump would change the baseline in a way that nothing else in the package explains.",
)
REDIRECTION_COUNT = _refuse(
    4122,
    "function without exactly one redirection",
    "A replaced function without a redirection keeps running its old code; with two, the last one wins.",
)
BAD_MEMBER = _refuse(
    4123,
    "bad member name of a patch image",
    "The patch image of a module could not be found, or two would share one.",
)
REFUSING_FINDING = _refuse(
    4124,
    "package lists a finding that refuses",
    "A build with such a finding must not become a package.",
    "Build again.",
)
BAD_SELECTION = _refuse(
    4125,
    "list of functions and contents do not fit together",
    "A package that is limited to a list delivers what is on it and names what it leaves out; otherwise"
    " nobody could tell what it leaves as it is.",
)
BAD_LINES = _refuse(
    4126,
    "declared line numbers are not sound",
    "The places named as line numbers are what the proof lets differ; they must be exact, and in functions"
    " that the package leaves as they are.",
)
BAD_PAGES = _refuse(
    4127,
    "the listed pages are not those that are written to",
    "Each page that a redirection touches has a digest, so that code beside the entry is known too; a page"
    " without one, or a digest of another page, says nothing about what is written to.",
)
BAD_LEFT_OUT = _refuse(
    4128,
    "numbers of what is left out do not add up",
    "Parts that a list of functions leaves out are told as differences and runs; where these do not give"
    " whole parts with all their ranges, two readers would see different ones.",
)

ROWS: tuple[Code, ...] = (
    NOT_JSON,
    UNENCODABLE,
    NOT_CANONICAL,
    DUPLICATE_KEY,
    NUMBER,
    LIMIT,
    WRONG_TYPE,
    MISSING_KEY,
    UNKNOWN_KEY,
    OUT_OF_RANGE,
    BAD_TEXT,
    BAD_HEX,
    BAD_DATE,
    UNKNOWN_SCHEMA,
    SCHEMA_MISMATCH,
    NO_SUCH_SCHEMA,
    BAD_PATH,
    PATH_TWIN,
    NOT_SORTED,
    EMPTY,
    BAD_RANGE,
    OVERLAP,
    PIN_MISMATCH,
    BAD_FUNCTION,
    BAD_DATUM,
    BAD_FIXUP,
    BAD_REDIRECTION,
    BAD_WINDOW,
    REDIRECTION_COUNT,
    BAD_MEMBER,
    REFUSING_FINDING,
    BAD_SELECTION,
    BAD_LINES,
    BAD_PAGES,
    BAD_LEFT_OUT,
)
