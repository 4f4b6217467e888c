"""What ``policy check`` points out."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hpbuild.codes import policy as codes
from hpbuild.errors import Code, Severity
from hpbuild.sign.algorithms import Algorithm, generate_private
from hpbuild.verify.policy import Policy
from hpbuild.verify.policy_remarks import remarks
from tests import certificates as openssl
from tests.policies import authority, identity, policy_of

FIRST, SECOND = (generate_private(Algorithm.ED25519).public_key() for _ in range(2))
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SOUND = "expiry = 'required'\nstate = 'required'\n"
BOTH = {"alice": FIRST, "bob": SECOND}


def codes_of(policy: Policy, now: datetime = NOW) -> list[Code]:
    found = remarks(policy, (), now)
    assert all(item.code.severity is Severity.WARN for item in found)
    return [item.code for item in found]


def test_a_sound_policy() -> None:
    assert codes_of(policy_of(BOTH, head=SOUND, threshold=2)) == []


def test_what_is_pointed_out() -> None:
    assert codes_of(policy_of(BOTH, head=SOUND)) == [codes.ONE_VOTE]
    assert codes_of(policy_of(BOTH, threshold=2)) == [codes.NO_END, codes.NO_STATE]
    assert codes_of(policy_of(BOTH, threshold=2, head="max_age_days = 3\nstate = 'required'\n")) == []
    for tier in ("sections", "functions"):
        weak = policy_of(BOTH, threshold=2, head=f"{SOUND}lowest_tier = '{tier}'\n")
        assert codes_of(weak) == [codes.WEAK_TIER]
    found = remarks(policy_of(BOTH, head=SOUND, threshold=2), ("x",), NOW)
    assert [item.code for item in found] == [codes.UNUSED]


def test_overrides_that_have_expired() -> None:
    tail = "[[overrides]]\ncode='HP6005'\npackage='x'\nreason='r'\nby='b'\nexpires=2026-06-01T00:00:00Z\n"
    policy = policy_of(BOTH, head=SOUND, threshold=2, tail=tail)
    assert codes_of(policy) == [codes.OVERRIDE_EXPIRED]
    assert codes_of(policy, datetime(2026, 5, 31, tzinfo=UTC)) == []


def test_certificates_and_lists_out_of_date(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    require_tool("openssl")
    until = datetime(2026, 5, 1, tzinfo=UTC)
    root = openssl.make_authority(tmp_path / "root", valid=(openssl.FROM, until))
    lists = openssl.make_crl(root, valid=(openssl.FROM, until)).decode()
    tail = authority("corp", root.pem) + identity("builder", ["corp"], common_name="x")
    tail += f'[revoked]\ncertificates = ["""{lists}"""]\n'
    policy = policy_of(BOTH, head=SOUND, threshold=2, tail=tail, identities=("builder",))
    assert codes_of(policy) == [codes.OUT_OF_DATE, codes.OUT_OF_DATE]
    assert codes_of(policy, datetime(2026, 4, 1, tzinfo=UTC)) == []


def test_one_identity_for_two_votes(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    require_tool("openssl")
    root = openssl.make_authority(tmp_path / "root")
    tail = authority("corp", root.pem) + identity("builder", ["corp"], common_name="x")
    for keys, wanted in (({}, [codes.MANY_OF_ONE]), ({"alice": FIRST}, [])):
        policy = policy_of(keys, head=SOUND, threshold=2, tail=tail, identities=("builder",), roles=None)
        assert codes_of(policy) == wanted
