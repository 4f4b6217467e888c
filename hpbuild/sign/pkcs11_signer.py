"""Signers on PKCS#11 tokens, through the optional package python-pkcs11.

The private key stays on the token. Digests are made here for ECDSA and RSA-PSS, so that a token needs only
CKM_ECDSA, CKM_RSA_PKCS_PSS and CKM_EDDSA (PKCS#11 v3.0, sections 2.3.6, 2.1.10 and 2.3.14).
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hpbuild.codes import sign as codes
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import HpbuildError
from hpbuild.sign.algorithms import Algorithm, PublicKey, algorithm_of
from hpbuild.sign.pkcs11_uri import TokenKey, parse_token_key

EXTRA = "hpbuild[pkcs11]"
CURVES: dict[bytes, ec.EllipticCurve] = {
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("06052b81040022"): ec.SECP384R1(),
}
"""CKA_EC_PARAMS: the curve's object identifier in DER."""
EDWARDS = (b"\x13\x0cedwards25519", bytes.fromhex("06032b6570"))
"""CKA_EC_PARAMS of Ed25519: the name as PrintableString, or id-Ed25519 (PKCS#11 v3.0, section 2.3.5)."""


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Signs with a key on a token; each signature opens and closes a session."""

    key: TokenKey
    public: PublicKey
    pin: str | None = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """Signature over ``message``, ECDSA in DER. Raises HP5103 to HP5105."""
        with _session(self.key, self.pin) as session, _named_errors(self.key):
            private = _private(session, self.key)
            again = {"pin": self.pin} if _asks_again(private) else {}
            return _sign(private, self.public, message, again)


def token_signer(uri: str, ask: Callable[[str], bytes | None]) -> TokenSigner:
    """The signer that a ``pkcs11:`` URI names; ``ask`` gives the PIN when the token wants one and the URI
    names none.

    Raises HP5101 (malformed URI), HP5103 (python-pkcs11 is not installed, no library or token), HP5104 (PIN),
    HP5105 (not exactly one key), HP5003 (unsupported kind).
    """
    key = parse_token_key(uri)
    pin = key.pin(ask) if _wants_pin(key) else None
    with _session(key, pin) as session, _named_errors(key):
        private = _private(session, key)
        public = _public(session, key, private)
    return TokenSigner(key, public, pin)


def _library() -> Any:
    try:
        import pkcs11
    except ImportError:
        cause = f"python-pkcs11 is not installed; install {EXTRA}"
        raise HpbuildError(codes.SIGNER_UNAVAILABLE, "pkcs11:", cause) from None
    return pkcs11


@contextmanager
def _named_errors(key: TokenKey) -> Iterator[None]:
    """What python-pkcs11 raises, as HP5103 and HP5104. Its words are left out: only its names are sure to
    hold no secret."""
    library = _library()
    wrong = library.exceptions
    try:
        yield
    except (
        wrong.PinIncorrect,
        wrong.PinInvalid,
        wrong.PinLenRange,
        wrong.PinLocked,
        wrong.PinExpired,
    ) as error:
        raise HpbuildError(codes.WRONG_PIN, key.place, type(error).__name__) from None
    except (RuntimeError, OSError, KeyError, AttributeError) as error:
        cause = f"{type(error).__name__} from {key.module.name}"
        raise HpbuildError(codes.SIGNER_UNAVAILABLE, key.place, cause) from None


def _token(key: TokenKey) -> Any:
    library = _library()
    with _named_errors(key):
        slots = library.lib(str(key.module)).get_slots(token_present=True)
        found = [token for token in (slot.get_token() for slot in slots) if _fits(token, key)]
    if len(found) != 1:
        cause = f"{len(found)} tokens of {key.module.name} have the attributes that the URI names"
        raise HpbuildError(codes.SIGNER_UNAVAILABLE, key.place, cause)
    return found[0]


def _fits(token: Any, key: TokenKey) -> bool:
    serial = token.serial.decode(errors="replace") if isinstance(token.serial, bytes) else token.serial
    pairs = (
        (key.token, token.label),
        (key.manufacturer, token.manufacturer_id),
        (key.model, token.model),
        (key.serial, serial),
    )
    initialised = _library().TokenFlag.TOKEN_INITIALIZED in token.flags
    return initialised and all(wanted is None or wanted == found.rstrip() for wanted, found in pairs)


def _wants_pin(key: TokenKey) -> bool:
    return _library().TokenFlag.LOGIN_REQUIRED in _token(key).flags


@contextmanager
def _session(key: TokenKey, pin: str | None) -> Iterator[Any]:
    token = _token(key)
    with _named_errors(key):
        session = token.open(user_pin=pin)
    try:
        yield session
    finally:
        with _named_errors(key):
            session.close()


def _private(session: Any, key: TokenKey) -> Any:
    library = _library()
    wanted: dict[Any, Any] = {library.Attribute.CLASS: library.ObjectClass.PRIVATE_KEY}
    if key.label is not None:
        wanted[library.Attribute.LABEL] = key.label
    if key.id is not None:
        wanted[library.Attribute.ID] = key.id
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        raise HpbuildError(codes.TOKEN_KEY, key.place, f"{len(found)} private keys have this name")
    return found[0]


def _asks_again(private: Any) -> bool:
    """The token wants the PIN once more for each signature (CKA_ALWAYS_AUTHENTICATE), as for PIV's 9c."""
    library = _library()
    try:
        return bool(private[library.Attribute.ALWAYS_AUTHENTICATE])
    except library.exceptions.AttributeTypeInvalid:  # an older token
        return False


