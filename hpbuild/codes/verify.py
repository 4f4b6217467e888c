"""Codes of the verify stage, HP6xxx."""

from hpbuild.errors import Code, ExitStatus, Severity


def _refuse(number: int, status: ExitStatus, title: str, why: str, remedy: str) -> Code:
    """Row that refuses."""
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


NOTHING_CHECKED = _refuse(
    6001, ExitStatus.NO, "nothing was checked",
    "A run that looked at nothing says nothing about the package; counting it as a success would let an "
    "empty input through every gate.",
    "Give a bundle and a trust policy, and look at the reasons that the checks give for not being run.",
)  # fmt: skip
CHECK_NOT_RUN = _refuse(
    6002, ExitStatus.NO, "a check that success needs was not made",
    "Success means that every check passed. One that was not made proves nothing.",
    "Look at the reason that the check gives for not being run.",
)  # fmt: skip
UNTRUSTED = _refuse(
    6003, ExitStatus.NO, "not enough trusted signatures",
    "Nobody whom the policy trusts has vouched for these bytes; they may come from anybody.",
    "Compare the public keys listed for the package with those in the policy, get the package signed by the "
    "right keys, or get an unaltered copy.",
)  # fmt: skip
SIGNATURES_WAIVED = Code(
    id="HP6004", title="signatures were not required", severity=Severity.WARN, exit=ExitStatus.YES,
    why="The policy names no key and allows unsigned packages: the result says what the package does, not "
    "where it comes from.",
    remedy="Name the trusted public keys for every use outside a development machine.",
)  # fmt: skip
EXPIRED = _refuse(
    6005, ExitStatus.NO, "the package has expired",
    "Its signers meant it to be used until that time only; a newer package or a full update replaces it.",
    "Get the package that supersedes this one.",
)  # fmt: skip
PATCH_IMAGE_PLACE = _refuse(
    6016, ExitStatus.NO, "a patch image lies where it must not",
    "Patch sections must lie above the baseline's own image and inside the range that the manifest states; "
    "anything else could cover code or data of the baseline.",
    "Build the package again with an unaltered hpbuild.",
)  # fmt: skip
PATCH_TABLE_DISAGREES = _refuse(
    6018, ExitStatus.NO, "the native hotpatch table and the manifest disagree",
    "Windows acts on the native table, hpbuild on the manifest; a package in which the two say different "
    "things does not do what its manifest shows.",
    "Build the package again with an unaltered hpbuild.",
)  # fmt: skip
LIMIT_EXCEEDED = _refuse(
    6019, ExitStatus.LIMIT, "the package exceeds a limit of the policy",
    "Bounds keep a hostile package from using up memory and time; what lies beyond was not looked at.",
    "Raise the limit in the policy if you expect a package of this size.",
)  # fmt: skip
POLICY_THRESHOLD = _refuse(
    6020, ExitStatus.USAGE, "the policy's threshold cannot be met",
    "A threshold below one trusts nobody, one above the number of different keys can never be reached.",
    "Set the threshold between 1 and the number of different trusted keys.",
)  # fmt: skip
POLICY_CONTRADICTS = _refuse(
    6021, ExitStatus.USAGE, "the policy allows unsigned packages and names trusted keys",
    "With both, a reader could take a waived signature for a trusted one.",
    "Either name trusted keys, or allow unsigned packages.",
)  # fmt: skip
MODULE_NOT_CHOSEN = _refuse(
    6022, ExitStatus.USAGE, "it is not clear which module the installed file is",
    "The package has several modules and none, or more than one, has this file name.",
    "Give the directory that the modules' paths are relative to, or a file with a module's name.",
)  # fmt: skip
MODULE_NOT_FOUND = _refuse(
    6030, ExitStatus.NOT_APPLICABLE, "an installed file is missing",
    "A module of the package has no counterpart below the installed directory, so the package does not fit.",
    "Give the directory that the modules' paths are relative to.",
)  # fmt: skip
MODULE_UNREADABLE = _refuse(
    6031, ExitStatus.UNAVAILABLE, "an installed file cannot be read",
    "The file is there and the system refused to hand out its bytes, so nothing is known about it.",
    "Run with the right to read the file.",
)  # fmt: skip
MODULE_TOO_LARGE = _refuse(
    6032, ExitStatus.LIMIT, "an installed file exceeds the limit of the policy",
    "Files are read into memory as a whole so that all checks see the same bytes.",
    "Raise the limit in the policy if the file is meant to be that large.",
)  # fmt: skip
MODULE_NOT_PE = _refuse(
    6033, ExitStatus.NOT_APPLICABLE, "an installed file is not a readable PE image",
    "It cannot be the baseline, whose pins describe a well-formed image.",
    "Check that the path names the right file; reinstall the product if the file is damaged.",
)  # fmt: skip
PIN_MISMATCH = _refuse(
    6034, ExitStatus.NOT_APPLICABLE, "the installed file is not the baseline",
    "A hotpatch is written against exact addresses of one build; in another build it would overwrite "
    "unrelated code.",
    "Install the baseline that the package names, or get the package for the installed build.",
)  # fmt: skip
TIER_TOO_LOW = _refuse(
    6035, ExitStatus.NOT_APPLICABLE, "the installed file matches the baseline too weakly for the policy",
    "The file resembles the baseline in the parts that the package touches, but differs from it elsewhere.",
    "Install the unaltered baseline, or lower the policy's tier if you know why the file differs.",
)  # fmt: skip
FUNCTION_DIFFERS = _refuse(
    6036, ExitStatus.NOT_APPLICABLE, "a function to be replaced is not as recorded",
    "The installed function is another one than the builder compared; replacing it would change the program "
    "in an unknown way.",
    "Install the baseline that the package names.",
)  # fmt: skip
REFERENCE_DIFFERS = _refuse(
    6037, ExitStatus.NOT_APPLICABLE, "something that the new code refers to is not as recorded",
    "The new code would call or read something else than the builder proved it to.",
    "Install the baseline that the package names.",
)  # fmt: skip
WINDOW_FOREIGN = _refuse(
    6038, ExitStatus.NOT_APPLICABLE, "an entry to be redirected holds foreign bytes",
    "Another tool has hooked the function, or the file was altered there; writing over it would break the "
    "hook and could not be undone.",
    "Find out who patched the file, remove that hook, and verify again.",
)  # fmt: skip
PARTLY_APPLIED = _refuse(
    6039, ExitStatus.NOT_APPLICABLE, "the package is only partly written into the file",
    "Some entries lead to new code and others do not, or the new code itself is missing or altered; such a "
    "file must not be run.",
    "Restore the baseline and apply the package again.",
)  # fmt: skip
PACKAGE_CONTRADICTS_BASELINE = _refuse(
    6040, ExitStatus.NO, "the package's records contradict its own baseline",
    "The installed file is the pinned baseline byte for byte where it counts, yet what the manifest records "
    "about it is not there: the package is wrong, not the file.",
    "Do not use the package; build it again from the right baseline.",
)  # fmt: skip
NOT_NEEDED = _refuse(
    6041, ExitStatus.NOT_APPLICABLE, "the installed file is already the fixed build",
    "There is nothing to patch.",
    "Nothing to do for this file.",
)  # fmt: skip
UNKNOWN_BASELINE = _refuse(
    6042, ExitStatus.NOT_APPLICABLE, "the installed file is no build that the package knows",
    "A hotpatch fits one build only.",
    "Get the package for the installed build, or install the baseline.",
)  # fmt: skip
CONFLICT = _refuse(
    6043, ExitStatus.NOT_APPLICABLE, "the installed file is the baseline with somebody else's changes",
    "Applying the package would meet bytes that it does not know.",
    "See the findings of the check on the bytes to be redirected.",
)  # fmt: skip
APPLIED_OLDER = _refuse(
    6044, ExitStatus.NOT_APPLICABLE, "an older package of the same line is in effect in the installed file",
    "By the hotpatch table in the file, its entries lead to the code of a package with a lower sequence. "
    "Nobody vouches for that table here, so the file is not reported as good.",
    "Revert the older package, then apply this one.",
)  # fmt: skip
APPLIED_NEWER = _refuse(
    6045, ExitStatus.NOT_APPLICABLE, "a newer package of the same line is in effect in the installed file",
    "By the hotpatch table in the file, its entries lead to the code of a package with a higher sequence; "
    "this package would take its fixes back. Nobody vouches for that table here.",
    "Verify the file against the newer package; there is nothing to do with this one.",
)  # fmt: skip

ROWS: tuple[Code, ...] = (
    NOTHING_CHECKED,
    CHECK_NOT_RUN,
    UNTRUSTED,
    SIGNATURES_WAIVED,
    EXPIRED,
    PATCH_IMAGE_PLACE,
    PATCH_TABLE_DISAGREES,
    LIMIT_EXCEEDED,
    POLICY_THRESHOLD,
    POLICY_CONTRADICTS,
    MODULE_NOT_CHOSEN,
    MODULE_NOT_FOUND,
    MODULE_UNREADABLE,
    MODULE_TOO_LARGE,
    MODULE_NOT_PE,
    PIN_MISMATCH,
    TIER_TOO_LOW,
    FUNCTION_DIFFERS,
    REFERENCE_DIFFERS,
    WINDOW_FOREIGN,
    PARTLY_APPLIED,
    PACKAGE_CONTRADICTS_BASELINE,
    NOT_NEEDED,
    UNKNOWN_BASELINE,
    CONFLICT,
    APPLIED_OLDER,
    APPLIED_NEWER,
)
