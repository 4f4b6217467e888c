"""Votes of raw keys and of certificates made by openssl: each reason why a signature has no vote."""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hpbuild.bundle.reader import read_bundle
from hpbuild.codes import certificates as chain_codes
from hpbuild.codes import policy as codes
from hpbuild.codes.verify import UNTRUSTED
from hpbuild.errors import Code, ExitStatus
from hpbuild.sign.algorithms import Algorithm, generate_private, spki_sha256
from hpbuild.sign.dsse import Envelope, Signature, decode_envelope, encode_envelope
from hpbuild.sign.extension import Extension, encode_extension
from hpbuild.sign.keys import load_private
from hpbuild.sign.signer import FileSigner, Signing
from hpbuild.verify import Policy, VerifyRequest, verify
from hpbuild.verify.checks import CheckResult
from hpbuild.verify.request import Signer
from hpbuild.verify.signatures import check_signatures
from hpbuild.verify.states import Authenticity
from tests import certificates as openssl
from tests.policies import authority, identity, policy_of

NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + timedelta(days=1)
HOUR = timedelta(hours=1)


@dataclasses.dataclass(frozen=True)
class Authorities:
    """Made once: an authority with one below it, and one for time stamps."""

    folder: Path
    root: openssl.Entity
    issuing: openssl.Entity
    release: openssl.Entity
    time_root: openssl.Entity
    time: openssl.Entity

    def leaf(self, name: str, **how: object) -> openssl.Entity:
        folder = self.folder / name
        if (folder / "certificate.pem").exists():
            return openssl.Entity(folder, name, self.issuing)
        issuer = how.pop("issuer", self.issuing)
        return openssl.make_leaf(folder, issuer, name, **how)  # type: ignore[arg-type]

    def stamp(self, signature: bytes) -> bytes:
        return openssl.make_timestamp(self.folder / "stamps", self.time, signature)

    def policy(self, common_name: str = "Release", more: str = "", **how: object) -> Policy:
        """Trusts certificates of the root with this common name, and the time stamps."""
        how.setdefault("identities", ("builder",))
        tail = "\n".join(
            (
                authority("corp", self.root.pem),
                authority("time", self.time_root.pem, "timestamp_authorities"),
                identity("builder", ["corp"], common_name=common_name),
                more,
            )
        )
        return policy_of(tail=tail, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def authorities(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Authorities:
    require_tool("openssl")
    folder = tmp_path_factory.mktemp("authorities")
    root = openssl.make_authority(folder / "root", "Corp Root")
    issuing = openssl.make_authority(folder / "issuing", "Corp Issuing", issuer=root)
    time_root = openssl.make_authority(folder / "time-root", "Time Root")
    time = openssl.make_leaf(
        folder / "time", time_root, "Time", usage=openssl.TIME_STAMPING, algorithm="rsa-2048"
    )
    release = openssl.make_leaf(folder / "release", issuing, "Release")
    return Authorities(folder, root, issuing, release, time_root, time)


def signing(
    entity: openssl.Entity, stamp: Callable[[bytes], bytes] | None = None, *, chain: bool = True
) -> Signing:
    """A signature with the certificates of ``entity``."""
    signer = FileSigner(load_private(entity.key.read_bytes(), None, "key"))
    return Signing(signer, tuple(item.der for item in entity.chain) if chain else (), stamp)


def raw(entity: openssl.Entity) -> FileSigner:
    return FileSigner(load_private(entity.key.read_bytes(), None, "key"))


def judged(
    release, signers: Sequence[object], policy: Policy, now: datetime = LATER
) -> tuple[CheckResult, tuple[Signer, ...]]:
    found = check_signatures(read_bundle(release.bundle(signers=signers)), policy, now)
    trusted = found.authenticity is Authenticity.TRUSTED
    assert trusted is found.check.passed
    for signer in found.signers:
        assert signer.trusted is (signer.reason is None)
        assert bool(signer.role) is signer.trusted
    return found.check, found.signers


def reason(release, signers: Sequence[object], policy: Policy, now: datetime = LATER) -> Code | None:
    """Why the only signature has no vote; the check fails with the same code."""
    check, (signer,) = judged(release, signers, policy, now)
    if signer.reason is None:
        assert check.passed
        return None
    assert [finding.code for finding in check.findings] == [UNTRUSTED, signer.reason.code]
    return signer.reason.code


def test_a_certificate_of_an_identity(release, authorities: Authorities) -> None:
    check, (signer,) = judged(release, [signing(authorities.release)], authorities.policy())
    assert check.passed
    assert (signer.role, signer.name, signer.certificate) == ("release", "builder", "CN=Release")
    assert (signer.algorithm, signer.outcome) == ("ecdsa-p256", "verified")
    assert (signer.signing_time, signer.timestamp_authority) == (None, "")


def test_a_time_stamp_is_the_time_of_signing(release, authorities: Authorities) -> None:
    _, (signer,) = judged(release, [signing(authorities.release, authorities.stamp)], authorities.policy())
    assert signer.signing_time is not None
    assert abs(signer.signing_time - NOW) < HOUR
    assert signer.timestamp_authority == "CN=Time"
    assert signer.remarks == ()


def test_the_name_is_not_that_of_the_identity(release, authorities: Authorities) -> None:
    for name in ("release", "Release ", "Releas", "CN=Release"):
        assert reason(release, [signing(authorities.release)], authorities.policy(name)) is codes.NO_IDENTITY


@pytest.mark.parametrize(
    ("wanted", "meets"),
    [
        ({"organization": "Example"}, True),
        ({"organization": "Example", "organizational_unit": "Build", "country": "DE"}, True),
        ({"organization": "Example", "organizational_unit": "Sales"}, False),
        ({"country": "FR"}, False),
        ({"common_name": "Full", "organization": "Exampl"}, False),
    ],
)
def test_attributes_of_the_subject(
    release, authorities: Authorities, wanted: dict[str, str], meets: bool
) -> None:
    leaf = authorities.leaf("Full", subject="/C=DE/O=Example/OU=Build/CN=Full")
    more = identity("full", ["corp"], **wanted)
    policy = authorities.policy("nobody", more, identities=("builder", "full"))
    assert reason(release, [signing(leaf)], policy) is (None if meets else codes.NO_IDENTITY)


def test_an_attribute_that_occurs_twice_is_none(release, authorities: Authorities) -> None:
    leaf = authorities.leaf("Twice", subject="/CN=Release/CN=Twice")
    for name in ("Release", "Twice"):
        assert reason(release, [signing(leaf)], authorities.policy(name)) is codes.NO_IDENTITY


def test_alternative_names(release, authorities: Authorities) -> None:
    names = "subjectAltName=email:build@example.org,URI:https://example.org/build"
    leaf = authorities.leaf("Named", extra=[names])

    def policy(kind: str, value: str) -> Policy:
        table = '[[identities]]\nname = "named"\nauthorities = ["corp"]\n'
        table += f'subject = {{ {kind} = ["x", "{value}"] }}\n'
        return authorities.policy("nobody", table, identities=("named",))

    assert reason(release, [signing(leaf)], policy("emails", "build@example.org")) is None
    assert reason(release, [signing(leaf)], policy("uris", "https://example.org/build")) is None
    for kind, value in (
        ("emails", "Build@example.org"),
        ("uris", "https://example.org/"),
        ("uris", "build@example.org"),
    ):
        assert reason(release, [signing(leaf)], policy(kind, value)) is codes.NO_IDENTITY
    unnamed = [signing(authorities.release)]
    assert reason(release, unnamed, policy("emails", "build@example.org")) is codes.NO_IDENTITY


def test_another_authority(release, authorities: Authorities) -> None:
    stranger = openssl.make_authority(authorities.folder / "stranger", "Corp Root")
    leaf = authorities.leaf("Strange", issuer=stranger, subject="/CN=Release")
    code = reason(release, [signing(leaf)], authorities.policy())
    assert code in (chain_codes.UNTRUSTED, chain_codes.BAD_CERTIFICATE_SIGNATURE)


def test_no_chain_sent(release, authorities: Authorities) -> None:
    alone = Signing(raw(authorities.release), (authorities.release.der,))
    assert reason(release, [alone], authorities.policy()) is chain_codes.UNTRUSTED


def test_self_signed(release, authorities: Authorities) -> None:
    leaf = openssl.make_leaf(authorities.folder / "self", None, "Release")
    alone = Signing(raw(leaf), (leaf.der,))
    assert reason(release, [alone], authorities.policy()) is chain_codes.SELF_SIGNED


def test_wrong_purpose(release, authorities: Authorities) -> None:
    leaf = authorities.leaf("Web", usage="extendedKeyUsage=serverAuth", subject="/CN=Release")
    assert reason(release, [signing(leaf)], authorities.policy()) is chain_codes.WRONG_PURPOSE


def test_expired_but_signed_before(release, authorities: Authorities) -> None:
    leaf = authorities.leaf("Short", valid=(openssl.FROM, NOW + HOUR), subject="/CN=Release")
    policy = authorities.policy()
    assert reason(release, [signing(leaf)], policy) is chain_codes.EXPIRED
    assert reason(release, [signing(leaf, authorities.stamp)], policy) is None
    assert reason(release, [signing(leaf)], policy, NOW) is None


def test_not_yet_valid(release, authorities: Authorities) -> None:
    leaf = authorities.leaf("Early", valid=(NOW + 2 * HOUR, openssl.TO), subject="/CN=Release")
    assert reason(release, [signing(leaf)], authorities.policy()) is None
    assert reason(release, [signing(leaf)], authorities.policy(), NOW) is chain_codes.NOT_YET_VALID
    stamped = [signing(leaf, authorities.stamp)]
    assert reason(release, stamped, authorities.policy()) is chain_codes.NOT_YET_VALID


def revoking(authorities: Authorities, leaf: openssl.Entity, time: datetime, why: str = "superseded") -> str:
    lists = openssl.make_crl(authorities.issuing, [openssl.Revoked(leaf, time, why)])
    return f'[revoked]\ncertificates = ["""{lists.decode()}"""]\n'


def test_revoked_certificates(release, authorities: Authorities) -> None:
    leaf = authorities.leaf("Revoked", subject="/CN=Release")
    before = authorities.policy(more=revoking(authorities, leaf, NOW - HOUR))
    after = authorities.policy(more=revoking(authorities, leaf, NOW + HOUR))
    stolen = authorities.policy(more=revoking(authorities, leaf, NOW + HOUR, "keyCompromise"))
    stamped = [signing(leaf, authorities.stamp)]
    assert reason(release, stamped, after) is None
    for policy in (before, stolen):
        assert reason(release, stamped, policy) is chain_codes.REVOKED
    # Without a time stamp a signature is as old as the verification.
    assert reason(release, [signing(leaf)], after) is chain_codes.REVOKED
    assert reason(release, [signing(authorities.release)], before) is None


def test_an_outdated_list(release, authorities: Authorities) -> None:
    lists = openssl.make_crl(authorities.issuing, valid=(openssl.FROM, NOW - HOUR)).decode()
    table = f'[revoked]\ncertificates = ["""{lists}"""]\n'
    given = [signing(authorities.release)]
    assert reason(release, given, authorities.policy(more=table)) is chain_codes.LIST_OUTDATED
    accepting = authorities.policy(more=table + 'outdated_lists = "accept"\n')
    assert reason(release, given, accepting) is None


def revoked_key(signer: FileSigner, since: datetime | None = None) -> str:
    when = f", since = {since.isoformat()}" if since else ""
    spki = spki_sha256(signer.public)
    return f'[revoked]\nkeys = [{{ spki_sha256 = "{spki}", reason = "lost"{when} }}]\n'


def test_revoked_keys(release, authorities: Authorities) -> None:
    key = raw(authorities.release)
    stamped = [signing(authorities.release, authorities.stamp)]
    for how in ({}, {"keys": {"alice": key.public}, "identities": ()}):
        never = authorities.policy(more=revoked_key(key), **how)
        since = authorities.policy(more=revoked_key(key, NOW + HOUR), **how)
        earlier = authorities.policy(more=revoked_key(key, NOW - HOUR), **how)
        assert reason(release, stamped, since) is None
        assert reason(release, stamped, never) is codes.KEY_REVOKED
        assert reason(release, stamped, earlier) is codes.KEY_REVOKED
        # Without a trusted time stamp nobody knows that it was before, not even when judged before.
        assert reason(release, [signing(authorities.release)], since, NOW) is codes.KEY_REVOKED


def test_a_key_counts_until_and_not_from_the_time_of_its_revocation(
    release, authorities: Authorities
) -> None:
    made: list[bytes] = []

    def once(signature: bytes) -> bytes:
        made.append(made[0] if made else authorities.stamp(signature))
        return made[0]

    given = [signing(authorities.release, once)]
    _, (signer,) = judged(release, given, authorities.policy())
    time = signer.signing_time
    assert time is not None
    key = raw(authorities.release)
    for since, wanted in ((time, codes.KEY_REVOKED), (time + timedelta(seconds=1), None)):
        assert reason(release, given, authorities.policy(more=revoked_key(key, since))) is wanted


def test_a_key_and_its_certificate_do_not_meet_two_roles(release, authorities: Authorities) -> None:
    """The key is trusted raw in one role, its certificate is of an identity of another one."""
    tail = '[[roles]]\nname = "build"\nidentities = ["builder"]\n'
    policy = authorities.policy(
        keys={"alice": raw(authorities.release).public},
        roles={"release": ["alice"]},
        identities=(),
        more=tail,
    )
    check, (signer,) = judged(release, [signing(authorities.release)], policy)
    assert [item.code for item in check.findings] == [UNTRUSTED]
    assert signer.trusted
    second = authorities.leaf("Second", subject="/CN=Release")
    check, signers = judged(release, [signing(authorities.release), signing(second)], policy)
    assert check.passed
    assert [(item.role, item.name) for item in signers] == [("release", "alice"), ("build", "builder")]


def test_algorithms(release, authorities: Authorities) -> None:
    for how in ({}, {"keys": {"alice": raw(authorities.release).public}, "identities": ("builder",)}):
        allowed = authorities.policy(head="algorithms = ['ecdsa-p256']\n", **how)
        assert reason(release, [signing(authorities.release)], allowed) is None
        other = authorities.policy(head="algorithms = ['ed25519']\n", **how)
        assert reason(release, [signing(authorities.release)], other) is codes.ALGORITHM_NOT_ALLOWED


def test_required_time_stamps(release, authorities: Authorities) -> None:
    policy = authorities.policy(head="timestamps = 'required'\n")
    assert reason(release, [signing(authorities.release, authorities.stamp)], policy) is None
    assert reason(release, [signing(authorities.release)], policy) is codes.TIMESTAMP_MISSING

    def of_something_else(_: bytes) -> bytes:
        return authorities.stamp(b"something else")

    other = [signing(authorities.release, of_something_else)]
    assert reason(release, other, policy) is chain_codes.TIMESTAMP_OF_OTHER_DATA
    _, (signer,) = judged(release, other, authorities.policy())
    assert (signer.trusted, signer.signing_time) == (True, None)
    assert [item.code for item in signer.remarks] == [chain_codes.TIMESTAMP_OF_OTHER_DATA]


def test_a_time_stamp_of_an_authority_that_is_not_trusted(release, authorities: Authorities) -> None:
    root = openssl.make_authority(authorities.folder / "other-time-root", "Other Time Root")
    time = openssl.make_leaf(
        authorities.folder / "other-time", root, "Time", usage=openssl.TIME_STAMPING, algorithm="rsa-2048"
    )

    def stamp(signature: bytes) -> bytes:
        return openssl.make_timestamp(authorities.folder / "other-stamps", time, signature)

    short = authorities.leaf("Short", valid=(openssl.FROM, NOW + HOUR), subject="/CN=Release")
    assert reason(release, [signing(short, stamp)], authorities.policy()) is chain_codes.EXPIRED
    required = authorities.policy(head="timestamps = 'required'\n")
    given = [signing(authorities.release, stamp)]
    assert reason(release, given, required) is chain_codes.TIMESTAMP_UNTRUSTED


def test_a_time_stamp_from_the_future(release, authorities: Authorities) -> None:
    policy = authorities.policy(head="timestamps = 'required'\n")
    given = [signing(authorities.release, authorities.stamp)]
    assert reason(release, given, policy, NOW - HOUR) is codes.TIMESTAMP_IN_FUTURE


def test_raw_and_in_a_certificate_it_is_one_vote(release, authorities: Authorities) -> None:
    key = raw(authorities.release)
    policy = authorities.policy(keys={"alice": key.public}, identities=("builder",), threshold=2)
    envelope = decode_envelope(read_bundle(release.bundle(signers=[signing(authorities.release)])).envelope)
    signature = envelope.signatures[0]
    both = (signature, dataclasses.replace(signature, keyid="other", extension=b""))
    check, signers = judged_envelope(release, both, policy)
    assert not check.passed
    assert [signer.trusted for signer in signers] == [True, False]
    assert [item.code for item in check.findings] == [UNTRUSTED, codes.VOTED_ALREADY]


def judged_envelope(
    release, signatures: Sequence[Signature], policy: Policy, now: datetime = LATER
) -> tuple[CheckResult, tuple[Signer, ...]]:
    bundle = read_bundle(release.bundle(signers=[FileSigner(generate_private(Algorithm.ED25519))]))
    old = decode_envelope(bundle.envelope)
    changed = encode_envelope(Envelope(old.payload_type, old.payload, tuple(signatures)))
    found = check_signatures(
        dataclasses.replace(bundle, members={**bundle.members, "signatures.dsse.json": changed}), policy, now
    )
    return found.check, found.signers


def test_a_bad_extension_neither_counts_nor_hides_others(release, authorities: Authorities) -> None:
    first, second = (FileSigner(generate_private(Algorithm.ED25519)) for _ in range(2))
    policy = policy_of({"alice": first.public, "bob": second.public})
    envelope = decode_envelope(read_bundle(release.bundle(signers=[first, second])).envelope)
    broken = (
        b'{"kind":"other"}',
        b"[]",
        b'"x"',
        encode_extension(Extension((b"no certificate",))),
    )
    for extension in broken:
        bad = dataclasses.replace(envelope.signatures[0], extension=extension)
        check, signers = judged_envelope(release, (bad, envelope.signatures[1]), policy)
        assert check.passed
        assert [signer.trusted for signer in signers] == [False, True]
        assert signers[0].reason is not None
        assert signers[0].reason.code in (
            chain_codes.BAD_EXTENSION,
            chain_codes.BAD_CERTIFICATE,
            *manifest_codes(),
        )
        assert not judged_envelope(release, (bad,), policy)[0].passed


def manifest_codes() -> tuple[Code, ...]:
    from hpbuild.codes import manifest

    return manifest.ROWS


def test_somebody_elses_certificate_beside_a_signature(release, authorities: Authorities) -> None:
    signer = FileSigner(generate_private(Algorithm.ED25519))
    policy = authorities.policy(keys={"alice": signer.public}, identities=("builder",))
    borrowed = Signing(signer, tuple(item.der for item in authorities.release.chain))
    assert reason(release, [borrowed], policy) is codes.CERTIFICATE_OF_OTHER_KEY
    stranger = Signing(
        FileSigner(generate_private(Algorithm.ED25519)), tuple(item.der for item in authorities.release.chain)
    )
    assert reason(release, [stranger], policy) is codes.BAD_SIGNATURE


def test_a_certificate_without_identities_is_nobody(release, authorities: Authorities) -> None:
    policy = policy_of({"alice": generate_private(Algorithm.ED25519).public_key()})
    assert reason(release, [signing(authorities.release, authorities.stamp)], policy) is codes.UNKNOWN_KEY


def test_roles_need_votes_of_their_own(release, authorities: Authorities) -> None:
    """Two roles that take the same identity need two holders of it."""
    second = authorities.leaf("Second", subject="/CN=Release")
    policy = authorities.policy(roles={"build": [], "security": []})
    check, (signer,) = judged(release, [signing(authorities.release)], policy)
    assert not check.passed
    assert [item.code for item in check.findings] == [UNTRUSTED]
    assert signer.role == "build"
    check, signers = judged(release, [signing(authorities.release), signing(second)], policy)
    assert check.passed
    assert {signer.role for signer in signers} == {"build", "security"}


def test_the_hybrid_rule(release) -> None:
    from hpbuild.codes.policy import HYBRID_NOT_MET

    classical = FileSigner(generate_private(Algorithm.ED25519))
    late = FileSigner(generate_private(Algorithm.ML_DSA_65))
    policy = policy_of({"alice": classical.public, "late": late.public}, head="hybrid = true\n")
    for given, codes_wanted in (
        ([classical], [HYBRID_NOT_MET]),
        ([late], [HYBRID_NOT_MET]),
        ([classical, late], []),
    ):
        check, _ = judged(release, given, policy)
        assert [item.code for item in check.findings] == codes_wanted


def test_a_whole_verification_says_when_and_by_which_policy(release, authorities: Authorities) -> None:
    policy = authorities.policy()
    data = release.bundle(signers=[signing(authorities.release, authorities.stamp)])
    result = verify(
        VerifyRequest(bundle=data, name="p", policy=policy, now=LATER, installed=release.installed)
    )
    assert (result.exit, result.time, result.policy_sha256) == (ExitStatus.YES, LATER, policy.sha256)
    assert len(result.policy_sha256) == 64
    assert len(result.statement_sha256) == 64


def test_every_bit_of_an_extension_counts_or_does_no_harm(release, authorities: Authorities) -> None:
    """No flipped bit in certificates gives a vote that the unchanged ones would not have given."""
    data = release.bundle(signers=[signing(authorities.release)])
    envelope = decode_envelope(read_bundle(data).envelope)
    signature = envelope.signatures[0]
    certificates = [item.der for item in authorities.release.chain]
    policy = authorities.policy()
    for which, der in enumerate(certificates):
        for at in range(0, len(der), 5):
            changed = list(certificates)
            changed[which] = der[:at] + bytes([der[at] ^ 1 << at % 8]) + der[at + 1 :]
            bad = dataclasses.replace(signature, extension=encode_extension(Extension(tuple(changed))))
            check, _ = judged_envelope(release, (bad,), policy)
            assert not check.passed, (which, at)
