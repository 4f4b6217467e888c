"""Cases about the envelope: rules E1 to E6 and E10, and signatures that prove less than they seem to."""

import base64

from hpbuild.bundle.layout import ENVELOPE, STATEMENT
from hpbuild.bundle.statement import PAYLOAD_TYPE
from hpbuild.bundle.writer import write_bundle
from tests.vectors.making.base import Parts, parts_of
from tests.vectors.making.keys import identity, signature
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting
from tests.vectors.making.sealing import (
    Document,
    as_signature,
    canonical,
    envelope,
    extension,
    vote,
)

ONE = trusting("release")
TWO = trusting("release", "security", threshold=2)
OTHER_TYPE = "application/vnd.in-toto.other+json"


def cases() -> list[Made]:
    parts = parts_of()
    return [*_types(parts), *_encodings(parts), *_missing(parts), *_votes(parts), *_extras(parts)]


def _package(parts: Parts, raw: bytes) -> bytes:
    """The package with these bytes as its envelope."""
    return write_bundle({STATEMENT: parts.statement(), **parts.members(), ENVELOPE: raw})


def _refused(
    name: str, why: str, rules: str, package: bytes, codes: str, policy: str = ONE, status: int = 1
) -> Made:
    return case(name, why, rules, package, policy, refused=(status, codes))


def _types(parts: Parts) -> list[Made]:
    payload = parts.statement()
    other = [vote("release", payload, kind=OTHER_TYPE)]
    plain = as_signature(signature("release", payload), identity("release"))
    return [
        _refused("payload-type", "An envelope of another payload type, signed as such by the trusted key: "
                 "what was "
                 "signed as one kind of document must not be read as another.", "E1",
                 _package(parts, envelope(payload, other, OTHER_TYPE)), "HP5202"),
        _refused("payload-type-exchanged", "The signature was made over another payload type, and the "
                 "envelope names "
                 "the right one.", "E1 E4", parts.package(other), "HP6003 HP6122"),
        _refused("signature-without-its-type", "The trusted key signed the bytes of the statement "
                 "themselves, without "
                 "the encoding that names type and lengths.", "E4", parts.package([plain]), "HP6003 HP6122"),
    ]  # fmt: skip


def _encodings(parts: Parts) -> list[Made]:
    payload = parts.statement()
    good = vote("release", payload)

    def spelled(text: str) -> bytes:
        return parts.package([{**good, "sig": text}])

    raw = base64.b64decode(good["sig"])
    stray = good["sig"][:-3] + chr(ord(good["sig"][-3]) + 1) + "=="
    if base64.b64decode(stray) != raw:
        raise ValueError("the stray bits are not stray")
    whole = base64.b64encode(payload).decode()
    document: Document = {"payload": whole, "payloadType": PAYLOAD_TYPE, "signatures": [good]}
    return [
        _refused("base64-stray-bits", "The last letter of the signature's base64 has bits that mean nothing "
                 "set: a "
                 "second spelling, and lenient readers take it.", "E3", spelled(stray), "HP5201"),
        _refused("base64-for-urls", "The signature in the alphabet for URLs.", "E3",
                 spelled(base64.urlsafe_b64encode(raw).decode().replace("=", "") + "_-=="[:2]), "HP5201"),
        _refused("base64-without-padding", "The signature's base64 without its padding.", "E3",
                 spelled(good["sig"].rstrip("=")), "HP5201"),
        _refused("base64-with-a-blank", "A blank inside the payload's base64, which many readers drop.", "E3",
                 _package(parts, canonical({**document, "payload": whole[:8] + " " + whole[8:]})), "HP5201"),
        _refused("payload-empty", "An envelope with an empty payload. The statement beside it is as signed.",
                 "E2 E3",
                 _package(parts, canonical({**document, "payload": ""})), "HP4014"),
        _refused("envelope-unknown-key", "A key in the envelope that the format does not know.", "J5",
                 _package(parts, canonical({**document, "verified": True})), "HP4012"),
        _refused("envelope-no-object", "A string in the place of the envelope.", "J5",
                 _package(parts, canonical("signed")), "HP4010"),
    ]  # fmt: skip


