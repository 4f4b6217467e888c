"""Codes of the PE stage: HP10xx file and headers, HP11xx unwind data and base relocations,
HP12xx exports and imports, HP13xx load configuration, TLS, debug directory and resources."""

from hpbuild.errors import Code, ExitStatus, Severity


def _refuse(number: str, exit_status: ExitStatus, title: str, why: str, remedy: str) -> Code:
    return Code(id=number, title=title, severity=Severity.REFUSE, exit=exit_status, why=why, remedy=remedy)


_USAGE = ExitStatus.USAGE
_MALFORMED = ExitStatus.MALFORMED
_LIMIT = ExitStatus.LIMIT
_UNAVAILABLE = ExitStatus.UNAVAILABLE

_INTACT = (
    "Get the file again from its publisher and compare its SHA-256; "
    "a packer or a manual edit can also cause this."
)
_REPORT = (
    "If Windows loads this file, report it together with the linker that made it; "
    "otherwise treat it as hostile."
)

FILE_NOT_FOUND = _refuse(
    "HP1001",
    _USAGE,
    "no such file",
    "There is nothing to read under this name.",
    "Check the spelling, the working directory and that the volume is mounted.",
)
IS_A_DIRECTORY = _refuse(
    "HP1002",
    _USAGE,
    "a directory where a file is needed",
    "One image is read from one file.",
    "Name the file inside the directory, or use a command that takes whole trees.",
)
NO_PERMISSION = _refuse(
    "HP1003",
    _USAGE,
    "not allowed to read the file",
    "Without its bytes nothing can be said about the image.",
    "Grant read access to the account that runs hpbuild.",
)
SPECIAL_FILE = _refuse(
    "HP1004",
    _USAGE,
    "not a regular file",
    "A pipe, socket or device has no fixed content that could be pinned.",
    "Copy the content into a regular file first.",
)
EMPTY_FILE = _refuse(
    "HP1005",
    _MALFORMED,
    "empty file",
    "A file of no bytes is no image; it is often the rest of a broken download.",
    _INTACT,
)
FILE_TOO_LARGE = _refuse(
    "HP1006",
    _LIMIT,
    "file is larger than the limit",
    "Reading it whole would exhaust memory; Windows itself maps no image above 2 GiB.",
    "Check that this is the file you meant.",
)
FILE_CHANGED = _refuse(
    "HP1007",
    _UNAVAILABLE,
    "file changed while it was read",
    "The bytes may mix two versions, and a package pinned to them would fit neither.",
    "Stop whatever writes the file, or work on a copy, and try again.",
)
READ_FAILED = _refuse(
    "HP1008",
    _UNAVAILABLE,
    "the operating system could not read the file",
    "Without its bytes nothing can be said about the image.",
    "See the system's message; check the disk or the network share and try again.",
)

