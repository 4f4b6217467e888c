"""Codes of symbol files, identity, Authenticode and native hotpatch tables: HP14xx to HP18xx."""

from hpbuild.errors import Code, ExitStatus, Severity

SYMBOL_FILE_UNREADABLE = Code(
    id="HP1400",
    title="the symbol file cannot be read",
    severity=Severity.REFUSE,
    exit=ExitStatus.UNAVAILABLE,
    why="The symbols that were asked for by path are evidence the result depends on; without the file the "
    "result would be another one.",
    remedy="Give the path of a readable PDB file, or use --symbols auto or --symbols none.",
)
NOT_A_PDB = Code(
    id="HP1401",
    title="not a PDB file",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Only the MSF 7.00 container is a program database of today's linkers; anything else has no symbols "
    "that could be read.",
    remedy="Give the PDB that the linker wrote together with the image; portable and compressed PDBs do not "
    "describe native code.",
)
PDB_CONTAINER_MALFORMED = Code(
    id="HP1402",
    title="the PDB container is damaged",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Block lists that leave the file or are shared between streams make every symbol in it doubtful.",
    remedy="Fetch the PDB again; the file is truncated or was altered.",
)
PDB_STREAM_MALFORMED = Code(
    id="HP1403",
    title="a stream of the PDB is damaged",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Names and extents of functions come from these streams; a wrong one would pair wrong functions.",
    remedy="Fetch the PDB again; the file is truncated or was altered.",
)
PDB_MISMATCH = Code(
    id="HP1404",
    title="the PDB belongs to another build",
    severity=Severity.REFUSE,
    exit=ExitStatus.NOT_APPLICABLE,
    why="Symbols of another build name wrong addresses, and every decision taken from them would be wrong.",
    remedy="Give the PDB whose GUID and age are in the image's debug directory.",
)
PDB_UNSUPPORTED = Code(
    id="HP1405",
    title="the PDB uses a feature that is not supported",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Addresses in such a PDB cannot be turned into addresses of the image without guessing.",
    remedy="Link with a full PDB (/DEBUG:FULL) and without a tool that rearranges the image afterwards, or "
    "use --symbols none.",
)
PDB_LIMIT = Code(
    id="HP1406",
    title="the PDB exceeds a size limit",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="Reading it would take memory out of proportion.",
    remedy="Use a stripped PDB (/PDBSTRIPPED) or --symbols none.",
)
COFF_SYMBOLS_MALFORMED = Code(
    id="HP1501",
    title="the COFF symbol table is damaged",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Names and extents of functions come from this table; a wrong one would pair wrong functions.",
    remedy="Use an image as the linker wrote it; strip the symbol table with a tool that also clears its "
    "header fields.",
)
AUTHENTICODE_DISAGREEMENT = Code(
    id="HP1601",
    title="two computations of the Authenticode digest differ",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="An image that two readers hash differently is built to look like another one to one of them.",
    remedy="Do not use the image; take the file from its vendor again.",
)
RANGE_OUTSIDE_IMAGE = Code(
    id="HP1701",
    title="a range to be compared leaves the image",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Bytes that the image does not have cannot be the ones the package was built from.",
    remedy="Check that the package belongs to this image; if it should, the package is damaged.",
)
HOT_PATCH_LOCATION = Code(
    id="HP1801",
    title="the native hotpatch table is not where a loader looks for it",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="A table that the load configuration does not announce properly is ignored or refused by Windows, "
    "and a reader that shows it would show something that never takes effect.",
    remedy="Rebuild the patch image; the load configuration or the image was altered.",
)
HOT_PATCH_HEADER = Code(
    id="HP1802",
    title="the header of the native hotpatch table is wrong",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Version, sizes and sequence number decide how everything else is read and ordered.",
    remedy="Rebuild the patch image with a tool that writes version 1 to 4 of the format.",
)
HOT_PATCH_BASE = Code(
    id="HP1803",
    title="a base image entry of the native hotpatch table is wrong",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="The entry says which build is patched; a wrong one would let the patch into another build.",
    remedy="Rebuild the patch image; its hotpatch table was altered or written for another machine.",
)
HOT_PATCH_CHUNK = Code(
    id="HP1804",
    title="a chunk of the native hotpatch table is wrong",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="A chunk header with bits or a kind that nobody defines cannot be shown or applied as what it is.",
    remedy="Rebuild the patch image; its hotpatch table was altered or uses an unknown extension.",
)
HOT_PATCH_RECORD = Code(
    id="HP1805",
    title="a record of the native hotpatch table is wrong",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Records name the places that are written; one that leaves its image would write somewhere else.",
    remedy="Rebuild the patch image; its hotpatch table was altered.",
)
HOT_PATCH_LIMIT = Code(
    id="HP1806",
    title="the native hotpatch table exceeds a limit",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="Reading it would take memory out of proportion.",
    remedy="Split the patch; a table of this size was not made for one image.",
)
ROWS: tuple[Code, ...] = (
    SYMBOL_FILE_UNREADABLE,
    NOT_A_PDB,
    PDB_CONTAINER_MALFORMED,
    PDB_STREAM_MALFORMED,
    PDB_MISMATCH,
    PDB_UNSUPPORTED,
    PDB_LIMIT,
    COFF_SYMBOLS_MALFORMED,
    AUTHENTICODE_DISAGREEMENT,
    RANGE_OUTSIDE_IMAGE,
    HOT_PATCH_LOCATION,
    HOT_PATCH_HEADER,
    HOT_PATCH_BASE,
    HOT_PATCH_CHUNK,
    HOT_PATCH_RECORD,
    HOT_PATCH_LIMIT,
)
