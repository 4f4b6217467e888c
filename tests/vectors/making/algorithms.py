"""Cases about algorithms (rule E7 and its table): each kind of key, and what is nearly its signature."""

import hashlib
from typing import cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.sign.algorithms import EDWARDS_PRIME
from hpbuild.sign.dsse import pae
from tests.policies import HEAD
from tests.vectors.making.base import Parts, parts_of
from tests.vectors.making.edwards import ORDER, sign_prehashed
from tests.vectors.making.keys import NAMES, identity, private, signature
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import pem, trusting
from tests.vectors.making.sealing import as_signature, vote

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def cases() -> list[Made]:
    parts = parts_of()
    return [
        *_accepted(parts),
        *_edwards(parts),
        *_elliptic(parts),
        *_rsa(parts),
        *_lattice(parts),
        *_chosen(parts),
        *_keys(parts),
    ]


def _message(parts: Parts) -> bytes:
    return pae(PAYLOAD_TYPE, parts.statement())


def _refused(parts: Parts, name: str, why: str, key: str, raw: bytes) -> Made:
    package = parts.package([as_signature(raw, identity(key))])
    return case(name, why, "E7", package, trusting(key), refused=(1, "HP6003 HP6122"))


def _accepted(parts: Parts) -> list[Made]:
    names = ("release", "p256", "p384", "rsa", "mldsa65", "mldsa87")
    return [
        case(
            f"signed-{NAMES[name]}",
            f"Signed by a key of the kind {NAMES[name]}: the good twin of the cases with nearly "
            "such signatures.",
            "E7",
            parts.package([vote(name, parts.statement())]),
            trusting(name),
        )
        for name in names
    ]


def _edwards(parts: Parts) -> list[Made]:
    message = _message(parts)
    key = cast(ed25519.Ed25519PrivateKey, private("release"))
    good = signature("release", message)
    high = int.from_bytes(good[32:], "little") + ORDER
    return [
        _refused(parts, "ed25519ph", "A correct Ed25519ph signature by the trusted key over the same bytes: "
                 "another "
                 "algorithm with the same keys.", "release", sign_prehashed(key, message)),
        _refused(parts, "ed25519-of-the-digest", "The trusted key signed the SHA-512 of the bytes, as a "
                 "careless "
                 "prehash would.", "release", key.sign(hashlib.sha512(message).digest())),
        _refused(parts, "ed25519-malleable", "A good signature with the group's order added to its second "
                 "half: without "
                 "the check of RFC 8032 a second signature by nobody.", "release",
                 good[:32] + high.to_bytes(32, "little")),
        _refused(parts, "ed25519-with-more-bytes", "A good signature with a byte behind it.", "release",
                 good + b"\0"),
    ]  # fmt: skip


def _elliptic(parts: Parts) -> list[Made]:
    message = _message(parts)
    key = cast(ec.EllipticCurvePrivateKey, private("p256"))
    good = signature("p256", message)
    r, s = decode_dss_signature(good)
    body = good[2:]
    return [
        _refused(parts, "ecdsa-raw", "A correct signature as r and s of 32 bytes each instead of DER: "
                 "another encoding, "
                 "a second form of the same signature.", "p256",
                 r.to_bytes(32, "big") + s.to_bytes(32, "big")),
        _refused(parts, "ecdsa-long-length", "A correct signature whose DER has a length in two bytes where "
                 "one is the "
                 "rule.", "p256", b"\x30\x81" + bytes((len(body),)) + body),
        _refused(parts, "ecdsa-leading-zero", "A correct signature whose first number has a zero byte too "
                 "many.", "p256",
                 _zero_led(good)),
        _refused(parts, "ecdsa-more-bytes", "A correct signature with a byte behind it.", "p256",
                 good + b"\0"),
        _refused(parts, "ecdsa-zero", "A signature with r and s zero, which careless verifiers took for "
                 "every "
                 "message.", "p256", encode_dss_signature(0, 0)),
        _refused(parts, "ecdsa-order", "A signature with r and s the group's order: zero once more.", "p256",
                 encode_dss_signature(P256_ORDER, P256_ORDER)),
        _refused(parts, "ecdsa-other-hash", "The trusted P-256 key signed with SHA-512.", "p256",
                 key.sign(message, ec.ECDSA(hashes.SHA512()))),
        _refused(parts, "ecdsa-p384-with-sha256", "The trusted P-384 key signed with SHA-256.", "p384",
                 cast(ec.EllipticCurvePrivateKey, private("p384")).sign(message, ec.ECDSA(hashes.SHA256()))),
    ]  # fmt: skip