NOT_A_PE = _refuse(
    "HP1010",
    _MALFORMED,
    "not a PE file",
    "Only Windows images in the Portable Executable format can be compared or patched.",
    "Check that this is the binary itself and not an archive, an installer script or a symbol file.",
)
TRUNCATED = _refuse(
    "HP1011",
    _MALFORMED,
    "file ends before the image does",
    "The missing bytes would silently read as something else.",
    _INTACT,
)
MACHINE_32_BIT = _refuse(
    "HP1012",
    _USAGE,
    "32-bit image: not supported yet",
    "Redirections, unwind data and fixups are made for x64 only.",
    "Use the x64 build of the product.",
)
MACHINE_ARM64 = _refuse(
    "HP1013",
    _USAGE,
    "ARM64 image: not supported yet",
    "Redirections, unwind data and fixups are made for x64 only.",
    "Use the x64 build of the product.",
)
MACHINE_UNKNOWN = _refuse(
    "HP1014",
    _USAGE,
    "image for an unknown machine",
    "The instruction set of this image is none that hpbuild can decode.",
    "Use the x64 build of the product.",
)
ARM64_HYBRID = _refuse(
    "HP1015",
    _USAGE,
    "ARM64EC or ARM64X hybrid image: not supported yet",
    "The image says x64 but carries ARM64 code, which an x64 decoder would read as garbage.",
    "Use the plain x64 build of the product.",
)
NOT_PE32_PLUS = _refuse(
    "HP1016",
    _MALFORMED,
    "optional header is not PE32+",
    "An x64 image without a 64-bit optional header is not loaded by Windows.",
    _INTACT,
)
DOTNET_ONLY = _refuse(
    "HP1017",
    _USAGE,
    "assembly with intermediate language only",
    "Its methods are compiled when the program runs; there is no machine code to redirect in the file.",
    "Service .NET assemblies by replacing them; patch only native or mixed images.",
)
NOT_LINKED = _refuse(
    "HP1018",
    _MALFORMED,
    "not a linked image",
    "The file header says that linking failed or that this is an object file.",
    "Pass the finished .exe or .dll.",
)
SECTION_COUNT = _refuse(
    "HP1019",
    _MALFORMED,
    "number of sections outside what Windows loads",
    "Windows loads images with 1 to 96 sections; more serve only to exhaust tools.",
    _REPORT,
)
IMAGE_TOO_LARGE = _refuse(
    "HP1020",
    _LIMIT,
    "mapped image is larger than the limit",
    "Mapping it would exhaust memory, and rel32 redirections reach only 2 GiB.",
    _REPORT,
)
BAD_ALIGNMENT = _refuse(
    "HP1021",
    _MALFORMED,
    "alignment that Windows does not load",
    "Tools disagree about what such an image looks like in memory.",
    _REPORT,
)
BAD_HEADER_SIZE = _refuse(
    "HP1022",
    _MALFORMED,
    "header sizes contradict each other",
    "Tools disagree about where the section table or the first section begins.",
    _REPORT,
)
BAD_IMAGE_BASE = _refuse(
    "HP1023",
    _MALFORMED,
    "image base that Windows does not load",
    "Absolute addresses in the image could not be told from plain numbers.",
    _REPORT,
)
SECTIONS_UNSORTED = _refuse(
    "HP1024",
    _MALFORMED,
    "sections not sorted by address",
    "The specification demands ascending addresses and Windows refuses the image.",
    _REPORT,
)
SECTIONS_OVERLAP = _refuse(
    "HP1025",
    _MALFORMED,
    "sections overlap in memory",
    "One address would have two contents, and tools would show different ones.",
    _REPORT,
)
RAW_OVERLAP = _refuse(
    "HP1026",
    _MALFORMED,
    "sections overlap in the file",
    "The same file bytes would be code and data at once; some parsers also copy them without bound.",
    _REPORT,
)
SECTION_OUTSIDE = _refuse(
    "HP1027",
    _MALFORMED,
    "section leaves the image",
    "Bytes outside SizeOfImage are never mapped.",
    _REPORT,
)
DIRECTORY_OUTSIDE = _refuse(
    "HP1028",
    _MALFORMED,
    "data directory outside every section's file bytes",
    "Reading it would mix unrelated sections or bytes that are not in the file.",
    _REPORT,
)
DIRECTORY_HALF_EMPTY = _refuse(
    "HP1029",
    _MALFORMED,
    "data directory with an address but no size, or a size but no address",
    "Windows and other tools disagree on whether such a directory exists.",
    _REPORT,
)
DIRECTORY_COUNT = _refuse(
    "HP1030",
    _MALFORMED,
    "wrong number of data directories",
    "More than 16 do not exist, and the optional header must have room for those it announces.",
    _REPORT,
)
CERTIFICATES_OUTSIDE = _refuse(
    "HP1031",
    _MALFORMED,
    "certificate table leaves the file",
    "The signature cannot be read, and its place in the file decides what the signature covers.",
    _INTACT,
)
BAD_ENTRY_POINT = _refuse(
    "HP1032",
    _MALFORMED,
    "entry point outside executable sections",
    "The image could not start, or starts in bytes that no section owns.",
    _REPORT,
)
AMBIGUOUS_IMAGE = _refuse(
    "HP1033",
    _MALFORMED,
    "ambiguous image: two parsers read it differently",
    "Whoever reviews the image with another tool would see another image.",
    _REPORT,
)

PDATA_SIZE = _refuse(
    "HP1101",
    _MALFORMED,
    "exception directory is not a whole number of rows",
    "Function boundaries are taken from it; a torn last row has no meaning.",
    _INTACT,
)
PDATA_UNSORTED = _refuse(
    "HP1102",
    _MALFORMED,
    "exception directory is unsorted or its rows overlap",
    "Windows searches it by bisection, so unwinding would find the wrong function.",
    _REPORT,
)
PDATA_RANGE = _refuse(
    "HP1103",
    _MALFORMED,
    "exception directory row describes no code",
    "A function must be a non-empty range inside an executable section.",
    _REPORT,
)
UNWIND_OUTSIDE = _refuse(
    "HP1104",
    _MALFORMED,
    "unwind information outside the image",
    "The function's frame could not be unwound, and its handler is unknown.",
    _INTACT,
)
UNWIND_VERSION = _refuse(
    "HP1105",
    _MALFORMED,
    "unknown version of unwind information",
    "Only versions 1 and 2 are published; the meaning of others is unknown.",
    "Build the product with a toolchain that emits version 1 or 2.",
)
UNWIND_MALFORMED = _refuse(
    "HP1106",
    _MALFORMED,
    "malformed unwind information",
    "Contradicting flags or a misaligned record would be read differently by Windows.",
    _REPORT,
)
UNWIND_CHAIN = _refuse(
    "HP1107",
    _MALFORMED,
    "unwind chain is a loop or too long",
    "A function's parts could not be joined, and unwinding would never end.",
    _REPORT,
)

