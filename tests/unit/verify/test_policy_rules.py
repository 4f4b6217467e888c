"""V19: product, age, expiry and revocation of packages, and overrides."""

import dataclasses
from datetime import UTC, datetime

import pytest

from hpbuild.bundle.statement import make_statement
from hpbuild.codes import all_codes
from hpbuild.codes import policy as codes
from hpbuild.codes.bundle import SUBJECT_MISMATCH
from hpbuild.codes.verify import EXPIRED, TIER_TOO_LOW, UNTRUSTED
from hpbuild.errors import Code, ExitStatus, Finding, Severity
from hpbuild.values import Digest
from hpbuild.verify import Policy, Verification, VerifyRequest, checks, verify
from hpbuild.verify.checks import judged
from hpbuild.verify.overrides import OVERRIDABLE, with_overrides
from hpbuild.verify.policy import Override
from hpbuild.verify.policy_rules import check_policy
from hpbuild.verify.request import Signer
from hpbuild.verify.states import CheckStatus, Verdict
from tests.policies import policy_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER = datetime(2026, 7, 1, tzinfo=UTC)
LAST_WEEK = datetime(2026, 5, 25, tzinfo=UTC)
ID = "codec-2026-01"


def policy(release, head: str = "", tail: str = "") -> Policy:
    return policy_of({"alice": release.signers[0].public}, head=head, tail=tail)


def verified(release, rules: Policy, *, created: str = "", expiry: str = "") -> Verification:
    given = release.with_manifest(created=created) if created else release
    data = given.bundle(change=lambda statement: dataclasses.replace(statement, expiry=expiry))
    return verify(VerifyRequest(bundle=data, name="p", policy=rules, now=NOW))


def codes_of(result: Verification) -> list[Code]:
    (check,) = [item for item in result.checks if item.check is checks.POLICY]
    return [finding.code for finding in check.findings]


def test_without_rules_it_is_not_run_and_does_no_harm(release) -> None:
    result = verified(release, policy(release))
    (check,) = [item for item in result.checks if item.check is checks.POLICY]
    assert (check.status, result.exit) == (CheckStatus.NOT_RUN, ExitStatus.YES)
    assert check.reason


@pytest.mark.parametrize(("product", "wanted"), [("Codec", []), ("codec", [codes.WRONG_PRODUCT])])
def test_products(release, product: str, wanted: list[Code]) -> None:
    result = verified(release, policy(release, f"products = ['Other', '{product}']\n"))
    assert codes_of(result) == wanted
    assert result.exit is (ExitStatus.NO if wanted else ExitStatus.YES)


def test_required_expiry(release) -> None:
    rules = policy(release, "expiry = 'required'\n")
    assert codes_of(verified(release, rules)) == [codes.EXPIRY_MISSING]
    assert verified(release, rules, expiry="2026-06-02T00:00:00Z").exit is ExitStatus.YES


@pytest.mark.parametrize(
    ("created", "wanted"),
    [
        ("", [codes.AGE_UNKNOWN]),
        ("2026-05-02T00:00:00Z", []),
        ("2026-05-01T23:59:59Z", [codes.TOO_OLD]),
        ("2026-06-01T00:05:00Z", []),
        ("2026-06-01T00:05:01Z", [codes.AGE_UNKNOWN]),
        ("2026-08-01T00:00:00Z", [codes.AGE_UNKNOWN]),
    ],
)
def test_age(release, created: str, wanted: list[Code]) -> None:
    result = verified(release, policy(release, "max_age_days = 30\n"), created=created)
    assert codes_of(result) == wanted
    assert result.exit is (ExitStatus.NO if wanted else ExitStatus.YES)


def stamped(time: datetime, *, trusted: bool = True) -> Signer:
    return Signer(
        spki_sha256="", algorithm="", key_hint="", outcome="verified", trusted=trusted, signing_time=time
    )


@pytest.mark.parametrize(
    ("created", "stamps", "wanted"),
    [
        ("2026-05-20T00:00:00Z", [LAST_WEEK], []),
        ("2023-01-01T00:00:00Z", [], [codes.TOO_OLD]),
        ("2023-01-01T00:00:00Z", [LAST_WEEK], [codes.TOO_OLD]),
        ("2026-05-20T00:00:00Z", [LAST_WEEK, datetime(2023, 1, 1, tzinfo=UTC)], [codes.TOO_OLD]),
        ("2026-08-01T00:00:00Z", [LAST_WEEK], []),
        ("", [LAST_WEEK], []),
    ],
)
def test_fail_a_new_time_stamp_makes_no_old_package_young(
    release, created: str, stamps: list[datetime], wanted: list[Code]
) -> None:
    """Whoever has the package can have its signatures stamped again; what the manifest says is signed."""
    manifest = dataclasses.replace(release.manifest, created=created)
    statement = make_statement(manifest, {})
    rules = policy(release, "max_age_days = 30\n")
    result = check_policy(statement, "", manifest, [stamped(time) for time in stamps], rules, NOW)
    assert [finding.code for finding in result.findings] == wanted