def _missing(parts: Parts) -> list[Made]:
    payload = parts.statement()
    both = [vote("release", payload), vote("security", payload)]
    unsigned = write_bundle({STATEMENT: payload, **parts.members()})
    return [
        _refused("unsigned", "A package that nobody signed.", "T1", unsigned, "HP6003"),
        _refused("zero-signatures", "An envelope without signatures. \"All signatures are good\" is true of "
                 "it.", "E7 T1",
                 parts.package([]), "HP5201"),
        _refused("empty-signature", "A signature of no bytes under the name of the trusted key.", "E7",
                 parts.package([{"keyid": identity("release"), "sig": ""}]), "HP4014"),
        _refused("signature-of-zeros", "64 zero bytes under the name of the trusted key.", "E7",
                 parts.package([as_signature(bytes(64), identity("release"))]), "HP6003 HP6122"),
        _refused("signature-bit-flip", "One bit of the signature is changed and the container mended.",
                 "E4 E7",
                 parts.package([_flipped(both[0])]), "HP6003 HP6122"),
        case("two-of-two", "Two signatures are needed and there. What is refused below differs from this.",
             "E6 T1",
             parts.package(both), TWO),
        _refused("signature-stripped", "One of the two signatures that are needed was taken away.", "T1",
                 parts.package(both[:1]), "HP6003", TWO),
        _refused("one-of-two", "Two signatures are needed; there are two, one of them by a key that nobody "
                 "named.", "T1",
                 parts.package([both[0], vote("stranger", payload)]), "HP6003 HP6121", TWO),
        _refused("unknown-key", "Signed by a key that the policy does not name.", "E7 T1",
                 parts.package([vote("stranger", payload)]), "HP6003 HP6121"),
        _refused("unknown-key-under-a-trusted-name", "Signed by a key that the policy does not name, with "
                 "the key id "
                 "of one that it does.", "E5 E7",
                 parts.package([vote("stranger", payload, keyid=identity("release"))]), "HP6003 HP6122"),
    ]  # fmt: skip


def _flipped(item: Document) -> Document:
    raw = bytearray(base64.b64decode(item["sig"]))
    raw[40] ^= 1
    return {**item, "sig": base64.b64encode(raw).decode()}


def _votes(parts: Parts) -> list[Made]:
    payload = parts.statement()
    good = vote("release", payload)
    return [
        _refused("same-key-twice", "Two signatures are needed; one key gave both, under two key ids.", "E6",
                 parts.package([good, {**good, "keyid": "security"}]), "HP6003 HP6127", TWO),
        case("key-id-misleading", "The key ids of the two signatures are exchanged: they are hints, nothing "
             "is decided "
             "by them.", "E5",
             parts.package([vote("release", payload, keyid=identity("security")),
                            vote("security", payload, keyid=identity("release"))]), TWO),
        case("key-id-empty", "A signature without a hint: the verifier tries its keys.", "E5",
             parts.package([{**good, "keyid": ""}]), ONE),
        _refused("key-id-too-long", "A key id of 201 characters.", "E5",
                 parts.package([{**good, "keyid": "x" * 201}]), "HP4014"),
    ]  # fmt: skip


def _extras(parts: Parts) -> list[Made]:
    payload = parts.statement()
    good = vote("release", payload)
    nobody = as_signature(b"\1" * 64, "nobody")
    bad = {"kind": "urn:example:unknown", "ext": {}}
    many = [as_signature(bytes((number,)) * 64, str(number)) for number in range(64)]
    return [
        case("signature-added", "Somebody added a signature by nobody's key, with a key id of its own. It "
             "counts for "
             "nothing and hides nothing.", "E7 E10", parts.package([nobody, good]), ONE),
        case("bad-signature-added", "Somebody added a bad signature under the key id of the other trusted "
             "key. It does "
             "not undo the good one.", "E7", parts.package([{**nobody, "keyid": identity("security")}, good]),
             trusting("release", "security")),
        case("bad-extension-beside", "A signature with an extension of an unknown kind stands beside a good "
             "one, and "
             "does not hide it.", "E10", parts.package([{**nobody, "extension": bad}, good]), ONE),
        _refused("extension-unknown", "The only signature is good and has an extension of an unknown kind: "
                 "what it "
                 "says may limit what the signature means.", "E8 E10",
                 parts.package([{**good, "extension": bad}]),
                 "HP5301 HP6003"),
        _refused("extension-no-certificate", "The only signature is good; what its extension calls a "
                 "certificate is "
                 "none.", "E8 E10", parts.package([{**good, "extension": extension([b"none"])}]),
                 "HP5303 HP6003"),
        _refused("extension-too-many-certificates", "An extension with nine certificates.", "E8 E10",
                 parts.package([{**good, "extension": extension([bytes((n,)) for n in range(9)])}]),
                 "HP5302 HP6003"),
        _refused("extension-too-many-timestamps", "An extension with five time stamps.", "E9 E10",
                 parts.package([{**good, "extension": extension((), [bytes((n,)) for n in range(5)])}]),
                 "HP5302 HP6003"),
        case("many-signatures", "64 signatures, 63 of them by nobody: the most that an envelope has.", "E7",
             parts.package([*many[1:], good]), ONE),
        _refused("too-many-signatures", "65 signatures, the last one good. Every one costs work.", "E7",
                 parts.package([*many, good]), "HP5206", status=5),
    ]  # fmt: skip
