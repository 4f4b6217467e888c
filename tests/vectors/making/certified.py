"""Cases about certificates: rules E6, E8, T4 and T6, with their good twins."""

import base64
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.certificates import FROM, TO, Entity, Revoked, make_authority, make_crl, make_leaf, pem_to_der
from tests.vectors.making.authorities import SUBJECT, World, chain, day, identity_of, lists
from tests.vectors.making.base import Parts, parts_of
from tests.vectors.making.keys import KEYS
from tests.vectors.making.model import Made, case
from tests.vectors.making.policies import trusting
from tests.vectors.making.sealing import extension, vote

PAST = (FROM, day("2026-05-01"))
FUTURE = (day("2026-07-01"), TO)


def cases() -> list[Made]:
    parts = parts_of()
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        return [
            *_plain(parts, world),
            *_leaves(parts, world),
            *_chains(parts, world),
            *_votes(parts, world),
            *_revoked(parts, world),
        ]


def _package(parts: Parts, certificates: Sequence[bytes], key: str = "holder") -> bytes:
    return parts.package([vote(key, parts.statement(), extension=extension(certificates))])


def _policy(root: Entity, more: str = "", head: str = "") -> str:
    return trusting(identities=["signer"], tail=identity_of(root) + more, head=head)


def _refused(
    parts: Parts, name: str, why: str, rules: str, certificates: Sequence[bytes], policy: str, code: str
) -> Made:
    package = _package(parts, certificates)
    return case(f"certificate-{name}", why, rules, package, policy, refused=(1, f"HP6003 {code}"))


def _plain(parts: Parts, world: World) -> list[Made]:
    good = world.leaf("good").chain
    straight = world.leaf("straight", world.root).chain
    policy = _policy(world.root)
    return [
        case("certificate", "Signed by a key that the policy does not name, with a certificate of an "
             "identity that it "
             "does, through one issuing authority.", "E8 T4", _package(parts, chain(good)), policy),
        case("certificate-of-the-root", "The same with a certificate that the root issued itself.", "T4",
             _package(parts, chain(straight)), policy),
        case("certificate-with-the-root", "The root comes along with the chain, after the others. It needs "
             "not, and "
             "may.", "E8 T4", _package(parts, [*chain(good), world.root.der]), policy),
        _refused(parts, "intermediate-missing", "The certificate of the issuing authority did not come "
                 "along: nothing is "
                 "fetched.", "E8 T4", chain(good[:1]), policy, "HP5315"),
        _refused(parts, "out-of-order", "The issuing authority's certificate comes first: the signature is "
                 "not by its "
                 "key.", "E8", chain(good[::-1]), policy, "HP6122"),
        _refused(parts, "other-authority", "A certificate with the right subject by an authority that the "
                 "policy does "
                 "not name.", "T4", chain(world.leaf("by-other", world.other).chain), policy, "HP5315"),
        _refused(parts, "other-subject", "A good certificate by the right authority for somebody else.", "T4",
                 chain(world.leaf("somebody", subject="/O=Example/CN=Canteen").chain), policy, "HP6126"),
        _refused(parts, "subject-twice", "A certificate with two common names, one of them the right one.",
                 "T4",
                 chain(world.leaf("two-names", subject="/O=Example/CN=Canteen/CN=Release").chain), policy,
                 "HP6126"),
        _refused(parts, "subject-in-other-case", "A certificate whose common name differs in case.", "T4",
                 chain(world.leaf("lower", subject="/O=Example/CN=release").chain), policy, "HP6126"),
        case("certificate-of-another-key", "A signature by a trusted key, with somebody's certificate "
             "beside it.", "E8",
             _package(parts, chain(good), "release"), trusting("release", identities=["signer"],
             tail=identity_of(world.root)), refused=(1, "HP6003 HP6128")),
        case("certificate-alone", "The same certificate and signature, and a policy that names keys only: a "
             "certificate "
             "counts through an identity or not at all.", "T4", _package(parts, chain(good)),
             trusting("release"),
             refused=(1, "HP6003 HP6121")),
    ]  # fmt: skip


