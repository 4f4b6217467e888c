"""Codes of release lines and of what was accepted of them, HP80xx: the line HP8001-, its state file HP8021-,
revert packages in use HP8041-."""

from hpbuild.errors import Code, ExitStatus, Severity


def _refuse(number: int, status: ExitStatus, title: str, why: str, remedy: str) -> Code:
    """Row that refuses."""
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


ROLLBACK = _refuse(
    8001, ExitStatus.NO, "an older package than one that was accepted before",
    "Going back to an older package brings the defects back that the newer one repaired; with a genuine old "
    "package anybody can try that.",
    "Use the newest package of the line. To take a package back, ask its maker for a revert package.",
)  # fmt: skip
EQUIVOCATION = _refuse(
    8002, ExitStatus.NO, "another package with this sequence was accepted before",
    "A line has one package for each sequence. Two signed ones mean that somebody shows different packages "
    "to different people, or that a signing key is in other hands.",
    "Do not use the package; report both statement digests to the maker.",
)  # fmt: skip
FAR_FUTURE = _refuse(
    8003, ExitStatus.NO, "the sequence is too far ahead",
    "Once such a package was accepted, every genuine package up to its sequence would be refused as a "
    "rollback.",
    "Ask the maker whether the sequence is meant; then raise max_sequence_jump in the policy for this step.",
)  # fmt: skip
ID_REUSED = _refuse(
    8004, ExitStatus.NO, "the id belongs to another package that was accepted before",
    "Overrides, revocations and `supersedes` name packages by their ids; two packages of one id cannot be "
    "told apart there.",
    "Get a package with an id of its own.",
)  # fmt: skip
SUPERSEDED = _refuse(
    8005, ExitStatus.NO, "a package that was accepted before supersedes this one",
    "The maker said that the other package takes the place of this one.",
    "Use the package that supersedes it.",
)  # fmt: skip
REPLAY = _refuse(
    8006, ExitStatus.NO, "the package was taken back",
    "A signed revert package was accepted for it; offering it again would undo that.",
    "Use a newer package of the line.",
)  # fmt: skip
REVERTS_UNKNOWN = _refuse(
    8007, ExitStatus.NOT_APPLICABLE, "the package that it takes back was never accepted here",
    "There is nothing to take back. That the line goes on from there is for the next package to say.",
    "Nothing to do on this machine; skip the revert package.",
)  # fmt: skip
REVERTS_OTHER = _refuse(
    8008, ExitStatus.NO, "it takes back another package than the one that was accepted under that id",
    "Id or sequence are those of an accepted package and its statement is another one: the maker showed "
    "different packages to different people.",
    "Do not use the package; report both statement digests to the maker.",
)  # fmt: skip
REVERTED_ALREADY = _refuse(
    8009, ExitStatus.NOT_APPLICABLE, "the package that it takes back was taken back before",
    "Another revert package did that.",
    "Nothing to do on this machine.",
)  # fmt: skip
SUPERSEDES_NEWER = _refuse(
    8010, ExitStatus.NO, "it supersedes a package that is not older",
    "A package can only take the place of packages with lower sequences; this one would turn the line "
    "around.",
    "Do not use the package; its maker has to correct its sequence or the list.",
)  # fmt: skip
NO_PRODUCT = _refuse(
    8011, ExitStatus.NO, "the package names no product line",
    "Sequences are counted for each product line; without a name there is nothing to compare with, and "
    "packages of different products would block each other.",
    "Have the package built with --product NAME.",
)  # fmt: skip
STATE_REQUIRED = _refuse(
    8012, ExitStatus.NO, "the policy requires a state file and none was given",
    "Without the memory of what was accepted before, old packages cannot be told from new ones.",
    "Give --state FILE, the same file in every run.",
)  # fmt: skip
FIRST_OF_LINE = Code(
    id="HP8013", title="nothing of this product line was accepted before", severity=Severity.NOTE,
    exit=ExitStatus.YES,
    why="The first package of a line is believed as it is: whether there is a newer one cannot be known "
    "here.",
    remedy="Expected at the first run on a machine. If it is not the first, find out what became of the "
    "state file.",
)  # fmt: skip
EXPIRED_BEFORE = _refuse(
    8014, ExitStatus.NO, "the package had expired when the last one was accepted",
    "By the time that the state file remembers the package is expired, so the clock was set back, or it was "
    "ahead then.",
    "Correct the clock; get the package that supersedes this one.",
)  # fmt: skip
STATE_FORMAT = _refuse(
    8021, ExitStatus.MALFORMED, "not a state file",
    "A file of another kind, or of another version of hpbuild, remembers nothing that can be relied on.",
    "Check the path after --state.",
)  # fmt: skip
STATE_TRUNCATED = _refuse(
    8022, ExitStatus.MALFORMED, "the state file is cut off",
    "hpbuild replaces the file as a whole; a part of it was written by something else, and the newest "
    "records are missing.",
    "Restore the file together with its key from a copy of the same moment, or find out from the maker what "
    "the newest package is, remove file and key, and begin again with that.",
)  # fmt: skip
STATE_ALTERED = _refuse(
    8023, ExitStatus.NO, "the state file was altered",
    "Its records do not follow from each other, or they are not those that this machine's key has sealed.",
    "Find out who wrote it. Restore the file together with its key from a copy of the same moment, or find "
    "out from the maker what the newest package is, remove file and key, and begin again with that.",
)  # fmt: skip
STATE_ROLLED_BACK = _refuse(
    8024, ExitStatus.NO, "the state file is older than its key",
    "The key counts the records. An old copy of the state file, or none, would let old packages through "
    "again.",
    "Restore the newest copy of the state file. If there is none, find out from the maker what the newest "
    "package is, remove file and key, and begin again with that.",
)  # fmt: skip
KEY_MISSING = _refuse(
    8025, ExitStatus.UNAVAILABLE, "the key of the state file is missing or cannot be read",
    "Without FILE.key nobody can tell whether the state file is the one that this machine wrote.",
    "Run as the user who made it, or restore it together with the state file.",
)  # fmt: skip
KEY_EXPOSED = _refuse(
    8026, ExitStatus.UNAVAILABLE, "others can read or write the key of the state file",
    "Whoever has the key can write a state file with any history.",
    "If nobody else has used it: make the user who runs hpbuild its owner, and set mode 600.",
)  # fmt: skip
KEY_FORMAT = _refuse(
    8027, ExitStatus.MALFORMED, "not the key of a state file",
    "The file beside the state file is none that hpbuild has written.",
    "Restore it together with the state file.",
)  # fmt: skip
STATE_LOCKED = _refuse(
    8028, ExitStatus.UNAVAILABLE, "another run is using the state file",
    "Two runs at once would not see what the other one accepts.",
    "Run the command again when the other one has ended, or wait longer with --state-wait.",
)  # fmt: skip
STATE_UNWRITABLE = _refuse(
    8029, ExitStatus.UNAVAILABLE, "the state file cannot be read or written",
    "A package that was accepted without being remembered could be rolled back unnoticed, so the run has no "
    "success.",
    "Check the folder, its permissions and the space left.",
)  # fmt: skip
STATE_LIMIT = _refuse(
    8030, ExitStatus.LIMIT, "the state file is too large",
    "Its size and the number of its records are bounded, so that reading it cannot exhaust the machine.",
    "Keep a state file for each product, or begin a new one with the newest package.",
)  # fmt: skip
NOT_VOUCHED_FOR = _refuse(
    8031, ExitStatus.USAGE, "only packages with trusted signatures are remembered",
    "An unsigned package could move the line to any place, and all genuine ones would be refused.",
    "Name trusted keys or a policy; --allow-unsigned does not go with --state.",
)  # fmt: skip
REVERT_NOT_APPLIED = _refuse(
    8041, ExitStatus.NO, "a revert package cannot be applied",
    "It carries the package that it takes back; applying it would do the opposite of what it was made for.",
    "Give it to `hpbuild revert`.",
)  # fmt: skip
REVERT_NEEDED = _refuse(
    8042, ExitStatus.NO, "a signed revert package is needed",
    "With a policy or a state file, going back has to be signed like going forward; the package itself says "
    "only that its code is good.",
    "Get the revert package from the maker (`hpbuild build --revert X.hpb`), signed as the policy asks.",
)  # fmt: skip

ROWS: tuple[Code, ...] = (
    ROLLBACK,
    EQUIVOCATION,
    FAR_FUTURE,
    ID_REUSED,
    SUPERSEDED,
    REPLAY,
    REVERTS_UNKNOWN,
    REVERTS_OTHER,
    REVERTED_ALREADY,
    SUPERSEDES_NEWER,
    NO_PRODUCT,
    STATE_REQUIRED,
    FIRST_OF_LINE,
    EXPIRED_BEFORE,
    STATE_FORMAT,
    STATE_TRUNCATED,
    STATE_ALTERED,
    STATE_ROLLED_BACK,
    KEY_MISSING,
    KEY_EXPOSED,
    KEY_FORMAT,
    STATE_LOCKED,
    STATE_UNWRITABLE,
    STATE_LIMIT,
    NOT_VOUCHED_FOR,
    REVERT_NOT_APPLIED,
    REVERT_NEEDED,
)
