"""HP72xx (below HP7250): writing a package into a file, and taking it out again."""

from hpbuild.errors import Code, ExitStatus, Severity

_REVERT_BY_HAND = "Put the original file back from its installer or a backup."

NOT_VERIFIED = Code(
    id="HP7201",
    title="the verifier did not say yes, so nothing was written",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="A package is acted on only when every check of `hpbuild verify` passes for the files that it is "
    "to be written into.",
    remedy="Look at the other findings of this result; `hpbuild verify` with the same options shows all "
    "checks.",
)
ALREADY_APPLIED = Code(
    id="HP7202",
    title="the package is in this file already",
    severity=Severity.REFUSE,
    exit=ExitStatus.NOT_APPLICABLE,
    why="There is nothing to write; a second copy of the new code would only hide the first.",
    remedy="Use the file as it is, or take the package out with `hpbuild revert --offline` first.",
)
NOT_APPLIED = Code(
    id="HP7203",
    title="the package is not in this file",
    severity=Severity.REFUSE,
    exit=ExitStatus.NOT_APPLICABLE,
    why="There is nothing to take out.",
    remedy="Name the file that `hpbuild apply --offline` wrote, and the package that was applied.",
)
FILE_CHANGED = Code(
    id="HP7204",
    title="the file changed after it was verified",
    severity=Severity.REFUSE,
    exit=ExitStatus.UNAVAILABLE,
    why="What was checked and what would be changed must be the same bytes.",
    remedy="Keep other programs from writing the file and run the command again.",
)
NO_HEADER_ROOM = Code(
    id="HP7205",
    title="the headers have no room for further sections",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Something follows the section table directly, or the headers fill their page: a longer table "
    "would overwrite it. Loaders take no section whose header lies elsewhere.",
    remedy="Patch the running process instead (`hpbuild apply --pid`), or ship a full update of the file.",
)
WINDOW_NOT_IN_FILE = Code(
    id="HP7206",
    title="an entry to redirect has no bytes in the file",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The entry lies in memory that the loader fills with zeros, so there is nothing to write the jump "
    "over.",
    remedy="Build the package again with an unaltered hpbuild; if that does not help, report it with the "
    "binary.",
)
RELOCATION_IN_JUMP = Code(
    id="HP7207",
    title="a base relocation would change a redirection",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="When the image is loaded at another address the loader adds to the bytes of the jump, which would "
    "then lead anywhere.",
    remedy="Ship a full update of the file.",
)
IMAGE_TOO_LARGE = Code(
    id="HP7208",
    title="the patched image would be too large",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="The new sections would end more than 1 GiB above the image base, or the file would have more "
    "sections or bytes than can be read back.",
    remedy="Ship a full update of the file.",
)
CERTIFICATE_IN_IMAGE = Code(
    id="HP7209",
    title="the certificate table lies over other parts of the file",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="The old signature has to be removed, and removing it would take code, data or headers along.",
    remedy="Get the file again from its publisher.",
)
RESULT_WRONG = Code(
    id="HP7210",
    title="the patched file did not stand its check",
    severity=Severity.REFUSE,
    exit=ExitStatus.BUG,
    why="Before a patched file is written it is read again, verified as any installed file, and taken back "
    "to the original. One of these failed, so nothing was written.",
    remedy="This is a defect of hpbuild: report it with the package and the file.",
)
NO_UNDO_RECORD = Code(
    id="HP7211",
    title="the patched file has no undo record",
    severity=Severity.REFUSE,
    exit=ExitStatus.NOT_APPLICABLE,
    why="The record in section .hpundo holds what the patch replaced: headers, entries, the old signature. "
    "Without it the original bytes cannot be had from this file.",
    remedy=_REVERT_BY_HAND,
)
UNDO_MALFORMED = Code(
    id="HP7212",
    title="the undo record cannot be read",
    severity=Severity.REFUSE,
    exit=ExitStatus.MALFORMED,
    why="It was damaged or made by another program; what it would give back is not the original file.",
    remedy=_REVERT_BY_HAND,
)
UNDO_TOO_LARGE = Code(
    id="HP7213",
    title="the undo record asks for too much",
    severity=Severity.REFUSE,
    exit=ExitStatus.LIMIT,
    why="A few bytes in a file could make the command use memory without bound.",
    remedy=_REVERT_BY_HAND,
)
UNDO_RESULT_DIFFERS = Code(
    id="HP7214",
    title="what the undo record gives back is not the baseline",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The original file is pinned by the signed package. Anything else must not be written in its name.",
    remedy=_REVERT_BY_HAND,
)
OUTPUT_IN_THE_WAY = Code(
    id="HP7215",
    title="the output directory exists",
    severity=Severity.REFUSE,
    exit=ExitStatus.USAGE,
    why="A tree is written whole or not at all, by one rename at the end; that needs a name that is free.",
    remedy="Name a directory that does not exist yet; copy its files over the installed ones afterwards.",
)
DYNAMIC_RELOCATION_IN_JUMP = Code(
    id="HP7216",
    title="Windows would rewrite the bytes of a redirection",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="The image's dynamic relocations name instructions that the loader may replace, and a redirection "
    "lies over one of them.",
    remedy="Ship a full update of the file.",
)
SECTION_ALIGNMENT = Code(
    id="HP7217",
    title="the image's section alignment does not fit the patch image",
    severity=Severity.REFUSE,
    exit=ExitStatus.NO,
    why="Patch images are laid out in pages of 4 KiB; a loader does not take sections that are not aligned "
    "as the headers say.",
    remedy="Patch the running process instead (`hpbuild apply --pid`), or ship a full update of the file.",
)