def _leaves(parts: Parts, world: World) -> list[Made]:
    policy = _policy(world.root)

    def bad(name: str, why: str, code: str, **how: object) -> Made:
        return _refused(parts, name, why, "T4", chain(world.leaf(name, **how).chain), policy, code)

    selfmade = make_leaf(world.folder / "selfmade", None, key=KEYS / "holder.key.pem", subject=SUBJECT)
    return [
        bad("expired", "The certificate ended a month before, and no time stamp says that the signature is "
            "older.",
            "HP5311", valid=PAST),
        bad("not-yet-valid", "The certificate begins a month later.", "HP5312", valid=FUTURE),
        bad("wrong-purpose", "The certificate of a web server of the same holder.", "HP5313",
            usage="extendedKeyUsage=serverAuth"),
        bad("any-purpose", "A certificate for any purpose, which is not the purpose code signing.", "HP5313",
            usage="extendedKeyUsage=anyExtendedKeyUsage"),
        bad("without-purpose", "A certificate without an extended key usage.", "HP5313", usage=""),
        bad("key-usage", "A certificate for code signing whose key may only agree on keys.", "HP5313",
            key_usage="critical,keyAgreement"),
        bad("critical-extension", "A certificate with a critical extension that nobody knows: it may forbid "
            "just "
            "this.", "HP5321", extra=["1.2.3.4.5=critical,ASN1:UTF8String:no hotpatches"]),
        _refused(parts, "self-signed", "A certificate with the right subject that its holder issued "
                 "himself.", "T4",
                 [selfmade.der], policy, "HP5314"),
    ]  # fmt: skip


def _row(world: World, length: int, top: Entity | None = None) -> Entity:
    """A leaf with ``length`` certificates below the root, its own included."""
    issuer = top or world.root
    for number in range(length - 1):
        folder = world.folder / f"row-{length}-{number}"
        issuer = make_authority(folder, f"Example {length}.{number}", issuer=issuer)
    return world.leaf(f"row-{length}", issuer)


def _chains(parts: Parts, world: World) -> list[Made]:
    policy = _policy(world.root)

    def under(name: str, **how: object) -> list[bytes]:
        folder = world.folder / name
        issuer = make_authority(folder, f"Example {name}", issuer=world.root, **how)  # type: ignore[arg-type]
        return chain(world.leaf(f"under-{name}", issuer).chain)

    short = make_authority(
        world.folder / "short", "Short", issuer=world.root, basic="critical,CA:TRUE,pathlen:0"
    )
    below = make_authority(world.folder / "below", "Below", issuer=short)
    twin = make_authority(world.folder / "twin", "Example Issuing", issuer=world.other)
    forged = world.leaf("forged", twin)
    return [
        case("certificate-chain-of-four", "Four certificates below the root, the most that are allowed.",
             "T4",
             _package(parts, chain(_row(world, 4).chain)), policy),
        _refused(parts, "chain-too-long", "Five certificates below the root, each of them good.", "T4",
                 chain(_row(world, 5).chain), policy, "HP5316"),
        _refused(parts, "issuer-not-an-authority", "The issuing certificate is not that of an authority: "
                 "the holder of "
                 "any certificate could make more.", "T4", under("plain", basic="critical,CA:FALSE"), policy,
                 "HP5320"),
        _refused(parts, "issuer-may-not-sign-certificates", "The issuing authority's key may not sign "
                 "certificates.",
                 "T4", under("usage", key_usage="critical,cRLSign"), policy, "HP5320"),
        _refused(parts, "issuer-for-other-purposes", "The issuing authority may issue certificates of web "
                 "servers "
                 "only.", "T4", under("servers", extra=["extendedKeyUsage=serverAuth"]), policy, "HP5320"),
        _refused(parts, "path-length", "An authority that may have no other below it has one.", "T4",
                 chain(world.leaf("under-below", below).chain), policy, "HP5320"),
        _refused(parts, "name-constraints", "An authority with name constraints, which this format does not "
                 "evaluate: "
                 "who skips them trusts too much.", "T4",
                 under("constraints", extra=["nameConstraints=critical,permitted;DNS:example.com"]), policy,
                 "HP5321"),
        _refused(parts, "issuer-expired", "The issuing authority's certificate ended a month before.", "T4",
                 under("old", valid=PAST), policy, "HP5311"),
        _refused(parts, "weak-signature", "The certificate is signed with SHA-1.", "T4",
                 chain(world.leaf("sha1", digest="sha1").chain), policy, "HP5318"),
        _refused(parts, "forged", "A certificate in the name of the issuing authority, signed with another "
                 "key, with "
                 "the genuine authority's certificate beside it.", "T4", [forged.der, world.issuing.der],
                 policy,
                 "HP5317"),
        _refused(parts, "weak-issuer", "The issuing authority has an RSA key of 1024 bits.", "T4",
                 under("weak", algorithm="rsa-1024"), policy, "HP5319"),
    ]  # fmt: skip


