from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hpbuild.bundle.layout import MANIFEST, STATEMENT
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.statement import ModulePin, Statement, make_statement
from hpbuild.bundle.writer import write_bundle
from hpbuild.codes.bundle import NOT_A_BUNDLE, STATEMENT_DISAGREES, SUBJECT_MISMATCH, SUBJECT_MISSING
from hpbuild.codes.manifest import BAD_PAGES, NOT_CANONICAL, NOT_JSON, REDIRECTION_COUNT, SCHEMA_MISMATCH
from hpbuild.codes.verify import EXPIRED, LIMIT_EXCEEDED
from hpbuild.errors import Code, ExitStatus
from hpbuild.manifest.strict_json import canonical, parse
from hpbuild.sign.dsse import sign_envelope
from hpbuild.values import Digest
from hpbuild.verify import Limits, Verification, VerifyRequest, verify
from hpbuild.verify.checks import OPTIONAL
from hpbuild.verify.states import CheckStatus, Verdict


def not_run(result: Verification) -> set[str]:
    """Numbers of the checks that were not made, but for the optional ones."""
    unmade = [check.check for check in result.checks if check.status is CheckStatus.NOT_RUN]
    return {check.number for check in unmade if check not in OPTIONAL}


def failed(result: Verification) -> dict[str, list[Code]]:
    """Codes of every failed check, by number."""
    return {
        check.number: [finding.code for finding in check.findings]
        for check in result.checks
        if check.status is CheckStatus.FAILED
    }


def sealed(release, members: dict[str, bytes], statement: bytes) -> bytes:
    """A bundle over ``members`` with exactly these statement bytes, signed."""
    envelope = sign_envelope(statement, release.signers[:1])
    return write_bundle({STATEMENT: statement, **members, "signatures.dsse.json": envelope})


def test_everything_passes(release) -> None:
    result = release.verify()
    assert failed(result) == {}
    assert (result.verdict, result.id, result.sequence, result.product) == (
        Verdict.VERIFIED,
        "codec-2026-01",
        7,
        "Codec",
    )
    assert result.advisories == ("CVE-2026-0001",)
    assert [(module.path, module.state) for module in result.modules] == [("codec.dll", None)]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"MZ" + bytes(100), b"{}"])
def test_v01_no_bundle(release, data: bytes) -> None:
    result = release.verify_bytes(data, release.installed)
    assert result.exit is ExitStatus.MALFORMED
    assert list(failed(result)) == ["V01"]
    assert {check.status for check in result.checks[1:]} == {CheckStatus.NOT_RUN}
    assert all(check.reason for check in result.checks[1:])


def test_v01_code(release) -> None:
    assert failed(release.verify_bytes(b"{}")) == {"V01": [NOT_A_BUNDLE]}


def test_v01_trailing_byte(release) -> None:
    assert release.verify_bytes(release.bundle() + b"\0").exit is ExitStatus.MALFORMED


def test_v02_statement_is_not_json(release) -> None:
    result = release.verify_bytes(sealed(release, release.members(), b"["), release.installed)
    assert failed(result) == {"V02": [NOT_JSON]}
    assert result.exit is ExitStatus.MALFORMED
    assert not_run(result) == {"V04", "V06"}
    assert (result.id, result.sequence) == ("", 0)


