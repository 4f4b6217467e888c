"""Codes of the bundle stage: container HP42xx, statement and contents HP43xx, files HP48xx."""

from hpbuild.errors import Code, ExitStatus, Severity

_AGAIN = "Get the package again from its source; hpbuild never writes such a file."


def _refuse(
    number: int, title: str, why: str, remedy: str = _AGAIN, status: ExitStatus = ExitStatus.MALFORMED
) -> Code:
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


NOT_A_BUNDLE = _refuse(
    4201,
    "not a bundle",
    "A file that does not begin with a bundle's first member is something else, or has bytes in front.",
    "Check the file name; a bundle ends in .hpb and is made by `hpbuild build`.",
)
TRUNCATED = _refuse(
    4202,
    "bundle is cut off",
    "Members or the directory are missing, so the digest of nothing can be trusted.",
)
BAD_HEADER = _refuse(
    4203,
    "member header outside the strict profile",
    "Compression, encryption, descriptors, extra fields, times and modes give one content many spellings, "
    "and unpackers disagree about them.",
)
BAD_CRC = _refuse(4204, "checksum of a member is wrong", "The member was damaged or changed.")
BAD_DIRECTORY = _refuse(
    4205,
    "directory does not repeat the member headers",
    "Programs that read the directory would see other members than those that read the file from its start.",
)
TRAILING = _refuse(
    4206,
    "bytes after the end of the bundle",
    "Trailing bytes are covered by no signature and can hide another archive.",
)
BAD_NAME = _refuse(
    4207,
    "bad member name",
    "A name that climbs out of its directory or names a device could overwrite files.",
)
DUPLICATE_MEMBER = _refuse(
    4208, "two members of one name", "Programs disagree about which of the two members counts."
)
BAD_ORDER = _refuse(
    4209, "members are not in their fixed order", "Without a fixed order the same package has many digests."
)
MISSING_MEMBER = _refuse(
    4210, "required member is missing", "A package without statement or manifest says nothing about itself."
)
UNKNOWN_MEMBER = _refuse(
    4211,
    "member outside the known places",
    "A member that this version does not understand could change what the package means.",
    "Use the version of hpbuild that wrote the package, or a newer one.",
)
LIMIT = _refuse(
    4212,
    "bundle exceeds a limit",
    "An unbounded package could exhaust the memory of the machine that checks it.",
    "If the package is genuine, split the release into several packages.",
    ExitStatus.LIMIT,
)
BAD_STATEMENT = _refuse(
    4301, "statement of another kind", "Only an in-toto statement about a hotpatch says what is signed."
)
SUBJECT_MISMATCH = _refuse(
    4302,
    "member differs from the statement",
    "The statement is what is signed; a member with another digest was changed after the package was made.",
)
SUBJECT_MISSING = _refuse(
    4303,
    "member and statement do not list the same files",
    "A member outside the statement is not signed by anyone.",
)
STATEMENT_DISAGREES = _refuse(
    4304,
    "statement and manifest disagree",
    "Whoever decides by the statement alone would decide about another package.",
)
IMAGE_MISMATCH = _refuse(
    4305, "patch image differs from the manifest", "The bytes that would be loaded are not those described."
)
IMAGE_MISSING = _refuse(
    4306,
    "patch images and manifest do not list the same members",
    "A module has no code to load, or the package carries code that nothing describes.",
)
SUPERSEDES_CONTRADICTS = _refuse(
    4307,
    "a package supersedes itself, or one package twice",
    "The order of the packages of a line would depend on who reads it.",
    "Name each older package once with --supersedes, and not the package itself.",
)
REVERT_CONTRADICTS = _refuse(
    4308,
    "a revert package contradicts itself",
    "The only way back is a later package that takes back one earlier package; everything else could be used "
    "to move a line backwards.",
    "Give the revert package an id and a sequence of its own, above that of the package that it takes back.",
)
NOT_REVERTIBLE = _refuse(
    4309,
    "a revert package cannot be taken back",
    "It carries no code of its own. What it took back is built again under a new id and a higher sequence.",
    "Build a new package from the two builds with a higher sequence.",
    ExitStatus.NO,
)
NO_SUCH_FILE = _refuse(4801, "no such file", "There is nothing to read.", "Check the path.", ExitStatus.USAGE)
NOT_A_FILE = _refuse(
    4802,
    "not a regular file",
    "Directories, devices and pipes have no content that stays the same while it is checked.",
    "Name a regular file.",
    ExitStatus.USAGE,
)
NO_PERMISSION = _refuse(
    4803,
    "permission denied",
    "The file cannot be read or written by this user.",
    "Change the permissions, or run as a user who may.",
    ExitStatus.USAGE,
)
TOO_LARGE = _refuse(
    4804,
    "file is too large to be what it should be",
    "Reading it could exhaust the memory of the machine.",
    "Check the path.",
    ExitStatus.LIMIT,
)
DISK_FULL = _refuse(
    4805,
    "no space left for the output",
    "The output could not be written; nothing partial was left behind.",
    "Free some space and run the command again.",
    ExitStatus.LIMIT,
)
IO_FAILED = _refuse(
    4806,
    "file could not be read or written",
    "The operating system reported an error.",
    "See the cause; check the disk or the network share.",
    ExitStatus.UNAVAILABLE,
)
ALREADY_EXISTS = _refuse(
    4807,
    "output exists already",
    "An existing file of this kind is never overwritten, since it may be the only copy.",
    "Choose another name, or move the existing file away.",
    ExitStatus.USAGE,
)

ROWS: tuple[Code, ...] = (
    NOT_A_BUNDLE,
    TRUNCATED,
    BAD_HEADER,
    BAD_CRC,
    BAD_DIRECTORY,
    TRAILING,
    BAD_NAME,
    DUPLICATE_MEMBER,
    BAD_ORDER,
    MISSING_MEMBER,
    UNKNOWN_MEMBER,
    LIMIT,
    BAD_STATEMENT,
    SUBJECT_MISMATCH,
    SUBJECT_MISSING,
    STATEMENT_DISAGREES,
    IMAGE_MISMATCH,
    IMAGE_MISSING,
    SUPERSEDES_CONTRADICTS,
    REVERT_CONTRADICTS,
    NOT_REVERTIBLE,
    NO_SUCH_FILE,
    NOT_A_FILE,
    NO_PERMISSION,
    TOO_LARGE,
    DISK_FULL,
    IO_FAILED,
    ALREADY_EXISTS,
)
