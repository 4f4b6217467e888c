"""Codes of certificates HP53xx, time stamps HP54xx and exports of signatures HP55xx."""

from hpbuild.errors import Code, ExitStatus, Severity


def _refuse(number: int, title: str, why: str, remedy: str, status: ExitStatus = ExitStatus.NO) -> Code:
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


BAD_EXTENSION = _refuse(
    5301,
    "extension of a signature is malformed",
    "Certificates and time stamps that readers understand differently prove nothing.",
    "Get the package again from its source, or sign it again.",
    ExitStatus.MALFORMED,
)
EXTENSION_TOO_LARGE = _refuse(
    5302,
    "extension of a signature is too large",
    "Whoever signs a package must not decide how much work a verifier has.",
    "Carry the chain of the signing certificate only, and one or two time stamps.",
    ExitStatus.LIMIT,
)
BAD_CERTIFICATE = _refuse(
    5303,
    "not a certificate",
    "Nobody can be identified by bytes that are no X.509 version 3 certificate.",
    "Give certificates in PEM form, the signing certificate first.",
    ExitStatus.MALFORMED,
)
UNSUPPORTED_CERTIFICATE_KEY = _refuse(
    5304,
    "kind of key in the certificate not supported",
    "A signature by it could not be verified everywhere, or is too weak.",
    "Use a certificate for an Ed25519, ECDSA P-256 or P-384, RSA (3072 bits or more) or ML-DSA key.",
    ExitStatus.USAGE,
)
EXPIRED = _refuse(
    5311,
    "certificate has expired",
    "After that time its authority vouches for nothing, and lists it no more when the key is stolen.",
    "Renew the certificate and sign again; a time stamp keeps a signature valid beyond the expiry.",
)
NOT_YET_VALID = _refuse(
    5312,
    "certificate is not valid yet",
    "Its authority vouches for it from a later time on.",
    "Check the clock; sign with a certificate that is valid now.",
)
WRONG_PURPOSE = _refuse(
    5313,
    "certificate is for another purpose",
    "A certificate of a web server or a person's mail must not sign code.",
    "Use a certificate with the extended key usage and key usage that the cause names.",
)
SELF_SIGNED = _refuse(
    5314,
    "certificate is signed by itself",
    "Anybody can write any name into such a certificate.",
    "Use a certificate of an authority that the policy names, or give the policy the key itself.",
)
UNTRUSTED = _refuse(
    5315,
    "certificate leads to no trusted authority",
    "Nobody whom the policy trusts says whose key this is.",
    "Add the missing certificates of the chain when signing, or the authority to the policy.",
)
CHAIN_TOO_LONG = _refuse(
    5316,
    "chain of certificates is too long",
    "Each step hands on the right to name people; long chains are made to exhaust or to confuse verifiers.",
    "Use an authority with at most three certificates between it and its root.",
)
BAD_CERTIFICATE_SIGNATURE = _refuse(
    5317,
    "certificate is not signed by its issuer",
    "It names an authority that did not issue it.",
    "Get the certificate and its chain again from the authority.",
)
WEAK_CERTIFICATE_SIGNATURE = _refuse(
    5318,
    "certificate is signed with a weak or unknown algorithm",
    "Certificates signed with MD5 or SHA-1 have been forged.",
    "Have the certificate issued again with SHA-256 or better.",
)
WEAK_CERTIFICATE_KEY = _refuse(
    5319,
    "key in the chain is weak or of an unknown kind",
    "Whoever breaks the key of an authority signs as anybody.",
    "Use certificates with RSA keys of 2048 bits or more, P-256, P-384, P-521, Ed25519 or ML-DSA keys.",
)
NOT_AN_AUTHORITY = _refuse(
    5320,
    "certificate may not issue this certificate",
    "The owner of any certificate could issue certificates for others.",
    "Use certificates that the authority issued in the ordinary way.",
)
UNSUPPORTED_CONSTRAINT = _refuse(
    5321,
    "certificate has a critical extension or constraint that is not understood",
    "It limits what the certificate is good for in a way that this verifier cannot judge.",
    "Use a chain without it, or name as authority the certificate below the one that has it.",
)
REVOKED = _refuse(
    5331,
    "certificate was revoked",
    "Its authority took it back, perhaps because the key was stolen.",
    "Get the package signed again with a valid certificate.",
)
BAD_REVOCATION_LIST = _refuse(
    5332,
    "revocation list is malformed or of a kind not supported",
    "A list that was not understood says nothing about what is revoked.",
    "Give complete X.509 version 2 lists of the authorities, not deltas or partial lists.",
    ExitStatus.MALFORMED,
)
LIST_NOT_BY_ISSUER = _refuse(
    5333,
    "revocation list is not signed by the issuer",
    "Whoever replaces a list hides what was revoked.",
    "Get the list again from the authority.",
)
LIST_OUTDATED = _refuse(
    5334,
    "revocation list is outdated",
    "Certificates may have been revoked since.",
    "Put the authority's current list into the policy.",
)
BAD_TIMESTAMP = _refuse(
    5401,
    "time stamp is malformed",
    "A time that cannot be read proves nothing.",
    "Have the signature stamped again.",
    ExitStatus.MALFORMED,
)
TIMESTAMP_NOT_GRANTED = _refuse(
    5402,
    "time-stamp authority refused",
    "The answer holds no time stamp.",
    "Ask again, or ask another authority.",
)
TIMESTAMP_OF_OTHER_DATA = _refuse(
    5403,
    "time stamp is about other data",
    "It says when something else existed.",
    "Have the signature stamped again.",
)
TIMESTAMP_UNTRUSTED = _refuse(
    5404,
    "time-stamp authority is not trusted",
    "Anybody can state any time.",
    "Use an authority that the policy names, or add it to the policy.",
)
TIMESTAMP_WRONG_PURPOSE = _refuse(
    5405,
    "certificate is not for time stamps",
    "A certificate for time stamps has that extended key usage alone, and critical (RFC 3161, section 2.3).",
    "Use a time-stamp authority that follows RFC 3161.",
)
TIMESTAMP_OUTSIDE_VALIDITY = _refuse(
    5406,
    "time-stamp authority was not valid at that time",
    "The time lies outside the validity of a certificate of the authority.",
    "Have the signature stamped again.",
)
TIMESTAMP_WEAK = _refuse(
    5407,
    "time stamp uses a weak or unknown algorithm",
    "A hash that can collide lets a stamp be moved to other data.",
    "Use a time-stamp authority with SHA-256 or better.",
)
TIMESTAMP_BAD_SIGNATURE = _refuse(
    5408,
    "time stamp is not signed by its authority",
    "The time was changed or made up.",
    "Have the signature stamped again.",
)
TIMESTAMP_REVOKED = _refuse(
    5409,
    "time-stamp authority was revoked",
    "Its certificate was taken back; whoever has its key states any time.",
    "Have the signature stamped again by another authority.",
)
BAD_TIMESTAMP_URL = _refuse(
    5411,
    "not the address of a time-stamp authority",
    "Only http and https lead to one.",
    "Write http://HOST/PATH or https://HOST/PATH.",
    ExitStatus.USAGE,
)
NO_TIMESTAMP_ANSWER = _refuse(
    5412,
    "no time-stamp authority gave a time stamp",
    "Without a time stamp the signature ends with its certificate.",
    "Try again later, or name another authority with --timestamp-url.",
    ExitStatus.UNAVAILABLE,
)
NOT_SIGNED = _refuse(
    5501,
    "package has no signature to export",
    "There is nothing to convert.",
    "Sign the package first.",
    ExitStatus.NO,
)
NO_SUCH_SIGNATURE = _refuse(
    5502,
    "package has no signature of this number",
    "Signatures count from 1.",
    "Give a number that `hpbuild inspect` lists.",
    ExitStatus.USAGE,
)
CERTIFICATE_NEEDED = _refuse(
    5503,
    "signature has no certificate",
    "CMS names a signer by the certificate.",
    "Give the certificate of the key with --certificate, or sign with one.",
    ExitStatus.USAGE,
)
CERTIFICATE_OF_OTHER_KEY = _refuse(
    5504,
    "certificate does not belong to the signature",
    "The signature does not verify with the key in the certificate.",
    "Give the certificate of the key that signed.",
)