PDATA_LIMIT = _refuse(
    "HP1108",
    _LIMIT,
    "more functions than the limit",
    "Comparing images of that many functions was never measured, and it could exhaust the machine's memory.",
    "If this is a genuine program, report it; otherwise treat it as hostile.",
)

RELOCATION_BLOCK = _refuse(
    "HP1111",
    _MALFORMED,
    "malformed base relocation block",
    "Every address constant is known by its relocation; a torn table hides some.",
    _INTACT,
)
RELOCATION_BLOCKS = _refuse(
    "HP1112",
    _LIMIT,
    "more base relocation blocks than the image has pages",
    "Such tables serve only to exhaust tools.",
    _REPORT,
)
RELOCATION_TYPE = _refuse(
    "HP1113",
    _MALFORMED,
    "base relocation type that x64 does not have",
    "Only ABSOLUTE and DIR64 have a meaning on x64; the effect of others is unknown.",
    _REPORT,
)
RELOCATION_SITE = _refuse(
    "HP1114",
    _MALFORMED,
    "base relocation outside every section",
    "The loader would change bytes that belong to nothing.",
    _REPORT,
)
RELOCATION_OVERLAP = _refuse(
    "HP1115",
    _MALFORMED,
    "base relocations overlap",
    "The loader would add the displacement twice to the same bytes.",
    _REPORT,
)

EXPORT_MALFORMED = _refuse(
    "HP1201",
    _MALFORMED,
    "malformed export directory",
    "Exports name functions and fix their addresses; half of them would be missing.",
    _INTACT,
)
EXPORT_ORDINAL = _refuse(
    "HP1202",
    _MALFORMED,
    "exported name without an address",
    "The name's ordinal lies outside the export address table.",
    _INTACT,
)
IMPORT_MALFORMED = _refuse(
    "HP1211",
    _MALFORMED,
    "malformed import directory",
    "The import slots that code refers to could not be named.",
    _INTACT,
)
IMPORT_UNTERMINATED = _refuse(
    "HP1212",
    _MALFORMED,
    "import table without its end mark",
    "Windows reads on until a zero entry, so it would see other imports than this table holds.",
    _REPORT,
)
IMPORT_SLOT_SHARED = _refuse(
    "HP1213",
    _MALFORMED,
    "two imports share a slot",
    "The later one would overwrite the earlier, and code calls something else than it names.",
    _REPORT,
)
IMPORT_WITHOUT_NAMES = _refuse(
    "HP1214",
    _MALFORMED,
    "bound imports without a name table",
    "The slots hold addresses from the binder's machine, so what they import is unknown.",
    "Use the image before it was bound.",
)
DELAY_IMPORT_ABSOLUTE = _refuse(
    "HP1215",
    _MALFORMED,
    "delay-load descriptor with absolute addresses",
    "The old format holds 32-bit addresses, which mean nothing in an x64 image.",
    _REPORT,
)
IMPORT_COUNT = _refuse(
    "HP1216",
    _LIMIT,
    "more imports than the limit",
    "Such tables serve only to exhaust tools.",
    _REPORT,
)

LOAD_CONFIG_SIZE = _refuse(
    "HP1301",
    _MALFORMED,
    "load configuration of an impossible size",
    "Its size says which fields exist; guard tables and the hotpatch table would be misread.",
    _INTACT,
)
LOAD_CONFIG_ADDRESS = _refuse(
    "HP1302",
    _MALFORMED,
    "load configuration names an address outside the image",
    "The structure it should lead to cannot be read.",
    _INTACT,
)
GUARD_TABLE = _refuse(
    "HP1303",
    _MALFORMED,
    "malformed guard table",
    "Valid indirect-call targets would be unknown; a patch could break Control Flow Guard.",
    _INTACT,
)
TLS_MALFORMED = _refuse(
    "HP1311",
    _MALFORMED,
    "malformed TLS directory",
    "Thread-local variables could not be told from others.",
    _INTACT,
)
TLS_CALLBACKS = _refuse(
    "HP1312",
    _MALFORMED,
    "malformed list of TLS callbacks",
    "Code that runs before the entry point would be unknown.",
    _REPORT,
)
DEBUG_MALFORMED = _refuse(
    "HP1321",
    _MALFORMED,
    "malformed debug directory",
    "The image's build identity and the extent of its debug records would be unknown.",
    _INTACT,
)
RESOURCE_MALFORMED = _refuse(
    "HP1331",
    _MALFORMED,
    "malformed resource directory",
    "The version resource could not be read and resources could not be compared.",
    _INTACT,
)
RESOURCE_LOOP = _refuse(
    "HP1332",
    _MALFORMED,
    "resource directories form a loop or share a branch",
    "A tree that contains itself serves only to exhaust tools.",
    _REPORT,
)

ROWS: tuple[Code, ...] = tuple(row for row in list(vars().values()) if isinstance(row, Code))
"""Every code of this stage, in order of definition."""
