"""Cases about time stamps: rules E9, T5 and T6, with their good twins."""

import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hpbuild.sign import asn1
from tests.certificates import CODE_SIGNING, FROM, Entity, Revoked, make_crl
from tests.vectors.making.authorities import World, assembled, chain, day, identity_of, info, lists, stampers
from tests.vectors.making.base import Parts, parts_of
from tests.vectors.making.keys import identity
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting
from tests.vectors.making.sealing import Document, extension, vote

MARCH, MAY, LATER = "20260301000000Z", "20260515000000Z", "20260901000000Z"
REQUIRED = 'timestamps = "required"\n'


def cases() -> list[Made]:
    parts = parts_of()
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        return [*_tokens(parts, world), *_certificates(parts, world), *_keys(parts, world)]


def _signed(parts: Parts, key: str = "release") -> tuple[Document, bytes]:
    """A signature of the package as the envelope has it, and its bytes."""
    item = vote(key, parts.statement())
    return item, base64.b64decode(item["sig"])


def _stamped(
    parts: Parts, tokens: Sequence[bytes], certificates: Sequence[bytes] = (), item: Document | None = None
) -> bytes:
    item = item or vote("release", parts.statement())
    return parts.package([{**item, "extension": extension(certificates, tokens)}])


def _tokens(parts: Parts, world: World) -> list[Made]:
    item, raw = _signed(parts)
    policy = trusting("release", head=REQUIRED, tail=stampers(world.time_root))

    def bad(name: str, why: str, token: bytes, code: str, more: str = "") -> Made:
        return case(f"timestamp-{name}", why, "E9 T5", _stamped(parts, [token], item=item), policy + more,
                    refused=(1, f"HP6003 {code}"))  # fmt: skip

    foreign = world.stamper("foreign", world.other)
    signing = world.stamper("signing", world.time_root, CODE_SIGNING)
    casual = world.stamper("casual", world.time_root, "extendedKeyUsage=timeStamping")
    both = world.stamper("both", world.time_root, "extendedKeyUsage=critical,timeStamping,codeSigning")
    past = world.stamper("past", world.time_root, valid=(FROM, day("2026-02-01")))
    revoked = make_crl(world.time_root, [Revoked(world.clock, day("2026-02-01"), "keyCompromise")])
    stamp = world.stamp(raw, MARCH)
    weak = assembled(world.folder / "weak", world.clock, info(raw, MARCH, "sha1"))
    return [
        case("timestamp", "A good time stamp, which the policy requires.", "E9 T5", _stamped(parts, [stamp],
                                                                                             item=item),
             policy),
        case("timestamp-missing", "A good signature without the time stamp that the policy requires.", "T5",
             parts.package([item]), policy, refused=(1, "HP6003 HP6125")),
        bad("untrusted-authority", "A time stamp by an authority that the policy does not name.",
            world.stamp(raw, MARCH, foreign), "HP5404"),
        bad("wrong-purpose", "A time stamp signed with a code-signing certificate of the trusted authority.",
            world.stamp(raw, MARCH, signing), "HP5405"),
        bad("purpose-not-critical", "A time stamp signed with a certificate whose purpose is time stamping "
            "and not marked "
            "critical, as RFC 3161 demands.", world.stamp(raw, MARCH, casual), "HP5405"),
        bad("purpose-not-alone", "A time stamp signed with a certificate for time stamping and code signing.",
            world.stamp(raw, MARCH, both), "HP5405"),
        bad("outside-validity", "A time stamp of March by an authority whose certificate ended in February.",
            world.stamp(raw, MARCH, past), "HP5406"),
        bad("of-another-signature", "A good time stamp about another signature.", world.stamp(raw + b".",
                                                                                              MARCH),
            "HP5403"),
        bad("in-the-future", "A good time stamp of a moment three months after the verification.",
            world.stamp(raw, LATER), "HP6129"),
        bad("altered", "The time in a good time stamp was set back a month: the authority's signature is "
            "about the other "
            "time.", stamp.replace(MARCH.encode(), b"20260201000000Z"), "HP5408"),
        bad("weak-hash", "A time stamp about the SHA-1 of the signature.", weak, "HP5407"),
        bad("malformed", "Bytes behind a good time stamp.", stamp + b"\0", "HP5401"),
        bad("not-granted", "A response of the authority that says that it refused.",
            asn1.der(b"\x30", asn1.der(b"\x30", b"\x02\x01\x02")), "HP5402"),
        bad("authority-revoked", "The authority's key was in other hands since before the stamp.", stamp,
            "HP5409",
            lists(revoked)),
        case("timestamp-anew", "A package made in January by its manifest, its signature stamped anew in "
             "May, and a policy that accepts thirty days: nobody but the authority is needed for a new "
             "stamp, and an old package would be young for ever.", "T10",
             _stamped(parts, [world.stamp(raw, MAY)], item=item),
             trusting("release", head="max_age_days = 30\n", tail=stampers(world.time_root)),
             refused=(1, "HP6142")),
        case("timestamp-bad-beside", "Two time stamps, one by an authority that the policy does not name "
             "and one good "
             "one.", "E9 T5", _stamped(parts, [world.stamp(raw, MARCH, foreign), stamp], item=item), policy),
    ]  # fmt: skip


