"""Reading policies: everything that a policy may say, and every way to say it wrong."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hpbuild.codes import policy as codes
from hpbuild.codes.certificates import BAD_CERTIFICATE, BAD_REVOCATION_LIST
from hpbuild.codes.sign import BAD_KEY, PRIVATE_KEY_GIVEN
from hpbuild.codes.verify import POLICY_THRESHOLD
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest import schema
from hpbuild.sign.algorithms import Algorithm, PublicKey, generate_private
from hpbuild.sign.signer import FileSigner
from hpbuild.verify.overrides import OVERRIDABLE
from hpbuild.verify.policy import Limits, Policy
from hpbuild.verify.policy_file import MAX_POLICY, parse_policy, read_policy, unused_names
from hpbuild.verify.policy_toml import toml_document
from hpbuild.verify.states import Tier
from tests.policies import HEAD, policy_of, policy_text

FIRST, SECOND = (generate_private(Algorithm.ED25519).public_key() for _ in range(2))
LATE = generate_private(Algorithm.ML_DSA_65).public_key()
KEYS: dict[str, PublicKey] = {"alice": FIRST, "bob": SECOND}
DIGEST = "ab" * 32


def refusal(text: str | bytes) -> Code:
    with pytest.raises(HpbuildError) as caught:
        parse_policy(text.encode() if isinstance(text, str) else text, "trust.toml")
    assert caught.value.finding.place.startswith("trust.toml")
    return caught.value.code


def test_the_smallest_policy() -> None:
    text = policy_text({"alice": FIRST})
    policy = parse_policy(text.encode(), "trust.toml")
    assert policy.trusted_spki == policy_of({"bob": FIRST}).trusted_spki
    assert (policy.threshold, policy.lowest_tier, policy.hybrid) == (1, Tier.AUTHENTICODE, False)
    assert policy.algorithms == frozenset(Algorithm)
    assert not policy.allow_unsigned
    assert not policy.has_rules
    assert policy.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert policy.limits == Limits()


def test_everything_that_a_policy_says() -> None:
    policy = policy_of(
        {**KEYS, "late": LATE},
        head="""
name = "Codec servers"
products = ["Codec", "Codec 2"]
lowest_tier = "exact"
algorithms = ["ed25519", "ml-dsa-65"]
hybrid = true
state = "required"
expiry = "required"
max_age_days = 90
max_sequence_jump = 5
required_attachments = ["sbom", "vex"]
""",
        tail=f"""
[revoked]
outdated_lists = "accept"
keys = [
  {{ spki_sha256 = "{DIGEST}", reason = "lost" }},
  {{ spki_sha256 = "{"cd" * 32}", since = 2026-01-31T13:00:00+01:00, reason = "stolen" }},
]
bundles = [{{ id = "KB-1", reason = "crashes" }}, {{ statement = "{DIGEST}", reason = "crashes too" }}]

[[overrides]]
code = "HP6005"
package = "KB-7"
reason = "the plant is shut down until then"
by = "ops"
expires = "2026-02-01T00:00:00Z"

