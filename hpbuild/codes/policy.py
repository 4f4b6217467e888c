"""Codes of the trust policy: its file HP610x and HP611x, votes HP612x and HP613x, its rules HP614x, remarks
on it HP615x."""

from hpbuild.errors import Code, ExitStatus, Severity


def _refuse(number: int, status: ExitStatus, title: str, why: str, remedy: str) -> Code:
    """Row that refuses."""
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


def _warn(number: int, title: str, why: str, remedy: str) -> Code:
    """Row of a remark."""
    return Code(
        id=f"HP{number}", title=title, severity=Severity.WARN, exit=ExitStatus.YES, why=why, remedy=remedy
    )


NOT_TOML = _refuse(
    6101, ExitStatus.MALFORMED, "the policy is not a TOML document that can be read in one way only",
    "A policy that two readers understand differently protects nobody.",
    "Correct the file at the place that the cause names; numbers are whole, times have a zone.",
)  # fmt: skip
NOT_A_POLICY = _refuse(
    6102, ExitStatus.MALFORMED, "the policy has an unknown, missing or wrong entry",
    "A misspelt entry that was skipped over would switch off the rule that it was meant to set.",
    "`hpbuild schema policy-1` shows every entry that a policy may have.",
)  # fmt: skip
DUPLICATE_NAME = _refuse(
    6103, ExitStatus.USAGE, "a name in the policy occurs twice",
    "Whoever reads the policy could take the one for the other.",
    "Give every key, identity, authority and role a name of its own.",
)  # fmt: skip
UNKNOWN_NAME = _refuse(
    6104, ExitStatus.USAGE, "the policy uses a name that it does not define",
    "The entry would do nothing, and nobody would notice.",
    "Define the key, identity or authority, or correct the name.",
)  # fmt: skip
KEY_TWICE = _refuse(
    6105, ExitStatus.USAGE, "one key occurs twice in the policy",
    "One holder could vote under two names, or stand in for two roles that are meant to check each other.",
    "Name every key once, in one role.",
)  # fmt: skip
TRUSTS_NOBODY = _refuse(
    6106, ExitStatus.USAGE, "the policy has no role",
    "Without a role nobody's signature is needed, and every package would be accepted.",
    "Add a key with `hpbuild policy add-key FILE --role release release.pub`.",
)  # fmt: skip
HYBRID_IMPOSSIBLE = _refuse(
    6107, ExitStatus.USAGE, "a role of the hybrid policy can never be met",
    "The hybrid rule asks each role for its threshold in classical and in post-quantum votes.",
    "Add the missing kind of keys to the role; `hpbuild keys generate --algorithm ml-dsa-65` makes one.",
)  # fmt: skip
NOT_OVERRIDABLE = _refuse(
    6108, ExitStatus.USAGE, "the policy overrides a code that cannot be overridden",
    "Signatures, digests and the state of installed files are what everything else rests on: a package that "
    "fails there is not the package that was meant.",
    "Remove the override, and get a package that needs none.",
)  # fmt: skip
AUTHORITIES_NEEDED = _refuse(
    6109, ExitStatus.USAGE, "the policy requires time stamps and trusts nobody's",
    "No signature could ever count.",
    "Add [[timestamp_authorities]], or make time stamps optional.",
)  # fmt: skip
ALREADY_IN_POLICY = _refuse(
    6110, ExitStatus.USAGE, "the policy has this key or name already",
    "A key that is named twice would look like two.",
    "Leave the policy as it is, or give the key another name.",
)  # fmt: skip

UNKNOWN_KEY = _refuse(
    6121, ExitStatus.NO, "the signature is by no key of the policy",
    "It may be valid, but says nothing to somebody who does not trust its maker.",
    "Nothing, when others have signed too; else add the key or identity to the policy if you trust it.",
)  # fmt: skip
BAD_SIGNATURE = _refuse(
    6122, ExitStatus.NO, "the signature is not valid",
    "It names a key, or carries a certificate, and that key has not signed this statement.",
    "Get an unaltered copy of the package.",
)  # fmt: skip
KEY_REVOKED = _refuse(
    6123, ExitStatus.NO, "the signature is by a revoked key",
    "Whoever has the key by now can sign anything; only a time stamp shows that this was before.",
    "Get the package signed again with a key that is trusted.",
)  # fmt: skip
ALGORITHM_NOT_ALLOWED = _refuse(
    6124, ExitStatus.NO, "the signature's algorithm is not allowed by the policy",
    "The policy names the algorithms whose strength it relies on.",
    "Get the package signed with a key of an allowed kind.",
)  # fmt: skip
TIMESTAMP_MISSING = _refuse(
    6125, ExitStatus.NO, "the signature has no time stamp, and the policy requires one",
    "Without it nobody can tell a signature made while the key was good from one made later.",
    "Sign with --timestamp-url.",
)  # fmt: skip
NO_IDENTITY = _refuse(
    6126, ExitStatus.NO, "the certificate is not of an identity of the policy",
    "An authority gives certificates to many; the policy says whose count.",
    "Compare the subject with [identities.subject] in the policy.",
)  # fmt: skip
VOTED_ALREADY = _refuse(
    6127, ExitStatus.NO, "the key has a vote already",
    "One holder has one vote, however often he signs and whether the key is given raw or in a certificate.",
    "Get the package signed by another holder.",
)  # fmt: skip
CERTIFICATE_OF_OTHER_KEY = _refuse(
    6128, ExitStatus.NO, "the certificate does not belong to the signature",
    "Somebody put another's certificate beside this signature.",
    "Get an unaltered copy of the package.",
)  # fmt: skip
TIMESTAMP_IN_FUTURE = _refuse(
    6129, ExitStatus.NO, "the time stamp is later than the time of the verification",
    "At that time the signature was not there yet; one of the two clocks is wrong.",
    "Correct the clock, or the time given with --time.",
)  # fmt: skip
HYBRID_NOT_MET = _refuse(
    6131, ExitStatus.NO, "a role has not both its classical and its post-quantum votes",
    "Whoever breaks one kind of algorithm must not be able to sign; so both kinds have to agree.",
    "Get the package signed with the missing kind of key.",
)  # fmt: skip