SIGNATURE_REMOVED = Code(
    id="HP7220",
    title="the old signature was removed",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="Authenticode signs the whole file; a patched one cannot keep its publisher's signature.",
    remedy="Sign the patched file with your own key where your policy asks for signed files; `hpbuild revert "
    "--offline` gives the signed original back.",
)
OVERLAY_MOVED = Code(
    id="HP7221",
    title="data after the last section was moved",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="New sections lie before it now. Programs that look for such data from the end of the file still "
    "find it, those that remember its distance from the start do not.",
    remedy="Try the patched program; installers and self-extracting files are the ones to look at.",
)
HEADERS_GREW = Code(
    id="HP7222",
    title="the headers were made longer",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="There was no room for the new section headers, so everything behind the headers moved in the file. "
    "Loaders do not notice; file offsets in the debug directory still say where its data lay before.",
    remedy="Nothing, unless a tool reads the debug directory by file offsets: it then finds other bytes.",
)
INTEGRITY_FLAG = Code(
    id="HP7223",
    title="the image asks Windows to check its signature",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="It was linked with /INTEGRITYCHECK: Windows does not load it without a valid signature, and the "
    "patched copy has none.",
    remedy="Sign the patched file before it is loaded.",
)
CONTINUATIONS_UNKNOWN = Code(
    id="HP7224",
    title="exception continuation targets of new code are not listed",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="The image has a table of addresses where execution may go on after an exception. Handlers in the "
    "new code are not in it: where Windows enforces the table (shadow stacks), they would end the program.",
    remedy="Try exceptions in the new functions on a machine that enforces shadow stacks, or ship a full "
    "update of the file.",
)
DYNAMIC_RELOCATIONS_UNKNOWN = Code(
    id="HP7225",
    title="the image's dynamic relocations are not understood",
    severity=Severity.WARN,
    exit=ExitStatus.YES,
    why="They name instructions that Windows may replace as it loads the image. Whether one of them lies "
    "under a redirection could not be found out.",
    remedy="Try the patched file on the Windows versions that it is for.",
)

ROWS: tuple[Code, ...] = (
    NOT_VERIFIED,
    ALREADY_APPLIED,
    NOT_APPLIED,
    FILE_CHANGED,
    NO_HEADER_ROOM,
    WINDOW_NOT_IN_FILE,
    RELOCATION_IN_JUMP,
    IMAGE_TOO_LARGE,
    CERTIFICATE_IN_IMAGE,
    RESULT_WRONG,
    NO_UNDO_RECORD,
    UNDO_MALFORMED,
    UNDO_TOO_LARGE,
    UNDO_RESULT_DIFFERS,
    OUTPUT_IN_THE_WAY,
    DYNAMIC_RELOCATION_IN_JUMP,
    SECTION_ALIGNMENT,
    SIGNATURE_REMOVED,
    OVERLAY_MOVED,
    HEADERS_GREW,
    INTEGRITY_FLAG,
    CONTINUATIONS_UNKNOWN,
    DYNAMIC_RELOCATIONS_UNKNOWN,
)
