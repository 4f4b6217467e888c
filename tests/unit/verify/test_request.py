"""What a verification is asked."""

from datetime import UTC, datetime

import pytest

from hpbuild.sign.algorithms import Algorithm, generate_private
from hpbuild.verify import Policy, VerifyRequest, checks
from hpbuild.verify.checks import Check
from hpbuild.verify.line import AcceptedLines
from tests.policies import policy_of

KEYS = {"alice": generate_private(Algorithm.ED25519).public_key()}


def test_a_time_has_a_zone() -> None:
    with pytest.raises(ValueError, match="zone"):
        VerifyRequest(bundle=b"", name="x", policy=Policy(), now=datetime(2026, 1, 1))
    assert VerifyRequest(bundle=b"", name="x", policy=Policy(), now=datetime(2026, 1, 1, tzinfo=UTC)).now


@pytest.mark.parametrize(
    ("head", "asked"),
    [
        ("", []),
        ("max_sequence_jump = 3\n", []),
        ("state = 'required'\n", [checks.LINE]),
        ("required_attachments = ['sbom']\n", [checks.ATTACHMENTS]),
        ("expiry = 'required'\n", [checks.POLICY]),
        ("max_age_days = 3\nstate = 'required'\n", [checks.POLICY, checks.LINE]),
    ],
)
def test_the_policy_asks_for_optional_checks(head: str, asked: list[Check]) -> None:
    request = VerifyRequest(bundle=b"", name="x", policy=policy_of(KEYS, head=head))
    assert request.asked == set(asked) <= checks.OPTIONAL


def test_arguments_ask_for_optional_checks() -> None:
    request = VerifyRequest(bundle=b"", name="x", policy=policy_of(KEYS), accepted=AcceptedLines())
    assert request.asked == {checks.LINE}