WRONG_PRODUCT = _refuse(
    6141, ExitStatus.NO, "the package is for another product",
    "Its signers are trusted with the products of this policy only.",
    "Get the package for this product, or verify with the policy of that one.",
)  # fmt: skip
TOO_OLD = _refuse(
    6142, ExitStatus.NO, "the package is older than the policy accepts",
    "Whoever holds newer packages back keeps a known hole open.",
    "Get a current package.",
)  # fmt: skip
AGE_UNKNOWN = _refuse(
    6143, ExitStatus.NO, "the age of the package is not known",
    "The policy bounds the age, and neither a trusted time stamp nor the manifest says when it was made, or "
    "it says a time that has not come yet.",
    "Build with SOURCE_DATE_EPOCH set, or sign with --timestamp-url.",
)  # fmt: skip
EXPIRY_MISSING = _refuse(
    6144, ExitStatus.NO, "the package does not expire, and the policy requires it",
    "A package without an end can be held back and brought out years later.",
    "Build the package with --expires.",
)  # fmt: skip
BUNDLE_REVOKED = _refuse(
    6145, ExitStatus.NO, "the package was revoked",
    "The policy names it as one that must not be used any more.",
    "See the reason in the policy, and get the package that replaces it.",
)  # fmt: skip
OVERRIDDEN = _warn(
    6146, "a refusal was overridden by the policy",
    "Somebody has taken the responsibility for this package by name; it would not have been accepted else.",
    "Remove the override from the policy as soon as it is not needed any more.",
)  # fmt: skip
OVERRIDE_EXPIRED = _warn(
    6147, "an override of the policy has expired",
    "It is without effect.",
    "Remove it from the policy, or decide anew.",
)  # fmt: skip

ONE_VOTE = _warn(
    6151, "one signature is enough for a role",
    "Whoever steals one key can sign for the role.",
    "Raise the threshold and add keys of other holders.",
)  # fmt: skip
NO_END = _warn(
    6152, "packages are accepted however old they are",
    "Whoever holds newer packages back keeps a known hole open.",
    "Set max_age_days, or expiry to 'required'.",
)  # fmt: skip
WEAK_TIER = _warn(
    6153, "files are accepted that differ from the signed baseline",
    "Below the tier authenticode, parts of the file that no package looks at may have been altered.",
    "Set lowest_tier to 'authenticode' or 'exact'.",
)  # fmt: skip
NO_STATE = _warn(
    6154, "nothing remembers which packages were accepted",
    "An older package, or another with the same sequence, cannot be told from the right one.",
    "Set state to 'required' and verify with --state.",
)  # fmt: skip
UNUSED = _warn(
    6155, "an entry of the policy is used nowhere",
    "It looks as if it did something, and does nothing.",
    "Remove it, or name it where it was meant to count.",
)  # fmt: skip
OUT_OF_DATE = _warn(
    6156, "a certificate or revocation list of the policy is not valid now",
    "What rests on it is refused.",
    "Replace it with the authority's current one.",
)  # fmt: skip
MANY_OF_ONE = _warn(
    6157, "one identity can give all votes of a role",
    "Votes are counted by keys: whoever gets certificates for two keys under the same name has two votes.",
    "Name as many keys and identities as the threshold asks for, or let the authority issue one certificate "
    "only.",
)  # fmt: skip

ROWS: tuple[Code, ...] = (
    NOT_TOML,
    NOT_A_POLICY,
    DUPLICATE_NAME,
    UNKNOWN_NAME,
    KEY_TWICE,
    TRUSTS_NOBODY,
    HYBRID_IMPOSSIBLE,
    NOT_OVERRIDABLE,
    AUTHORITIES_NEEDED,
    ALREADY_IN_POLICY,
    UNKNOWN_KEY,
    BAD_SIGNATURE,
    KEY_REVOKED,
    ALGORITHM_NOT_ALLOWED,
    TIMESTAMP_MISSING,
    NO_IDENTITY,
    VOTED_ALREADY,
    CERTIFICATE_OF_OTHER_KEY,
    TIMESTAMP_IN_FUTURE,
    HYBRID_NOT_MET,
    WRONG_PRODUCT,
    TOO_OLD,
    AGE_UNKNOWN,
    EXPIRY_MISSING,
    BUNDLE_REVOKED,
    OVERRIDDEN,
    OVERRIDE_EXPIRED,
    ONE_VOTE,
    NO_END,
    WEAK_TIER,
    NO_STATE,
    UNUSED,
    OUT_OF_DATE,
    MANY_OF_ONE,
)
