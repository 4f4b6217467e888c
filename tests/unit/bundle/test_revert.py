from dataclasses import replace

import pytest

from hpbuild.bundle.contents import agreement_findings, image_findings, subject_findings
from hpbuild.bundle.layout import MANIFEST, STATEMENT
from hpbuild.bundle.reader import Bundle, read_bundle
from hpbuild.bundle.revert import make_revert
from hpbuild.bundle.statement import decode_statement, encode_statement, make_statement
from hpbuild.bundle.writer import assemble, write_bundle
from hpbuild.codes import bundle as codes
from hpbuild.codes import manifest as json_codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.codec import decode
from hpbuild.manifest.model import Manifest
from hpbuild.values import Digest


@pytest.fixture
def given(sample_manifest: Manifest, patch_images: dict[str, bytes]) -> Bundle:
    return read_bundle(assemble(sample_manifest, patch_images, {"attachments/note.txt": b"n"}))


def refusal(bundle: Bundle, name: str = "codec-hp9", sequence: int = 9, reason: str = "r") -> Code:
    with pytest.raises(HpbuildError) as caught:
        make_revert(bundle, name, sequence, reason)
    return caught.value.code


def test_it_is_a_whole_package_that_names_the_other_one(given: Bundle) -> None:
    made = read_bundle(make_revert(given, "codec-hp9", 9, "it crashes", "2030-01-01T00:00:00Z"))
    statement, manifest = decode_statement(made.statement), decode(made.manifest)
    assert made.manifest == given.manifest
    assert statement.reverts is not None
    assert statement.reverts.statement == Digest.of(given.statement)
    assert (statement.id, statement.sequence, statement.expiry) == ("codec-hp9", 9, "2030-01-01T00:00:00Z")
    assert subject_findings(made.members, statement) == ()
    assert agreement_findings(statement, manifest) == ()
    assert image_findings(made, manifest) == ()


def test_attachments_are_left_out(given: Bundle) -> None:
    made = read_bundle(make_revert(given, "codec-hp9", 9, "r"))
    assert given.members.keys() - made.members.keys() == {"attachments/note.txt"}


def test_it_is_the_same_every_time(given: Bundle) -> None:
    assert make_revert(given, "codec-hp9", 9, "r") == make_revert(given, "codec-hp9", 9, "r")


def test_a_revert_package_is_not_taken_back(given: Bundle) -> None:
    assert refusal(read_bundle(make_revert(given, "codec-hp9", 9, "r")), "x", 10) is codes.NOT_REVERTIBLE


def test_an_id_or_sequence_that_does_not_go_forward_fails(given: Bundle, sample_manifest: Manifest) -> None:
    assert refusal(given, name=sample_manifest.id) is codes.REVERT_CONTRADICTS
    assert refusal(given, sequence=3) is codes.REVERT_CONTRADICTS
    assert refusal(given, reason="") is json_codes.BAD_TEXT


def test_a_package_whose_parts_do_not_agree_fails(
    given: Bundle, sample_manifest: Manifest, patch_images: dict[str, bytes]
) -> None:
    def bundle(about: Manifest, images: dict[str, bytes]) -> Bundle:
        members = {MANIFEST: given.manifest, **images}
        return read_bundle(
            write_bundle({STATEMENT: encode_statement(make_statement(about, members)), **members})
        )

    assert refusal(bundle(replace(sample_manifest, product="x"), patch_images)) is codes.STATEMENT_DISAGREES
    assert refusal(bundle(sample_manifest, {})) is codes.IMAGE_MISSING
    other = {**given.members, "images/bin/codec.dll": b"MZ"}
    assert refusal(read_bundle(write_bundle(other))) is codes.SUBJECT_MISMATCH