def _zero_led(good: bytes) -> bytes:
    length = good[3]
    first = b"\x02" + bytes((length + 2,)) + b"\0\0" + good[4 : 4 + length]
    return b"\x30" + bytes((good[1] + 2,)) + first + good[4 + length :]


def _rsa(parts: Parts) -> list[Made]:
    message = _message(parts)
    key = cast(rsa.RSAPrivateKey, private("rsa"))

    def pss(digest: hashes.HashAlgorithm, salt: int) -> bytes:
        return key.sign(message, padding.PSS(padding.MGF1(digest), salt), digest)

    return [
        _refused(parts, "rsa-pkcs1", "The trusted RSA key signed with the padding of PKCS#1 1.5.", "rsa",
                 key.sign(message, padding.PKCS1v15(), hashes.SHA256())),
        _refused(parts, "rsa-other-salt", "The trusted RSA key signed with a salt of 20 bytes.", "rsa",
                 pss(hashes.SHA256(), 20)),
        _refused(parts, "rsa-other-hash", "The trusted RSA key signed with SHA-512.", "rsa",
                 pss(hashes.SHA512(), 32)),
        _refused(parts, "rsa-leading-zero", "A good RSA signature with a zero byte before it: the same "
                 "number.", "rsa",
                 b"\0" + signature("rsa", message)),
    ]  # fmt: skip


def _lattice(parts: Parts) -> list[Made]:
    message = _message(parts)
    key = cast(mldsa.MLDSA65PrivateKey, private("mldsa65"))
    return [
        _refused(parts, "mldsa-context", "The trusted ML-DSA key signed the same bytes with a context: that "
                 "was for "
                 "another use.", "mldsa65", key.sign(message, b"another use")),
        _refused(parts, "mldsa-of-the-digest", "The trusted ML-DSA key signed the SHA-512 of the bytes.",
                 "mldsa65",
                 key.sign(hashlib.sha512(message).digest())),
        _refused(parts, "mldsa-cut-off", "A good ML-DSA signature without its last byte.", "mldsa65",
                 key.sign(message)[:-1]),
    ]  # fmt: skip


def _chosen(parts: Parts) -> list[Made]:
    payload = parts.statement()
    only = trusting("release", "p256", head='algorithms = ["ecdsa-p256"]\n')
    return [
        case("algorithm-allowed", "The policy allows ECDSA P-256 alone, and such a key signed.", "T7",
             parts.package([vote("p256", payload)]), only),
        case("algorithm-not-allowed", "The policy allows ECDSA P-256 alone; an Ed25519 key that it names "
             "signed.", "T7",
             parts.package([vote("release", payload)]), only, refused=(1, "HP6003 HP6124")),
    ]  # fmt: skip


def _keys(parts: Parts) -> list[Made]:
    """Keys that no policy may name."""
    package = parts.package()
    weak = rsa.generate_private_key(65537, 2048).public_key()
    curve = ec.generate_private_key(ec.SECP256K1()).public_key()
    small = ed25519.Ed25519PublicKey.from_public_bytes((EDWARDS_PRIME - 1).to_bytes(32, "little"))
    shown = (
        ("policy-key-too-weak", "A policy that trusts an RSA key of 2048 bits.", weak),
        ("policy-key-of-another-curve", "A policy that trusts a key on secp256k1.", curve),
        ("policy-key-of-small-order", "A policy that trusts an Ed25519 point of small order: anybody can "
         "make "
         "signatures that verify with it.", small),
    )  # fmt: skip
    policies = {name: trusting("release").replace(pem("release"), _pem(key)) for name, _, key in shown}
    if any(HEAD not in text for text in policies.values()):
        raise ValueError("a policy lost its head")
    return [case(name, why, "E7", package, policies[name], refused=(2, "HP5003")) for name, why, _ in shown]


def _pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> str:
    from hpbuild.sign.keys import public_pem

    return public_pem(key).decode()