def test_revoked_packages(release) -> None:
    statement = verified(release, policy(release)).statement_sha256
    for entry in (f"id = '{ID}'", f"statement = '{statement}'"):
        tail = f"[revoked]\nbundles = [{{ {entry}, reason = 'crashes' }}]\n"
        result = verified(release, policy(release, tail=tail))
        assert codes_of(result) == [codes.BUNDLE_REVOKED]
        assert result.exit is ExitStatus.NO
    for entry in ("id = 'codec-2026-02'", f"statement = '{Digest.of(b'').hex}'"):
        tail = f"[revoked]\nbundles = [{{ {entry}, reason = 'crashes' }}]\n"
        assert verified(release, policy(release, tail=tail)).exit is ExitStatus.YES


def override(code: str, package: str = ID, expires: str = "2026-07-01T00:00:00Z") -> str:
    return (
        f"[[overrides]]\ncode = '{code}'\npackage = '{package}'\nreason = 'no line is running'\nby = 'ops'\n"
        f"expires = {expires}\n"
    )


def test_an_override_is_recorded_with_who_and_why(release) -> None:
    rules = policy(release, "expiry = 'required'\n", override("HP6144"))
    result = verified(release, rules)
    assert (result.exit, result.verdict) == (ExitStatus.YES, Verdict.VERIFIED)
    (check,) = [item for item in result.checks if item.check is checks.POLICY]
    (finding,) = check.findings
    assert finding.code is codes.OVERRIDDEN
    for part in ("HP6144", "ops", "no line is running", "2026-07-01"):
        assert part in finding.cause


def test_an_expired_package_can_be_overridden(release) -> None:
    expiry = "2026-05-01T00:00:00Z"
    assert verified(release, policy(release), expiry=expiry).exit is ExitStatus.NO
    result = verified(release, policy(release, tail=override("HP6005")), expiry=expiry)
    assert result.exit is ExitStatus.YES
    assert [finding.code for finding in result.checks[1].findings] == [codes.OVERRIDDEN]


def test_an_override_is_for_one_package_and_one_code(release) -> None:
    head = "expiry = 'required'\n"
    for tail in (override("HP6144", "another"), override("HP6142")):
        result = verified(release, policy(release, head, tail))
        assert (result.exit, codes_of(result)) == (ExitStatus.NO, [codes.EXPIRY_MISSING])


def test_an_expired_override_is_without_effect_and_said(release) -> None:
    rules = policy(release, "expiry = 'required'\n", override("HP6144", expires="2026-06-01T00:00:00Z"))
    result = verified(release, rules)
    assert result.exit is ExitStatus.NO
    assert codes_of(result) == [codes.EXPIRY_MISSING, codes.OVERRIDE_EXPIRED]


def test_an_override_does_not_hide_other_refusals(release) -> None:
    rules = policy(release, "expiry = 'required'\nproducts = ['Other']\n", override("HP6144"))
    result = verified(release, rules)
    assert result.exit is ExitStatus.NO
    assert codes_of(result) == [codes.WRONG_PRODUCT, codes.OVERRIDDEN]


@pytest.mark.parametrize("code", [UNTRUSTED, SUBJECT_MISMATCH, TIER_TOO_LOW, codes.BUNDLE_REVOKED])
def test_no_policy_in_memory_overrides_what_must_not_be(code: Code) -> None:
    """The reader of policies refuses these; made by hand they are without effect."""
    result = judged(checks.SUBJECTS, (Finding(code, "p", "c"),))
    rule = Override(code=code.id, package=ID, reason="r", by="b", expires=LATER)
    assert with_overrides((result,), Policy(overrides=(rule,)), ID, NOW) == (result,)


def test_only_refusals_about_sound_packages_can_be_overridden() -> None:
    known = {code.id for code in all_codes()}
    assert {code.id for code in OVERRIDABLE} <= known
    assert all(code.severity is Severity.REFUSE for code in OVERRIDABLE)
    # Signatures and certificates, members and statements, patch images, the state of files, rollback.
    barred = ("HP50", "HP51", "HP52", "HP53", "HP54", "HP41", "HP42", "HP43", "HP603", "HP604", "HP612")
    assert not [code.id for code in OVERRIDABLE if code.id.startswith(barred)]
    assert EXPIRED in OVERRIDABLE