[limits]
modules = 3
""",
    )
    assert (policy.name, policy.products) == ("Codec servers", ("Codec", "Codec 2"))
    assert (policy.lowest_tier, policy.hybrid) == (Tier.EXACT, True)
    assert policy.algorithms == {Algorithm.ED25519, Algorithm.ML_DSA_65}
    assert (policy.state_required, policy.expiry_required, policy.max_age) == (True, True, timedelta(days=90))
    assert (policy.max_sequence_jump, policy.required_attachments) == (5, {"sbom", "vex"})
    assert policy.outdated_lists
    lost, stolen = policy.revoked_keys
    assert (lost.spki_sha256, lost.since, lost.reason) == (DIGEST, None, "lost")
    assert stolen.since == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert [item.package for item in policy.revoked_bundles] == ["KB-1", DIGEST]
    (override,) = policy.overrides
    assert (override.code, override.by) == ("HP6005", "ops")
    assert override.expires == datetime(2026, 2, 1, tzinfo=UTC)
    assert policy.limits == Limits(modules=3)
    assert policy.threshold == 2
    assert policy.has_rules


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b"x = ",
        b"a = 1\na = 2",
        b"max_age_days = 1.5",
        b"max_age_days = inf",
        b"max_age_days = 9007199254740993",
        b"x = " + b"9" * 5000,
        b"x = 2026-01-01",
        b"x = 2026-01-01T00:00:00",
        b"x = 12:00:00",
        b"x = 2026-01-01T00:00:00.5Z",
        b"x = 0001-01-01T00:00:00+10:00",
        b"x = " + b"[" * 20 + b"]" * 20,
        b"x = " + b"[" * 100_000,
        b".".join([b"a"] * 50) + b" = 1",
        b"x = [" + b"1," * 60_000 + b"]",
    ],
)
def test_not_toml_that_can_be_read_in_one_way(text: bytes) -> None:
    assert refusal(text) is codes.NOT_TOML


@pytest.mark.parametrize(
    "head",
    [
        "treshold = 2",
        "allow_unsigned = true",
        "hybrid = 1",
        "hybrid = 'yes'",
        "products = []",
        "products = ['Codec', 'Codec']",
        "products = ['']",
        "products = 'Codec'",
        "lowest_tier = 'none'",
        "algorithms = ['rsa']",
        "algorithms = []",
        "timestamps = 'never'",
        "max_age_days = 0",
        "max_age_days = -1",
        "max_age_days = true",
        "max_sequence_jump = 4294967296",
        "required_attachments = ['licence']",
        'name = "a\\u202eb"',
        'name = "a\\nb"',
        "name = '" + "x" * 201 + "'",
        "[limits]\nmemory = 1",
        "[limits]\nmodules = 0",
        "[limits]\nmodules = 1000001",
        "[publisher]\nauthorities = ['x']",
        "[publisher]\nauthorities = []\nsubject = { common_name = 'x' }",
        "[publisher]\nauthorities = ['x']\nsubject = {}",
        "[revoked]\nkeys = [{ spki_sha256 = 'ab', reason = 'x' }]",
        f"[revoked]\nkeys = [{{ spki_sha256 = \"{DIGEST}\\n\", reason = 'x' }}]",
        f"[revoked]\nkeys = [{{ spki_sha256 = '{DIGEST.upper()}', reason = 'x' }}]",
        f"[revoked]\nkeys = [{{ spki_sha256 = '{DIGEST}' }}]",
        f"[revoked]\nkeys = [{{ spki_sha256 = '{DIGEST}', reason = 'x', since = '2026-02-30T00:00:00Z' }}]",
        "[revoked]\nbundles = [{ reason = 'x' }]",
        f"[revoked]\nbundles = [{{ id = 'x', statement = '{DIGEST}', reason = 'x' }}]",
        "[[overrides]]\ncode = 'HP6005'\npackage = 'x'\nreason = 'r'\nby = 'b'",
        "[[overrides]]\ncode='HP6005'\npackage='x'\nreason=''\nby='b'\nexpires=2026-01-01T00:00:00Z",
        "[[identities]]\nname = 'x'\nauthorities = ['y']\nsubject = {}",
        "[[identities]]\nname = 'x'\nauthorities = ['y']\nsubject = { surname = 'z' }",
    ],
)
def test_entries_that_are_unknown_missing_or_wrong(head: str) -> None:
    text = policy_text({"alice": FIRST})
    text = text + "\n" + head if head.startswith("[") else HEAD + head + "\n" + text.removeprefix(HEAD)
    assert refusal(text) is codes.NOT_A_POLICY


def test_a_policy_names_its_schema() -> None:
    text = policy_text({"alice": FIRST})
    assert refusal(text.replace(HEAD, "")) is codes.NOT_A_POLICY
    assert refusal(text.replace("policy:1", "policy:2")) is codes.NOT_A_POLICY
    assert refusal(b"") is codes.NOT_A_POLICY


@pytest.mark.parametrize("name", ["", " a", "a b", "-a", "a" * 65, "a\\n", "ä", "a/b"])
def test_names_are_plain(name: str) -> None:
    assert refusal(policy_text({name: FIRST})) is codes.NOT_A_POLICY


def test_nobody_is_trusted() -> None:
    assert refusal(HEAD) is codes.TRUSTS_NOBODY
    assert refusal(policy_text({"alice": FIRST}, roles={"release": []})) is POLICY_THRESHOLD


def test_one_key_has_one_name_and_one_role() -> None:
    twice = {"alice": FIRST, "alias": FIRST}
    assert refusal(policy_text(twice)) is codes.KEY_TWICE
    assert refusal(policy_text(twice, roles={"r1": ["alice"], "r2": ["alias"]})) is codes.KEY_TWICE
    assert refusal(policy_text(KEYS, roles={"r1": ["alice"], "r2": ["alice", "bob"]})) is codes.KEY_TWICE


def test_names_are_defined_once() -> None:
    text = policy_text({"alice": FIRST})
    assert refusal(text + policy_text({"alice": SECOND}).removeprefix(HEAD)) is codes.DUPLICATE_NAME
    assert refusal(policy_text(KEYS, roles={"release": ["alice", "carol"]})) is codes.UNKNOWN_NAME
    assert refusal(policy_text(KEYS, identities=("builder",))) is codes.UNKNOWN_NAME


@pytest.mark.parametrize("threshold", [3, 64])
def test_a_threshold_above_the_keys(threshold: int) -> None:
    assert refusal(policy_text(KEYS, threshold=threshold)) is POLICY_THRESHOLD


def test_a_threshold_that_the_allowed_algorithms_cannot_meet() -> None:
    keys = {"alice": FIRST, "late": LATE}
    assert policy_of(keys, threshold=2).threshold == 2
    text = policy_text(keys, threshold=2, head="algorithms = ['ed25519']\n")
    assert refusal(text) is POLICY_THRESHOLD


def test_a_hybrid_role_needs_keys_of_both_kinds() -> None:
    assert refusal(policy_text(KEYS, head="hybrid = true\n")) is codes.HYBRID_IMPOSSIBLE
    assert refusal(policy_text({"late": LATE}, head="hybrid = true\n")) is codes.HYBRID_IMPOSSIBLE
    assert policy_of({"alice": FIRST, "late": LATE}, head="hybrid = true\n").hybrid


def test_required_time_stamps_need_somebody_to_trust() -> None:
    assert refusal(policy_text(KEYS, head="timestamps = 'required'\n")) is codes.AUTHORITIES_NEEDED


def override(code: str) -> str:
    return (
        f"[[overrides]]\ncode = '{code}'\npackage = 'KB-7'\nreason = 'because'\nby = 'ops'\n"
        "expires = 2026-02-01T00:00:00Z\n"
    )


BARRED = ("HP6003", "HP4302", "HP5203", "HP6034", "HP6123", "HP6145", "HP8001", "HP0000")


@pytest.mark.parametrize("code", BARRED)
def test_integrity_and_signatures_cannot_be_overridden(code: str) -> None:
    assert refusal(policy_text(KEYS, tail=override(code))) is codes.NOT_OVERRIDABLE


@pytest.mark.parametrize("code", OVERRIDABLE, ids=lambda code: code.id)
def test_what_can_be_overridden(code: Code) -> None:
    assert policy_of(KEYS, tail=override(code.id)).overrides[0].code == code.id


def test_keys_and_certificates_that_are_none(signers: Sequence[FileSigner]) -> None:
    from cryptography.hazmat.primitives import serialization

    text = policy_text({"alice": FIRST})
    pem = text[text.index("-----BEGIN") : text.rindex('"""')]
    assert refusal(text.replace(pem, "hello")) is BAD_KEY
    private = signers[0].private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert refusal(text.replace(pem, private.decode())) is PRIVATE_KEY_GIVEN
    for table in ("authorities", "timestamp_authorities"):
        assert refusal(text + f"[[{table}]]\nname = 'x'\ncertificate = 'hello'\n") is BAD_CERTIFICATE
    assert refusal(text + "[revoked]\ncertificates = ['hello']\n") is BAD_REVOCATION_LIST