ROWS: tuple[Code, ...] = (
    BAD_EXTENSION,
    EXTENSION_TOO_LARGE,
    BAD_CERTIFICATE,
    UNSUPPORTED_CERTIFICATE_KEY,
    EXPIRED,
    NOT_YET_VALID,
    WRONG_PURPOSE,
    SELF_SIGNED,
    UNTRUSTED,
    CHAIN_TOO_LONG,
    BAD_CERTIFICATE_SIGNATURE,
    WEAK_CERTIFICATE_SIGNATURE,
    WEAK_CERTIFICATE_KEY,
    NOT_AN_AUTHORITY,
    UNSUPPORTED_CONSTRAINT,
    REVOKED,
    BAD_REVOCATION_LIST,
    LIST_NOT_BY_ISSUER,
    LIST_OUTDATED,
    BAD_TIMESTAMP,
    TIMESTAMP_NOT_GRANTED,
    TIMESTAMP_OF_OTHER_DATA,
    TIMESTAMP_UNTRUSTED,
    TIMESTAMP_WRONG_PURPOSE,
    TIMESTAMP_OUTSIDE_VALIDITY,
    TIMESTAMP_WEAK,
    TIMESTAMP_BAD_SIGNATURE,
    TIMESTAMP_REVOKED,
    BAD_TIMESTAMP_URL,
    NO_TIMESTAMP_ANSWER,
    NOT_SIGNED,
    NO_SUCH_SIGNATURE,
    CERTIFICATE_NEEDED,
    CERTIFICATE_OF_OTHER_KEY,
)
