from dataclasses import replace

import pytest

from hpbuild.bundle.contents import agreement_findings, image_findings, subject_findings
from hpbuild.bundle.reader import Bundle
from hpbuild.bundle.statement import Reverts, Statement, make_revert_statement, make_statement
from hpbuild.codes import bundle as codes
from hpbuild.errors import Code
from hpbuild.manifest.model import Manifest
from hpbuild.values import Digest

IMAGE = "images/bin/codec.dll"


def test_same_members_agree(sample_manifest: Manifest) -> None:
    members = {"manifest.json": b"m", "images/a": b"a"}
    statement = make_statement(sample_manifest, members)
    assert subject_findings({**members, "statement.json": b"", "signatures.dsse.json": b""}, statement) == ()


@pytest.mark.parametrize(
    ("members", "code", "place"),
    [
        ({"manifest.json": b"m", "images/a": b"b"}, codes.SUBJECT_MISMATCH, "images/a"),
        ({"manifest.json": b"m"}, codes.SUBJECT_MISSING, "images/a"),
        ({"manifest.json": b"m", "images/a": b"a", "images/b": b""}, codes.SUBJECT_MISSING, "images/b"),
    ],
)
def test_other_members_fail(
    sample_manifest: Manifest, members: dict[str, bytes], code: Code, place: str
) -> None:
    statement = make_statement(sample_manifest, {"manifest.json": b"m", "images/a": b"a"})
    assert [(item.code, item.place) for item in subject_findings(members, statement)] == [(code, place)]


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", "x"), ("product", "x"), ("sequence", 9), ("advisories", ()), ("tool", "x"), ("modules", ())],
)
def test_statement_about_another_manifest_fails(sample_manifest: Manifest, field: str, value: object) -> None:
    statement = make_statement(sample_manifest, {})
    other = replace(sample_manifest, **{field: value})  # type: ignore[arg-type]
    found = [(item.code, item.place) for item in agreement_findings(statement, other)]
    name = "pins" if field == "modules" else field
    assert found == [(codes.STATEMENT_DISAGREES, f"statement.json: predicate.{name}")]


@pytest.fixture
def taking_back(sample_manifest: Manifest) -> Statement:
    reverts = Reverts(
        id=sample_manifest.id, sequence=sample_manifest.sequence, statement=Digest.of(b"s"), reason="r"
    )
    return make_revert_statement(sample_manifest, {}, ("codec-hp9", 9), reverts)


def test_a_revert_package_has_the_manifest_of_what_it_takes_back(
    taking_back: Statement, sample_manifest: Manifest
) -> None:
    assert agreement_findings(taking_back, sample_manifest) == ()


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("id", "codec-hp9", "reverts.id"),
        ("sequence", 9, "reverts.sequence"),
        ("product", "x", "product"),
        ("advisories", (), "advisories"),
        ("tool", "x", "tool"),
        ("modules", (), "pins"),
    ],
)
def test_a_revert_package_with_another_manifest_fails(
    taking_back: Statement, sample_manifest: Manifest, field: str, value: object, name: str
) -> None:
    other = replace(sample_manifest, **{field: value})  # type: ignore[arg-type]
    found = [(item.code, item.place) for item in agreement_findings(taking_back, other)]
    assert found == [(codes.STATEMENT_DISAGREES, f"statement.json: predicate.{name}")]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda content: content[:-1] + b"?", codes.IMAGE_MISMATCH),
        (lambda content: content + b"?", codes.IMAGE_MISMATCH),
    ],
)
def test_other_patch_image_fails(
    sample_manifest: Manifest, patch_images: dict[str, bytes], change: object, code: Code
) -> None:
    assert callable(change)
    bundle = Bundle(b"", {IMAGE: change(patch_images[IMAGE])})
    assert [item.code for item in image_findings(bundle, sample_manifest)] == [code]


def test_missing_and_unnamed_patch_images_fail(
    sample_manifest: Manifest, patch_images: dict[str, bytes]
) -> None:
    bundle = Bundle(b"", {"images/other": patch_images[IMAGE]})
    found = [(item.code, item.place) for item in image_findings(bundle, sample_manifest)]
    assert found == [
        (codes.IMAGE_MISSING, "images/other"),
        (codes.IMAGE_MISSING, "manifest.json: modules[0].image"),
    ]


def test_patch_image_elsewhere_does_not_count(
    sample_manifest: Manifest, patch_images: dict[str, bytes]
) -> None:
    module = sample_manifest.modules[0]
    image = replace(module.image, member="attachments/a")
    manifest = replace(sample_manifest, modules=(replace(module, image=image),))
    bundle = Bundle(b"", {"attachments/a": patch_images[IMAGE]})
    assert [item.code for item in image_findings(bundle, manifest)] == [codes.IMAGE_MISSING]
