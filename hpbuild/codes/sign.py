"""Codes of the sign stage: keys HP50xx, signers HP51xx, envelopes HP52xx."""

from hpbuild.errors import Code, ExitStatus, Severity


def _refuse(number: int, title: str, why: str, remedy: str, status: ExitStatus) -> Code:
    return Code(id=f"HP{number}", title=title, severity=Severity.REFUSE, exit=status, why=why, remedy=remedy)


BAD_KEY = _refuse(
    5001,
    "not a key",
    "Nothing can be signed or verified with a file that holds no key.",
    "Name a PEM file: PKCS#8 for a private key, SubjectPublicKeyInfo for a public key.",
    ExitStatus.MALFORMED,
)
PRIVATE_KEY_GIVEN = _refuse(
    5002,
    "private key where a public key belongs",
    "A private key that lies where verifiers read it can sign anything in your name.",
    "Name the .pub file. If the private key was published, replace the key.",
    ExitStatus.USAGE,
)
UNSUPPORTED_KEY = _refuse(
    5003,
    "kind of key not supported",
    "A signature by it could not be verified everywhere, or is too weak.",
    "Use Ed25519, ECDSA P-256 or P-384, RSA of 3072 to 8192 bits, ML-DSA-65 or ML-DSA-87; `hpbuild keys "
    "generate` makes them.",
    ExitStatus.USAGE,
)
WRONG_PASSPHRASE = _refuse(
    5004,
    "passphrase is missing or wrong",
    "The private key is encrypted and stays closed.",
    "Give the passphrase of this key.",
    ExitStatus.UNAVAILABLE,
)
EMPTY_PASSPHRASE = _refuse(
    5005,
    "empty passphrase",
    "A key encrypted with an empty passphrase looks protected and is not.",
    "Give a passphrase, or none at all to store the key unencrypted.",
    ExitStatus.USAGE,
)
BAD_URI = _refuse(
    5101,
    "not a key URI",
    "The signer cannot be found.",
    "Write file:PATH, exec:PROGRAM?key=PUBLIC.pem or pkcs11:token=T;object=O?module-path=LIBRARY.",
    ExitStatus.USAGE,
)
UNSUPPORTED_SCHEME = _refuse(
    5102,
    "kind of signer not supported",
    "Nothing here knows how to sign with it.",
    "Use file:, pkcs11: or exec:.",
    ExitStatus.USAGE,
)
SIGNER_UNAVAILABLE = _refuse(
    5103,
    "signer cannot be reached",
    "The program, token or library that holds the key gave no answer; the package is as it was.",
    "Check that it is there, plugged in and unlocked, then run the command again.",
    ExitStatus.UNAVAILABLE,
)
WRONG_PIN = _refuse(
    5104,
    "PIN is missing or wrong",
    "The token stays closed; most tokens lock themselves after a few wrong PINs.",
    "Give the user PIN of this token: pin-source=FILE in the URI, HPBUILD_PASSPHRASE, or the prompt.",
    ExitStatus.UNAVAILABLE,
)
TOKEN_KEY = _refuse(
    5105,
    "no single key on the token",
    "A signature by another key than the one meant helps nobody.",
    "Name the key by token, object and id so that exactly one fits; its public key must be beside it.",
    ExitStatus.USAGE,
)
WRONG_SIGNATURE = _refuse(
    5106,
    "signature does not verify with its own key",
    "The key is another, other bytes were signed, the encoding is not the one asked for, or the signer "
    "failed; such a signature counts for nobody and can give a key away.",
    "Check which key and which bytes were signed (RSA: PSS, SHA-256, salt of 32; ECDSA: DER).",
    ExitStatus.NO,
)
CERTIFICATE_OF_ANOTHER_KEY = _refuse(
    5107,
    "certificate is not of the key that signs",
    "A verifier would look for a signature by the certificate's key and find none.",
    "Name the chain of this key, its own certificate first.",
    ExitStatus.USAGE,
)
BAD_ENVELOPE = _refuse(
    5201,
    "envelope is malformed",
    "A signature that readers understand differently proves nothing.",
    "Get the package again from its source, or sign it again.",
    ExitStatus.MALFORMED,
)
WRONG_PAYLOAD_TYPE = _refuse(
    5202,
    "envelope is about another kind of document",
    "A signature made for another purpose must not count for a hotpatch.",
    "Sign the package with `hpbuild sign`.",
    ExitStatus.MALFORMED,
)
PAYLOAD_DIFFERS = _refuse(
    5203,
    "signed statement is not the statement of the bundle",
    "The signatures are about another package.",
    "Get the package again from its source, or sign it again.",
    ExitStatus.NO,
)
ALREADY_SIGNED = _refuse(
    5204,
    "key has signed already",
    "A second signature by one key adds no vote and makes another package of the same content.",
    "Sign with another key, or leave the package as it is.",
    ExitStatus.USAGE,
)
NO_SIGNERS = _refuse(
    5205, "no signer", "A package signed by nobody is unsigned.", "Name at least one key.", ExitStatus.USAGE
)
TOO_MANY_SIGNATURES = _refuse(
    5206,
    "too many signatures",
    "Each signature costs every verifier time with every key.",
    "Remove signatures that nobody needs.",
    ExitStatus.LIMIT,
)

ROWS: tuple[Code, ...] = (
    BAD_KEY,
    PRIVATE_KEY_GIVEN,
    UNSUPPORTED_KEY,
    WRONG_PASSPHRASE,
    EMPTY_PASSPHRASE,
    BAD_URI,
    UNSUPPORTED_SCHEME,
    SIGNER_UNAVAILABLE,
    WRONG_PIN,
    TOKEN_KEY,
    WRONG_SIGNATURE,
    CERTIFICATE_OF_ANOTHER_KEY,
    BAD_ENVELOPE,
    WRONG_PAYLOAD_TYPE,
    PAYLOAD_DIFFERS,
    ALREADY_SIGNED,
    NO_SIGNERS,
    TOO_MANY_SIGNATURES,
)
