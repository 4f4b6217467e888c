"""V17: attachments that agree, that do not, that are missing and that nobody knows."""

import dataclasses

import pytest

from hpbuild.attachments.record import KINDS, PROVENANCE, SBOM, VEX, Record
from hpbuild.attachments.writer import attachments
from hpbuild.bundle.layout import MANIFEST, STATEMENT
from hpbuild.bundle.reader import Bundle, read_bundle
from hpbuild.bundle.statement import (
    Reverts,
    Statement,
    decode_statement,
    encode_statement,
    make_revert_statement,
    make_statement,
)
from hpbuild.bundle.writer import write_bundle
from hpbuild.codes import attachments as codes
from hpbuild.errors import Code, ExitStatus
from hpbuild.values import Digest
from hpbuild.verify import Policy, Verification, VerifyRequest, verify
from hpbuild.verify.attachments import SHOWN, check_attachments
from hpbuild.verify.checks import ATTACHMENTS, CheckResult
from hpbuild.verify.states import CheckStatus

OTHER = "attachments/notes.txt"


def made(release) -> dict[str, bytes]:
    manifest = release.manifest
    return attachments(Record(manifest=manifest, manifest_bytes=release.members()[MANIFEST]))


def bundle_with(release, extra: dict[str, bytes]) -> bytes:
    members = {**release.members(), **extra}
    statement = encode_statement(make_statement(release.manifest, members))
    return write_bundle({STATEMENT: statement, **members})


def checked(release, extra: dict[str, bytes], required: frozenset[str] = frozenset()) -> CheckResult:
    bundle = read_bundle(bundle_with(release, extra))
    policy = Policy(allow_unsigned=True, required_attachments=required)
    return check_attachments(bundle, decode_statement(bundle.statement), release.manifest, policy)


def found(result: CheckResult) -> list[Code]:
    return [finding.code for finding in result.findings]


def test_all_agree(release) -> None:
    documents = made(release)
    result = checked(release, documents, frozenset(KINDS))
    assert result.passed
    assert dict(result.facts) == {
        kind: len(documents[name]) for kind, name in KINDS.items() if name in documents
    }


def test_none_and_none_required(release) -> None:
    assert checked(release, {}).status is CheckStatus.NOT_RUN


@pytest.mark.parametrize("kind", ["provenance", "sbom"])
def test_fail_a_required_one_is_missing(release, kind: str) -> None:
    documents = made(release)
    del documents[KINDS[kind]]
    assert found(checked(release, documents)) == []
    assert found(checked(release, documents, frozenset({kind}))) == [codes.MISSING]
    assert found(checked(release, {}, frozenset({kind}))) == [codes.MISSING]


def test_fail_vex_is_missed_only_with_advisories(release) -> None:
    with_advisory = release.with_manifest(advisories=("CVE-2025-0001",))
    without = release.with_manifest(advisories=())
    assert found(checked(with_advisory, {}, frozenset({"vex"}))) == [codes.MISSING]
    assert VEX in made(with_advisory)
    assert found(checked(without, {}, frozenset({"vex"}))) == []


def test_fail_vex_without_advisories(release) -> None:
    documents = made(release.with_manifest(advisories=("CVE-2025-0001",)))
    without = release.with_manifest(advisories=())
    assert codes.OTHER_ADVISORIES in found(checked(without, {VEX: documents[VEX]}))


@pytest.mark.parametrize("name", [PROVENANCE, SBOM])
def test_fail_those_of_another_package(release, name: str) -> None:
    """A whole set taken from a sister package that is right in itself."""
    sister = release.with_manifest(id="another", sequence=release.manifest.sequence + 1)
    assert codes.OTHER_PACKAGE in found(checked(release, {name: made(sister)[name]}))


def test_fail_those_of_another_build(release) -> None:
    pin = dataclasses.replace(release.module.fixed, sha256=Digest.of(b"another build"))
    for name, data in made(release.with_module(fixed=pin)).items():
        assert codes.OTHER_FILES in found(checked(release, {name: data})), name


def test_others_are_named_and_not_looked_into(release) -> None:
    result = checked(release, {OTHER: b"{not JSON", "attachments/sbom.spdx.json": b"\xff"})
    assert result.passed
    assert dict(result.facts)["not looked into"] == f"{OTHER}, attachments/sbom.spdx.json"


def test_of_many_others_some_are_named(release) -> None:
    result = checked(release, {f"attachments/{index:03}": b"" for index in range(SHOWN + 5)})
    assert str(dict(result.facts)["not looked into"]).endswith(" and 5 more")


def revert_of(release, extra: dict[str, bytes]) -> tuple[Bundle, Statement]:
    members = {**release.members(), **extra}
    reverts = Reverts(
        id=release.manifest.id,
        sequence=release.manifest.sequence,
        statement=Digest.of(b"taken back"),
        reason="it broke",
    )
    statement = make_revert_statement(
        release.manifest, members, ("revert-1", release.manifest.sequence + 1), reverts
    )
    bundle = read_bundle(write_bundle({STATEMENT: encode_statement(statement), **members}))
    return bundle, statement


def test_fail_a_package_that_takes_another_back_has_none(release) -> None:
    policy = Policy(allow_unsigned=True, required_attachments=frozenset(KINDS))
    assert found(check_attachments(*revert_of(release, {}), release.manifest, policy)) == []
    result = check_attachments(*revert_of(release, made(release)), release.manifest, policy)
    assert set(found(result)) == {codes.OTHER_PACKAGE}


def whole(release, data: bytes, required: frozenset[str]) -> tuple[Verification, CheckResult]:
    policy = Policy(allow_unsigned=True, required_attachments=required)
    result = verify(VerifyRequest(bundle=data, name="p.hpb", policy=policy))
    return result, next(check for check in result.checks if check.check is ATTACHMENTS)


def test_the_verdict_depends_on_them(release) -> None:
    documents = made(release)
    required = frozenset({"sbom"})
    good, check = whole(release, bundle_with(release, documents), required)
    assert (good.exit, check.passed) == (ExitStatus.YES, True)
    for wrong in ({}, {SBOM: b"{}"}):
        bad, check = whole(release, bundle_with(release, wrong), required)
        assert (bad.exit, check.status) == (ExitStatus.NO, CheckStatus.FAILED)


def test_a_wrong_one_fails_although_none_is_required(release) -> None:
    data = bundle_with(release, {SBOM: b"{}"})
    assert whole(release, data, frozenset())[0].exit is ExitStatus.NO
    deep = bundle_with(release, {SBOM: b"[" * 100_000})
    assert whole(release, deep, frozenset())[0].exit is ExitStatus.LIMIT