def _public(session: Any, key: TokenKey, private: Any) -> PublicKey:
    """The public key that lies beside ``private``: the object of its kind and id."""
    library = _library()
    name = library.Attribute
    wanted = {
        name.CLASS: library.ObjectClass.PUBLIC_KEY,
        name.KEY_TYPE: private.key_type,
        name.ID: private.id,
    }
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        raise HpbuildError(
            codes.TOKEN_KEY, key.place, f"{len(found)} public keys have the id of the private key"
        )
    try:
        public = _public_key(found[0], name, library.KeyType)
    except ValueError:
        public = None
    if public is None or algorithm_of(public) is None:
        cause = f"the key on the token is of the kind {private.key_type.name}, and not one of hpbuild's"
        raise HpbuildError(codes.UNSUPPORTED_KEY, key.place, cause)
    return public


def _public_key(found: Any, name: Any, kinds: Any) -> PublicKey | None:
    if found.key_type == kinds.RSA:
        modulus, exponent = (
            int.from_bytes(found[item], "big") for item in (name.MODULUS, name.PUBLIC_EXPONENT)
        )
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    if found.key_type not in (kinds.EC, kinds.EC_EDWARDS):
        return None
    parameters, point = found[name.EC_PARAMS], found[name.EC_POINT]
    if parameters in EDWARDS:
        return ed25519.Ed25519PublicKey.from_public_bytes(_bare(point, (32,)))
    if parameters not in CURVES:
        return None
    curve = CURVES[parameters]
    size = curve.key_size // 8
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, _bare(point, (2 * size + 1, size + 1)))


def _bare(point: bytes, sizes: tuple[int, ...]) -> bytes:
    """CKA_EC_POINT is an OCTET STRING around the point; some tokens give the bare point."""
    return point[2:] if len(point) - 2 in sizes else point


def _sign(private: Any, public: PublicKey, message: bytes, again: dict[str, Any]) -> bytes:
    library = _library()
    mechanism = library.Mechanism
    algorithm = algorithm_of(public)
    if algorithm is Algorithm.ED25519:
        return bytes(private.sign(message, mechanism=mechanism.EDDSA, **again))
    digest = hashlib.new(algorithm.hash if algorithm else "", message).digest()
    if algorithm is Algorithm.RSA_PSS:
        parameters = (mechanism.SHA256, library.MGF.SHA256, 32)
        return bytes(
            private.sign(digest, mechanism=mechanism.RSA_PKCS_PSS, mechanism_param=parameters, **again)
        )
    raw = bytes(private.sign(digest, mechanism=mechanism.ECDSA, **again))
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