def _certificates(parts: Parts, world: World) -> list[Made]:
    """Certificates that are judged at the time of the stamp."""
    item, raw = _signed(parts, "holder")
    ended = world.leaf("ended", valid=(FROM, day("2026-05-01")))
    begun = world.leaf("begun", valid=(day("2026-04-01"), day("2030-01-01")))
    times = stampers(world.time_root)
    before, after = world.stamp(raw, MARCH), world.stamp(raw, MAY)
    foreign = world.stamp(raw, MARCH, world.stamper("alien", world.other))

    def policy(more: str = "") -> str:
        return trusting(identities=["signer"], tail=identity_of(world.root) + times + more)

    def made(
        name: str, why: str, rules: str, tokens: Sequence[bytes], leaf: Entity, more: str = "", code: str = ""
    ) -> Made:
        package = _stamped(parts, tokens, chain(leaf.chain), item)
        refused = (1, f"HP6003 {code}") if code else None
        return case(name, why, rules, package, policy(more), refused=refused)

    april = Revoked(ended, day("2026-04-01"), "superseded")
    stolen = Revoked(ended, day("2026-04-01"), "keyCompromise")
    early = Revoked(ended, day("2026-02-01"), "superseded")
    return [
        made("certificate-expired-after-timestamp", "The certificate ended before the verification, and a "
             "time stamp says "
             "that the signature was made while it was valid.", "T4 T5", [before], ended),
        made("certificate-expired-before-timestamp", "The certificate ended two weeks before the time "
             "stamp.", "T4 T5",
             [after], ended, code="HP5311"),
        made("certificate-not-yet-valid-at-timestamp", "The certificate is valid now, and was not yet when "
             "the time stamp "
             "was made.", "T4 T5", [before], begun, code="HP5312"),
        made("certificate-expired-earliest-timestamp", "Two time stamps by trusted authorities, before and "
             "after the end "
             "of the certificate: the earliest counts.", "T5", [after, before], ended),
        made("certificate-expired-untrusted-timestamp", "The certificate ended, and the stamp from before "
             "is by an "
             "authority that the policy does not name: anybody can make one.", "T5", [foreign], ended,
             code="HP5311"),
        made("certificate-revoked-after-timestamp", "The certificate was replaced and revoked a month after "
             "the time "
             "stamp: what it signed before is good.", "T6", [before], ended, lists(make_crl(world.issuing,
                                                                                            [april]))),
        made("certificate-revoked-before-timestamp", "The certificate was revoked a month before the time "
             "stamp.", "T6",
             [before], ended, lists(make_crl(world.issuing, [early])), "HP5331"),
        made("certificate-compromised-after-timestamp", "The certificate was revoked a month after the time "
             "stamp because "
             "its key was stolen: nobody knows since when.", "T6", [before], ended,
             lists(make_crl(world.issuing, [stolen])), "HP5331"),
    ]  # fmt: skip


def _keys(parts: Parts, world: World) -> list[Made]:
    """Keys that the policy revokes."""
    item, raw = _signed(parts)
    times = stampers(world.time_root)
    before, after = (
        _stamped(parts, [world.stamp(raw, MARCH)], item=item),
        _stamped(parts, [world.stamp(raw, MAY)], item=item),
    )

    def policy(since: str) -> str:
        entry = f'[[revoked.keys]]\nspki_sha256 = "{identity("release")}"\n{since}reason = "lost"\n'
        return trusting("release", tail=times + entry)

    april = "since = 2026-04-01T00:00:00Z\n"
    return [
        case("key-revoked", "The policy revokes the key, whenever it signed.", "T6", before, policy(""),
             refused=(1, "HP6003 HP6123")),
        case("key-revoked-after-timestamp", "The policy revokes the key since a month after the time stamp.",
             "T6", before,
             policy(april)),
        case("key-revoked-before-timestamp", "The policy revokes the key since a month before the time "
             "stamp.", "T6", after,
             policy(april), refused=(1, "HP6003 HP6123")),
        case("key-revoked-without-timestamp", "The policy revokes the key since a time, and nothing says "
             "when it signed: "
             "who has the key writes any date.", "T6", parts.package([item]), policy(april),
             refused=(1, "HP6003 HP6123")),
    ]  # fmt: skip