def test_the_file_is_bounded(tmp_path: Path) -> None:
    from hpbuild.codes.bundle import TOO_LARGE

    path = tmp_path / "trust.toml"
    text = policy_text({"alice": FIRST}).encode()
    path.write_bytes(text + b"#" * (MAX_POLICY - len(text)))
    assert read_policy(path).threshold == 1
    path.write_bytes(text + b"#" * (MAX_POLICY + 1 - len(text)))
    with pytest.raises(HpbuildError) as caught:
        read_policy(path)
    assert caught.value.code is TOO_LARGE


def test_the_published_schema_knows_every_entry_that_is_read() -> None:
    """An entry that only one of the two knows would be refused, or read without being checked."""
    document = schema.load_schema("policy-1")
    limits = set(document["$defs"]["limits"]["properties"])
    assert limits == set(Limits.__dataclass_fields__)
    assert set(document["properties"]["algorithms"]["items"]["enum"]) == set(Algorithm)
    assert set(document["properties"]["lowest_tier"]["enum"]) == set(Tier)


def test_one_flipped_bit_is_refused_or_another_policy() -> None:
    """Nothing else comes out than an error of our own, and never a policy that trusts nobody."""
    text = policy_text({"alice": FIRST}, head="max_age_days = 3\n").encode()
    for at in range(len(text)):
        for bit in range(0, 8, 3):
            changed = text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1 :]
            try:
                policy = parse_policy(changed, "trust.toml")
            except HpbuildError:
                continue
            assert isinstance(policy, Policy)
            assert policy.threshold >= 1


def test_unused_names() -> None:
    text = policy_text(KEYS, roles={"release": ["alice"]}).encode()
    assert unused_names(text, "trust.toml") == ("keys: bob",)
    assert unused_names(policy_text(KEYS).encode(), "trust.toml") == ()


def test_times_are_the_same_however_they_are_written() -> None:
    times = ("2026-01-31T13:00:00+01:00", "'2026-01-31T12:00:00Z'", "2026-01-31 12:00:00Z")
    text = "".join(f"t{index} = {time}\n" for index, time in enumerate(times))
    values = toml_document(text.encode(), "x")
    assert set(values.values()) == {"2026-01-31T12:00:00Z"}
