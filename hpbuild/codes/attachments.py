"""Codes of the documents about a package: provenance, SBOM, VEX, verification summary (HP45xx)."""

from hpbuild.errors import Code, ExitStatus, Severity

_AGAIN = "Get the package again from its source, or build it again; hpbuild never writes such an attachment."


def _refuse(
    number: int, title: str, why: str, remedy: str = _AGAIN, status: ExitStatus = ExitStatus.NO
) -> Code:
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


MALFORMED = _refuse(
    4501,
    "attachment is not well-formed",
    "Scanners and inventories that read it would each make something else of it, or stop.",
)
LIMIT = _refuse(
    4502,
    "attachment exceeds a limit",
    "An unbounded document could exhaust the memory of the machine that checks it.",
    "Split the release into several packages, or build it with --no-attachments.",
    ExitStatus.LIMIT,
)
WRONG_KIND = _refuse(
    4503,
    "attachment is of another kind or version than its name says",
    "Whoever trusts the name would read fields that mean something else.",
)
OTHER_PACKAGE = _refuse(
    4504,
    "attachment is about another package",
    "Provenance, inventory and exploitability of one package say nothing about another one.",
)
OTHER_FILES = _refuse(
    4505,
    "attachment names other files than the manifest",
    "An inventory or a provenance of other files would vouch for code that the package does not carry.",
)
OTHER_ADVISORIES = _refuse(
    4506,
    "attachment and manifest name different advisories",
    "A scanner would report a vulnerability as fixed that the package does not claim to fix, or the reverse.",
)
MISSING = _refuse(
    4507,
    "required attachment is missing",
    "The trust policy asks for a document that this package does not carry.",
    "Ask the maker for a package with the attachment, or take it out of the policy's required attachments.",
)
TOO_MUCH_TO_ATTEST = _refuse(
    4508,
    "verification summary is too large to sign",
    "Its readers bound what they read, so they would refuse it.",
    "Verify fewer packages in one run, or one part of the tree after the other.",
    ExitStatus.LIMIT,
)

ROWS: tuple[Code, ...] = (
    MALFORMED,
    LIMIT,
    WRONG_KIND,
    OTHER_PACKAGE,
    OTHER_FILES,
    OTHER_ADVISORIES,
    MISSING,
    TOO_MUCH_TO_ATTEST,
)
