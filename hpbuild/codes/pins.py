"""HP62xx: pages of the installed file, and who signed it."""

from hpbuild.errors import Code, ExitStatus, Severity


def _refuse(number: int, status: ExitStatus, title: str, why: str, remedy: str) -> Code:
    """Row that refuses."""
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


PAGE_DIFFERS = _refuse(
    6201, ExitStatus.NOT_APPLICABLE, "a page that is to be written to is not as recorded",
    "Beside the entries that are redirected, the page holds other code than the baseline has there: another "
    "build, or somebody changed it. What the package was proved for is not what would run.",
    "Install the baseline that the package names. If another tool patches this program, take its changes out "
    "first.",
)  # fmt: skip

UNSIGNED_FILE = _refuse(
    6211, ExitStatus.NOT_APPLICABLE, "the installed file carries no Authenticode signature",
    "The policy says who has to have signed the installed file; nobody has.",
    "Install the file as its publisher signed it, or take the publisher rule out of the policy.",
)  # fmt: skip
SIGNATURE_MALFORMED = _refuse(
    6212, ExitStatus.NOT_APPLICABLE, "the Authenticode signature has not the strict form",
    "Bytes behind the signature, further signatures beside it, or other spellings of it are read "
    "differently by different tools, and are signed by nobody.",
    "Install the file as its publisher signed it. A file with data stuffed into its signature cannot meet a "
    "publisher rule.",
)  # fmt: skip
SIGNATURE_OF_OTHER_FILE = _refuse(
    6213, ExitStatus.NOT_APPLICABLE, "the Authenticode signature is that of another file",
    "A genuine signature was put onto this file, or the file was changed after it was signed.",
    "Install the file as its publisher signed it.",
)  # fmt: skip
SIGNATURE_BAD = _refuse(
    6214, ExitStatus.NOT_APPLICABLE, "the Authenticode signature is not sound",
    "What it says was changed after it was made, or another key made it than it says.",
    "Install the file as its publisher signed it.",
)  # fmt: skip
SIGNATURE_WEAK = _refuse(
    6215, ExitStatus.NOT_APPLICABLE, "the Authenticode signature rests on a weak or unknown algorithm",
    "Two files with one SHA-1 hash can be made; a signature over such a hash says nothing about this file.",
    "Have the file signed with SHA-256, with RSA or ECDSA.",
)  # fmt: skip
OTHER_PUBLISHER = _refuse(
    6216, ExitStatus.NOT_APPLICABLE, "the installed file is signed by another publisher",
    "The chain ends at an authority of the policy, but the certificate is not the publisher's that it names.",
    "Install the publisher's file, or correct the subject in the policy's publisher rule.",
)  # fmt: skip
SIGNATURE_AMBIGUOUS = _refuse(
    6217, ExitStatus.NOT_APPLICABLE, "two readers of the Authenticode signature disagree",
    "What two implementations read differently can be made to say one thing to the verifier and another to "
    "Windows.",
    "Install the file as its publisher signed it; if it is genuine, report it to the maintainers.",
)  # fmt: skip
NO_SIGNED_FILE = _refuse(
    6218, ExitStatus.NOT_APPLICABLE, "no file whose publisher could be judged is behind a module in memory",
    "The policy says who has to have signed what is installed, and memory carries no signature. The file "
    "that the module was loaded from is not known here, was replaced since, or is not the baseline to the "
    "byte or by its Authenticode hash; a dump has no files at all.",
    "Look at the process on the machine where it runs, started from the file as its publisher signed it. A "
    "dump, or a program that was started from a patched copy, cannot meet a publisher rule.",
)  # fmt: skip

ROWS: tuple[Code, ...] = (
    PAGE_DIFFERS,
    UNSIGNED_FILE,
    SIGNATURE_MALFORMED,
    SIGNATURE_OF_OTHER_FILE,
    SIGNATURE_BAD,
    SIGNATURE_WEAK,
    OTHER_PUBLISHER,
    SIGNATURE_AMBIGUOUS,
    NO_SIGNED_FILE,
)
