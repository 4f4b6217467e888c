"""Codes of the patch image stage: linking (HP35xx), reading back (HP36xx), moving (HP37xx)."""

from hpbuild.errors import Code, ExitStatus, Severity

_REBUILD = "Obtain the package again from its publisher, or rebuild it."
_REPORT = "This is a defect of hpbuild: report it with the two binaries."

PLAN_INCONSISTENT = Code(
    id="HP3501",
    title="the plan contradicts itself",
    severity=Severity.REFUSE,
    exit=ExitStatus.BUG,
    why="A chunk, field, unwind entry or redirection names something that is not there or does not fit; "
    "linking it would produce wrong code.",
    remedy=_REPORT,
)
FIELD_OVERFLOW = Code(
    id="HP3502",
    title="a field cannot hold the distance to its target",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The new code would branch or read somewhere else than in the fixed binary.",
    remedy="The function cannot be carried; ship a full update of the file.",
)
TARGET_OUTSIDE = Code(
    id="HP3503",
    title="a field points outside the baseline",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="An address that lies in neither image cannot be followed when the patch image moves.",
    remedy="The function cannot be carried; ship a full update of the file.",
)
TABLE_ORIGIN_IN_BASELINE = Code(
    id="HP3504",
    title="a table's origin lies in the baseline",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Entries relative to a baseline address have no fixup; moving the patch image would break them.",
    remedy="Carry the table together with the function that reads it; else ship a full update of the file.",
)
OUT_OF_REACH = Code(
    id="HP3505",
    title="the patch image would end more than 1 GiB above the image base",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="Larger images are not read, and code beyond 2 GiB could not reach the baseline.",
    remedy="Ship a full update of the file.",
)
UNWIND_OVERLAP = Code(
    id="HP3506",
    title="two unwind entries of the patch overlap",
    severity=Severity.REFUSE,
    exit=ExitStatus.BUG,
    why="The exception directory must be sorted and disjoint, else exceptions unwind through wrong frames.",
    remedy=_REPORT,
)
SEQUENCE_INVALID = Code(
    id="HP3507",
    title="the sequence number is not within 1..4294967295",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="Windows rejects a hotpatch with sequence number 0, and the field has 32 bits.",
    remedy="Choose a sequence number from 1 on, rising with each package of the product.",
)
OLD_BYTES_DIFFER = Code(
    id="HP3508",
    title="a redirection's old bytes are not the baseline's",
    severity=Severity.REFUSE,
    exit=ExitStatus.BUG,
    why="The redirection would be written over, and rolled back to, bytes that never were there.",
    remedy=_REPORT,
)
NOT_AMD64 = Code(
    id="HP3509",
    title="the baseline is not an x64 image",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Redirections and native tables are written for x64 only.",
    remedy="Build packages for x64 files only.",
)
ZERO_FILL_TOO_LARGE = Code(
    id="HP3510",
    title="the patch image asks for more than 64 MiB of zero-filled memory",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="A few bytes in a file could make every reader and every patched process allocate without bound.",
    remedy="Ship a full update of the file.",
)

PATCH_HEADERS = Code(
    id="HP3601",
    title="the headers are not those of a patch image",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="A patch image has one shape; another header value could make a loader see something else.",
    remedy=_REBUILD,
)
PATCH_SECTIONS = Code(
    id="HP3602",
    title="a section is not one of a patch image",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Sections have fixed names, flags, order and places; nothing may be writable and executable.",
    remedy=_REBUILD,
)
PATCH_DIRECTORIES = Code(
    id="HP3603",
    title="a data directory does not belong in a patch image",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Imports, exports, TLS callbacks and the like would run or bind code that nothing describes.",
    remedy=_REBUILD,
)
PATCH_HIDDEN_BYTES = Code(
    id="HP3604",
    title="the file holds bytes outside every section",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Bytes that belong to nothing could carry anything past the review.",
    remedy=_REBUILD,
)
PATCH_OVER_BASELINE = Code(
    id="HP3605",
    title="the patch image overlaps the baseline",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Mapping it would overwrite the module it is meant for.",
    remedy=_REBUILD,
)
PATCH_CHECKSUM = Code(
    id="HP3606",
    title="the patch image's checksum is wrong",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="The file was changed after it was written.",
    remedy=_REBUILD,
)
PATCH_UNWIND = Code(
    id="HP3607",
    title="the patch image's exception directory is malformed",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="An exception or a stack walk in the new code would go wrong.",
    remedy=_REBUILD,
)
PATCH_RELOCATIONS = Code(
    id="HP3608",
    title="the patch image's base relocations are malformed",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Absolute addresses would be adjusted in the wrong places.",
    remedy=_REBUILD,
)
PATCH_LOAD_CONFIG = Code(
    id="HP3609",
    title="the patch image's load configuration is malformed",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="It must lead to the native hotpatch table and say nothing else.",
    remedy=_REBUILD,
)
PATCH_NATIVE_TABLE = Code(
    id="HP3610",
    title="the patch image's native hotpatch table is not of its one shape",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="A table for another base image, or bytes that no record explains, would escape the review.",
    remedy=_REBUILD,
)
FIXUPS_DISAGREE = Code(
    id="HP3611",
    title="the listed fixups are not those of the patch image",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Some address would not be adjusted, or bytes that are none would be.",
    remedy=_REBUILD,
)

MOVE_ILLEGAL = Code(
    id="HP3701",
    title="the patch image may not be placed there",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="It must lie a multiple of 64 KiB above its nominal place and within 2 GiB of the image base.",
    remedy="Choose another place above the baseline.",
)
FIXUP_MISPLACED = Code(
    id="HP3702",
    title="a fixup is out of bounds, out of order or overlaps another",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="Applying it would change bytes that are not an address.",
    remedy=_REBUILD,
)
FIXUP_VALUE = Code(
    id="HP3703",
    title="a fixup's field does not hold what its kind says",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="The field's nominal value names no address in the baseline or the patch image.",
    remedy=_REBUILD,
)
FIXUP_OVERFLOW = Code(
    id="HP3704",
    title="a fixup's field cannot hold its value at this place",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The moved code would reach a wrong address.",
    remedy="Choose a place nearer to the baseline.",
)

ROWS: tuple[Code, ...] = (
    PLAN_INCONSISTENT,
    FIELD_OVERFLOW,
    TARGET_OUTSIDE,
    TABLE_ORIGIN_IN_BASELINE,
    OUT_OF_REACH,
    UNWIND_OVERLAP,
    SEQUENCE_INVALID,
    OLD_BYTES_DIFFER,
    NOT_AMD64,
    ZERO_FILL_TOO_LARGE,
    PATCH_HEADERS,
    PATCH_SECTIONS,
    PATCH_DIRECTORIES,
    PATCH_HIDDEN_BYTES,
    PATCH_OVER_BASELINE,
    PATCH_CHECKSUM,
    PATCH_UNWIND,
    PATCH_RELOCATIONS,
    PATCH_LOAD_CONFIG,
    PATCH_NATIVE_TABLE,
    FIXUPS_DISAGREE,
    MOVE_ILLEGAL,
    FIXUP_MISPLACED,
    FIXUP_VALUE,
    FIXUP_OVERFLOW,
)
