import hashlib
import io
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hpbuild.bundle.contents import agreement_findings, image_findings, subject_findings
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.statement import decode_statement
from hpbuild.bundle.writer import assemble, write_bundle
from hpbuild.codes import bundle as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.codec import decode
from hpbuild.manifest.model import Manifest

MEMBERS = {"manifest.json": b"{}", "images/a": b"\x00" * 5, "statement.json": b"[]"}
GOLDEN = "daf8cde2217e5275898e4ca3baa2ed46c141b1614ab53cf35ca11ad3cdde7f3a"
"""SHA-256 of the bundle of MEMBERS. A change here is a new version of the file format."""


def test_golden_bytes() -> None:
    assert hashlib.sha256(write_bundle(MEMBERS)).hexdigest() == GOLDEN


def test_order_of_the_mapping_does_not_matter() -> None:
    assert write_bundle(dict(reversed(MEMBERS.items()))) == write_bundle(MEMBERS)


def test_every_unpacker_understands_it() -> None:
    with zipfile.ZipFile(io.BytesIO(write_bundle(MEMBERS))) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == MEMBERS
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}


def test_unzip_finds_no_error(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    unzip = require_tool("unzip")
    path = tmp_path / "x.hpb"
    path.write_bytes(write_bundle(MEMBERS))
    found = subprocess.run([unzip, "-t", str(path)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_too_many_members_fail() -> None:
    members = {**MEMBERS, **{f"images/{number}": b"" for number in range(65536)}}
    with pytest.raises(HpbuildError) as caught:
        write_bundle(members)
    assert caught.value.code is codes.LIMIT


def test_assembled_bundle_agrees_with_itself(
    sample_manifest: Manifest, patch_images: dict[str, bytes]
) -> None:
    data = assemble(
        sample_manifest,
        patch_images,
        {"attachments/notes.md": b"# Notes\n"},
        ["codec-hp0"],
        "2030-01-01T00:00:00Z",
    )
    bundle = read_bundle(data)
    statement = decode_statement(bundle.statement)
    assert list(bundle.members) == [
        "statement.json",
        "manifest.json",
        "images/bin/codec.dll",
        "attachments/notes.md",
    ]
    assert decode(bundle.manifest) == sample_manifest
    assert (statement.supersedes, statement.expiry) == (("codec-hp0",), "2030-01-01T00:00:00Z")
    assert subject_findings(bundle.members, statement) == ()
    assert agreement_findings(statement, sample_manifest) == ()
    assert image_findings(bundle, sample_manifest) == ()
    assert assemble(sample_manifest, patch_images) == assemble(sample_manifest, patch_images)


@pytest.mark.parametrize("name", ["statement.json", "signatures.dsse.json"])
def test_reserved_name_fails(sample_manifest: Manifest, name: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        assemble(sample_manifest, {name: b""})
    assert caught.value.code is codes.BAD_NAME