@pytest.mark.parametrize(
    ("minute", "status"), [(59, ExitStatus.YES), (60, ExitStatus.NO), (61, ExitStatus.NO)]
)
def test_v02_expiry(release, minute: int, status: ExitStatus) -> None:
    data = release.bundle(change=lambda statement: replace(statement, expiry="2026-03-01T01:00:00Z"))
    now = datetime(2026, 3, 1, minute // 60, minute % 60, tzinfo=UTC)
    result = verify(VerifyRequest(bundle=data, name="p", policy=release.policy, now=now))
    assert result.exit is status
    assert failed(result) == ({} if status is ExitStatus.YES else {"V02": [EXPIRED]})
    assert result.expiry == "2026-03-01T01:00:00Z"


def test_v02_expiry_by_the_clock(release) -> None:
    data = release.bundle(change=lambda statement: replace(statement, expiry="2020-01-01T00:00:00Z"))
    assert failed(release.verify_bytes(data)) == {"V02": [EXPIRED]}


def test_v04_member_changed(release) -> None:
    data = release.bundle()
    members = dict(read_bundle(data).members)
    members["attachments/a.txt"] = b"x"
    result = release.verify_bytes(write_bundle(members))
    assert (result.exit, failed(result)) == (ExitStatus.NO, {"V04": [SUBJECT_MISSING]})


def test_v04_subject_without_member(release) -> None:
    members = {**release.members(), "attachments/a.txt": b"x"}
    statement = make_statement(release.manifest, members)
    del members["attachments/a.txt"]
    from hpbuild.bundle.statement import encode_statement

    result = release.verify_bytes(sealed(release, members, encode_statement(statement)))
    assert (result.exit, failed(result)) == (ExitStatus.NO, {"V04": [SUBJECT_MISSING]})


def test_v04_digest(release) -> None:
    def change(statement: Statement) -> Statement:
        first, *rest = statement.subjects
        return replace(statement, subjects=(replace(first, sha256=Digest(bytes(32))), *rest))

    result = release.verify_bytes(release.bundle(change=change))
    assert (result.exit, failed(result)) == (ExitStatus.NO, {"V04": [SUBJECT_MISMATCH]})


def manifest_bundle(release, content: bytes) -> bytes:
    """The release with these bytes as its manifest, statement and signature made anew."""
    from hpbuild.bundle.statement import encode_statement

    members = {**release.members(), MANIFEST: content}
    return sealed(release, members, encode_statement(make_statement(release.manifest, members)))


def test_v05_not_json(release) -> None:
    result = release.verify_bytes(manifest_bundle(release, b"{"), release.installed)
    assert (result.exit, failed(result)) == (ExitStatus.MALFORMED, {"V05": [NOT_JSON]})
    assert result.manifest is None
    assert not_run(result) == {
        "V06", "V07", "V08", "V09", "V10", "V11", "V12", "V13", "V14", "V15",
    }  # fmt: skip


def test_v05_not_canonical(release) -> None:
    content = release.members()[MANIFEST] + b"\n"
    result = release.verify_bytes(manifest_bundle(release, content))
    assert (result.exit, failed(result)) == (ExitStatus.MALFORMED, {"V05": [NOT_CANONICAL]})


def test_v05_schema(release) -> None:
    document = parse(release.members()[MANIFEST], "m")
    assert isinstance(document, dict)
    document["surprise"] = 1
    result = release.verify_bytes(manifest_bundle(release, canonical(document, "m")))
    assert (result.exit, failed(result)) == (ExitStatus.NO, {"V05": [SCHEMA_MISMATCH]})


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"}, {"sequence": 8}, {"product": "Other"}, {"advisories": ()}, {"tool": "other"},
        {"pins": (ModulePin("codec.dll", Digest(bytes(32))),)}, {"pins": ()},
    ],
)  # fmt: skip
def test_v06_each_field(release, change: dict[str, object]) -> None:
    result = release.verify_bytes(release.bundle(change=lambda statement: replace(statement, **change)))
    assert (result.exit, failed(result)) == (ExitStatus.NO, {"V06": [STATEMENT_DISAGREES]})


def test_v07_inconsistent(release) -> None:
    broken = release.with_module(redirections=release.module.redirections[:1])
    result = broken.verify(release.installed)
    assert (result.exit, failed(result)) == (ExitStatus.NO, {"V07": [REDIRECTION_COUNT, BAD_PAGES]})
    assert not_run(result) == {"V08", "V10", "V11", "V12", "V13", "V14", "V15"}


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("modules", 0), ("functions", 1), ("redirections", 1), ("references", 2), ("patch_bytes", 4096),
        ("compared_bytes", 100),
    ],
)  # fmt: skip
def test_v09_each_limit(release, limit: str, value: int) -> None:
    policy = replace(release.policy, limits=replace(Limits(), **{limit: value}))
    result = release.verify(release.installed, policy)
    assert (result.exit, failed(result)) == (ExitStatus.LIMIT, {"V09": [LIMIT_EXCEEDED]})
    assert next(c.number for c in result.checks if c.status is CheckStatus.NOT_RUN) == "V08"


def test_v09_bundle_size_comes_before_reading_it(release) -> None:
    data = release.bundle()
    for size, status in ((len(data), ExitStatus.YES), (len(data) - 1, ExitStatus.LIMIT)):
        policy = replace(release.policy, limits=replace(Limits(), bundle_size=size))
        assert release.verify_bytes(data, policy=policy).exit is status
    result = release.verify_bytes(data, policy=policy)
    assert failed(result) == {"V09": [LIMIT_EXCEEDED]}
    assert len(not_run(result)) == 8
