import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.codes import manifest as json_codes
from hpbuild.codes import sign as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.strict_json import canonical
from hpbuild.sign.algorithms import Algorithm, PublicKey, generate_private, sign, spki_sha256
from hpbuild.sign.dsse import (
    MAX_SIGNATURE,
    MAX_SIGNATURES,
    Envelope,
    Outcome,
    Signature,
    decode_envelope,
    encode_envelope,
    pae,
    sign_envelope,
    verify_envelope,
)
from hpbuild.sign.extension import Extension, decode_extension
from hpbuild.sign.signer import FileSigner, Signing

SIGNERS = [FileSigner(generate_private(algorithm)) for algorithm in Algorithm]
KEYS = [signer.public for signer in SIGNERS]
IDS = [spki_sha256(key) for key in KEYS]
STATEMENT = b'{"_type":"x"}'


def outcomes(envelope: bytes, keys: list[Any]) -> list[tuple[Outcome, str]]:
    return [(item.outcome, item.key) for item in verify_envelope(envelope, keys).signatures]


def refusal(action: Callable[[], object]) -> Code:
    with pytest.raises(HpbuildError) as caught:
        action()
    return caught.value.code


def test_published_encoding() -> None:
    """The example of the DSSE protocol document."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("ü", b"") == "DSSEv1 2 ü 0 ".encode()


def test_every_signer_has_a_vote() -> None:
    result = verify_envelope(sign_envelope(STATEMENT, SIGNERS), KEYS)
    assert result.payload == STATEMENT
    assert result.payload_type == PAYLOAD_TYPE
    assert [(item.index, item.keyid, item.key) for item in result.signatures] == list(
        zip(range(len(SIGNERS)), IDS, IDS, strict=True)
    )
    assert result.votes == frozenset(IDS)


def test_signing_is_deterministic_and_one_by_one_is_the_same() -> None:
    envelope = sign_envelope(STATEMENT, SIGNERS[:1])
    for signer in SIGNERS[1:3]:
        envelope = sign_envelope(STATEMENT, [signer], envelope)
    assert envelope == sign_envelope(STATEMENT, SIGNERS[:3])


def test_unknown_signers_do_not_vote() -> None:
    envelope = sign_envelope(STATEMENT, SIGNERS[:2])
    assert outcomes(envelope, KEYS[1:]) == [(Outcome.UNKNOWN_KEY, ""), (Outcome.VERIFIED, IDS[1])]
    assert outcomes(envelope, []) == [(Outcome.UNKNOWN_KEY, "")] * 2


def test_key_id_is_only_a_hint() -> None:
    """A forged id gives no vote to the key it names, and takes none from the key that signed."""
    signature = sign(SIGNERS[0].private, pae(PAYLOAD_TYPE, STATEMENT))
    forged = encode_envelope(Envelope(PAYLOAD_TYPE, STATEMENT, (Signature(IDS[1], signature),)))
    assert outcomes(forged, KEYS) == [(Outcome.VERIFIED, IDS[0])]
    assert outcomes(forged, KEYS[1:]) == [(Outcome.BAD, "")]
    assert outcomes(forged, KEYS[2:]) == [(Outcome.UNKNOWN_KEY, "")]


def test_one_key_under_many_ids_has_one_vote() -> None:
    signature = sign(SIGNERS[0].private, pae(PAYLOAD_TYPE, STATEMENT))
    envelope = encode_envelope(
        Envelope(PAYLOAD_TYPE, STATEMENT, tuple(Signature(name, signature) for name in ("a", "b", IDS[1])))
    )
    result = verify_envelope(envelope, [*KEYS, *KEYS])
    assert [item.outcome for item in result.signatures] == [Outcome.VERIFIED] * 3
    assert result.votes == {IDS[0]}


def test_the_second_form_of_an_ecdsa_signature_is_no_second_vote() -> None:
    """With s also the group's order minus s verifies; anybody can make the one from the other."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    first = SIGNERS[1].sign(pae(PAYLOAD_TYPE, STATEMENT))
    r, s = decode_dss_signature(first)
    both = (Signature(IDS[1], first), Signature("other", encode_dss_signature(r, order - s)))
    result = verify_envelope(encode_envelope(Envelope(PAYLOAD_TYPE, STATEMENT, both)), KEYS)
    assert [item.outcome for item in result.signatures] == [Outcome.VERIFIED] * 2
    assert result.votes == {IDS[1]}