def _votes(parts: Parts, world: World) -> list[Made]:
    payload = parts.statement()
    certificates = extension(chain(world.leaf("voter").chain))
    tail = identity_of(world.root)
    both = trusting("holder", threshold=2, identities=["signer"], tail=tail)
    raw, certified = vote("holder", payload), vote("holder", payload, extension=certificates)
    release = vote("release", payload)
    roles = "".join(f'[[roles]]\nname = "{name}"\nidentities = ["signer"]\n' for name in ("build", "review"))
    two_roles = trusting("release", roles={"lead": ["release"]}, tail=roles + tail)
    return [
        case("key-and-certificate", "Two votes are needed; one is by a key that the policy names, one by "
             "the holder of "
             "a certificate.", "E6 T1 T4", parts.package([release, certified]),
             trusting("release", threshold=2, identities=["signer"], tail=tail)),
        case("same-key-raw-and-certificate", "Two votes are needed; one key gave both, once as a key that "
             "the policy "
             "names and once with its certificate.", "E6 T1", parts.package([raw, certified]), both,
             refused=(1, "HP6003 HP6127")),
        case("one-vote-for-two-roles", "Two roles accept the same identity. Its one holder can meet one of "
             "them.", "T2",
             parts.package([release, certified]), two_roles, refused=(1, "HP6003")),
    ]  # fmt: skip


def _revoked(parts: Parts, world: World) -> list[Made]:
    leaf = world.leaf("to-be-revoked")
    package = chain(leaf.chain)
    entry = Revoked(leaf, datetime(2026, 4, 1, tzinfo=UTC), "superseded")
    later = Revoked(leaf, datetime(2026, 8, 1, tzinfo=UTC), "superseded")
    issuer = Revoked(world.issuing, datetime(2026, 4, 1, tzinfo=UTC), "cessationOfOperation")

    def policy(*pems: bytes, outdated: str = "") -> str:
        return _policy(world.root, lists(*pems, outdated=outdated))

    old = (FROM, day("2026-05-01"))
    return [
        case("certificate-not-revoked", "A list of the issuing authority that names nobody, and is current.",
             "T6",
             _package(parts, package), policy(make_crl(world.issuing))),
        _refused(parts, "revoked", "The certificate was revoked before the verification, and no time stamp "
                 "says that the "
                 "signature is older.", "T6", package, policy(make_crl(world.issuing, [entry])), "HP5331"),
        _refused(parts, "issuer-revoked", "The issuing authority's certificate was revoked by the root.",
                 "T6", package,
                 policy(make_crl(world.root, [issuer])), "HP5331"),
        _refused(parts, "list-outdated", "The list names nobody and ended a month before: what was revoked "
                 "since is not "
                 "in it.", "T6", package, policy(make_crl(world.issuing, valid=old)), "HP5334"),
        case("certificate-list-outdated-accepted", "The same, and the policy accepts outdated lists.", "T6",
             _package(parts, package), policy(make_crl(world.issuing, valid=old),
             outdated='outdated_lists = "accept"\n')),
        _refused(parts, "list-altered", "The list is not signed by the issuing authority: one bit of its "
                 "signature is "
                 "changed. Whoever alters lists could take entries out.", "T6", package,
                 policy(_altered(make_crl(world.issuing))), "HP5333"),
        case("certificate-revoked-later", "The certificate was revoked two months after the verification's "
             "time.", "T6",
             _package(parts, package), policy(make_crl(world.issuing, [later]))),
    ]  # fmt: skip


def _altered(pem: bytes) -> bytes:
    """The list with another last bit, which is one of its signature."""
    der = bytearray(pem_to_der(pem))
    der[-1] ^= 1
    body = base64.encodebytes(der)
    return b"-----BEGIN X509 CRL-----\n" + body + b"-----END X509 CRL-----\n"