@given(st.integers(0, len(STATEMENT) * 8 - 1))
def test_every_flipped_bit_of_the_payload_is_noticed(position: int) -> None:
    document = json.loads(sign_envelope(STATEMENT, SIGNERS[:1]))
    payload = bytearray(STATEMENT)
    payload[position // 8] ^= 1 << position % 8
    document["payload"] = base64.b64encode(payload).decode()
    assert outcomes(canonical(document, "test"), KEYS) == [(Outcome.BAD, "")]


def test_signature_over_the_bare_payload_does_not_count() -> None:
    signature = sign(SIGNERS[0].private, STATEMENT)
    envelope = encode_envelope(Envelope(PAYLOAD_TYPE, STATEMENT, (Signature(IDS[0], signature),)))
    assert outcomes(envelope, KEYS) == [(Outcome.BAD, "")]


def test_extension_is_kept_by_countersigning() -> None:
    document = json.loads(sign_envelope(STATEMENT, SIGNERS[:1]))
    document["signatures"][0]["extension"] = {"kind": "x509", "ext": ["AA=="]}
    signed = sign_envelope(STATEMENT, SIGNERS[1:2], canonical(document, "test"))
    assert json.loads(signed)["signatures"][0] == document["signatures"][0]
    assert verify_envelope(signed, KEYS).votes == set(IDS[:2])


REFUSALS: list[tuple[Callable[[Any], object], Code]] = [
    (lambda d: d.update(payloadType="text/plain"), codes.WRONG_PAYLOAD_TYPE),
    (lambda d: d.update(signatures=[]), codes.BAD_ENVELOPE),
    (lambda d: d.update(signatures=d["signatures"] * (MAX_SIGNATURES + 1)), codes.TOO_MANY_SIGNATURES),
    (lambda d: d.update(payload="*"), codes.BAD_ENVELOPE),
    (lambda d: d.update(payload="ä==="), codes.BAD_ENVELOPE),
    (lambda d: d.update(payload="QQ"), codes.BAD_ENVELOPE),
    (lambda d: d.update(payload="QR=="), codes.BAD_ENVELOPE),
    (lambda d: d.update(payload="QQ==QQ=="), codes.BAD_ENVELOPE),
    (lambda d: d.update(payload="-_-_"), codes.BAD_ENVELOPE),
    (lambda d: d.update(payload="QUJD IA=="), codes.BAD_ENVELOPE),
    (lambda d: d.update(payload=""), json_codes.BAD_TEXT),
    (lambda d: d.update(payload="QUJD\n"), json_codes.BAD_TEXT),
    (lambda d: d["signatures"][0].update(sig=""), json_codes.BAD_TEXT),
    (lambda d: d["signatures"][0].update(sig="A" * 40000), json_codes.BAD_TEXT),
    (lambda d: d["signatures"][0].update(cert=""), json_codes.UNKNOWN_KEY),
    (lambda d: d["signatures"][0].pop("keyid"), json_codes.MISSING_KEY),
    (lambda d: d.update(extra=1), json_codes.UNKNOWN_KEY),
]


@pytest.mark.parametrize(("change", "code"), REFUSALS)
def test_malformed_envelope_fails(change: Callable[[Any], object], code: Code) -> None:
    document = json.loads(sign_envelope(STATEMENT, SIGNERS[:1]))
    change(document)
    assert refusal(lambda: verify_envelope(canonical(document, "test"), KEYS)) is code


def test_other_spelling_fails() -> None:
    envelope = sign_envelope(STATEMENT, SIGNERS[:1])
    assert refusal(lambda: decode_envelope(envelope + b"\n")) is json_codes.NOT_CANONICAL


def test_second_signature_by_a_key_fails() -> None:
    envelope = sign_envelope(STATEMENT, SIGNERS[:1])
    assert refusal(lambda: sign_envelope(STATEMENT, SIGNERS[:1], envelope)) is codes.ALREADY_SIGNED
    assert refusal(lambda: sign_envelope(STATEMENT, [SIGNERS[0], SIGNERS[0]])) is codes.ALREADY_SIGNED


def test_forged_key_id_does_not_keep_its_owner_from_signing() -> None:
    envelope = encode_envelope(Envelope(PAYLOAD_TYPE, STATEMENT, (Signature(IDS[0], b"x"),)))
    assert verify_envelope(sign_envelope(STATEMENT, SIGNERS[:1], envelope), KEYS).votes == {IDS[0]}


def test_envelope_about_another_statement_fails() -> None:
    envelope = sign_envelope(STATEMENT, SIGNERS[:1])
    assert refusal(lambda: sign_envelope(b"other", SIGNERS[1:], envelope)) is codes.PAYLOAD_DIFFERS


def test_nobody_signs_fails() -> None:
    assert refusal(lambda: sign_envelope(STATEMENT, [])) is codes.NO_SIGNERS


def test_one_signature_too_many_is_not_written() -> None:
    full = Envelope(PAYLOAD_TYPE, STATEMENT, (Signature("a", b"x"),) * MAX_SIGNATURES)
    assert (
        refusal(lambda: sign_envelope(STATEMENT, SIGNERS[:1], encode_envelope(full)))
        is codes.TOO_MANY_SIGNATURES
    )


@dataclass(frozen=True)
class Faulty:
    """A signer that answers with something else than its signature."""

    public: PublicKey
    answer: bytes

    def sign(self, message: bytes) -> bytes:
        return self.answer


@pytest.mark.parametrize("signer", SIGNERS, ids=list(Algorithm))
def test_a_signature_that_does_not_verify_is_not_written(signer: FileSigner) -> None:
    """A fault while signing, another key, other bytes."""
    message = pae(PAYLOAD_TYPE, STATEMENT)
    right = signer.sign(message)
    damaged = right[:-1] + bytes([right[-1] ^ 1])
    other = generate_private(Algorithm.ED25519)
    for answer in (damaged, b"", right + b"\x00", signer.sign(STATEMENT), sign(other, message)):
        faulty = Faulty(signer.public, answer)
        assert refusal(lambda faulty=faulty: sign_envelope(STATEMENT, [faulty])) is codes.WRONG_SIGNATURE
    assert verify_envelope(sign_envelope(STATEMENT, [Faulty(signer.public, right)]), KEYS).votes


def test_certificates_and_time_stamp_go_into_the_extension() -> None:
    seen: list[bytes] = []

    def stamp(signature: bytes) -> bytes:
        seen.append(signature)
        return b"token"

    both = Signing(SIGNERS[0], (b"leaf", b"above"), stamp)
    envelope = decode_envelope(
        sign_envelope(STATEMENT, [both, Signing(SIGNERS[1]), Signing(SIGNERS[2], (b"c",))])
    )
    first, second, third = envelope.signatures
    assert seen == [first.sig]
    assert decode_extension(first.extension, "test") == Extension((b"leaf", b"above"), (b"token",))
    assert second.extension == b""
    assert decode_extension(third.extension, "test") == Extension((b"c",), ())


def test_failed_time_stamp_fails() -> None:
    def stamp(signature: bytes) -> bytes:
        raise HpbuildError(codes.SIGNER_UNAVAILABLE, "here", "nobody answers")

    assert (
        refusal(lambda: sign_envelope(STATEMENT, [Signing(SIGNERS[0], (), stamp)]))
        is codes.SIGNER_UNAVAILABLE
    )


def test_all_signatures_are_as_long_as_they_are_on_paper() -> None:
    sizes = [len(item.sig) for item in decode_envelope(sign_envelope(STATEMENT, SIGNERS)).signatures]
    assert (sizes[0], *sizes[3:]) == (64, 384, 3309, 4627)
    assert max(sizes) < MAX_SIGNATURE
