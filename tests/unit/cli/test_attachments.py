"""Attachments from build to inspect: there by default, left out on request, and made again bit for bit."""

import getpass
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from hpbuild.attachments.record import KINDS, PROVENANCE, SBOM, VEX
from hpbuild.bundle.reader import read_bundle
from hpbuild.values import Digest

Runner = Callable[..., Any]
OPTIONS = ("--id", "T-1", "--sequence", 3, "--product", "Gadget", "--format", "json")


@pytest.fixture
def files(binaries: Path) -> tuple[Path, Path]:
    folder = binaries / "variants" / "pad_jump"
    return folder / "baseline" / "gadget.dll", folder / "fixed" / "gadget.dll"


def members(path: Path) -> dict[str, bytes]:
    return dict(read_bundle(path.read_bytes()).members)


def test_build_attaches_all(hpbuild: Runner, files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "x.hpb"
    run = hpbuild("build", *files, "-o", out, *OPTIONS, "--advisory", "CVE-2025-0001")
    assert run.document()["attachments"] == list(KINDS.values())
    found = members(out)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(found[SBOM].decode()) is None
    (component,) = json.loads(found[SBOM])["components"]
    assert component["hashes"][0]["content"] == Digest.of(files[1].read_bytes()).hex
    dependencies = json.loads(found[PROVENANCE])["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [item["digest"]["sha256"] for item in dependencies] == [
        Digest.of(path.read_bytes()).hex for path in files
    ]
    subjects = {item["name"] for item in json.loads(found["statement.json"])["subject"]}
    assert set(KINDS.values()) <= subjects


def test_nothing_in_them_tells_the_machine(hpbuild: Runner, files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "x.hpb"
    hpbuild("build", *files, "-o", out, *OPTIONS, "--advisory", "CVE-2025-0001")
    text = b"".join(members(out)[name] for name in KINDS.values()).decode()
    private = [platform.node(), str(tmp_path), str(files[0].parent), platform.python_version()]
    if len(getpass.getuser()) > 5:
        private.append(getpass.getuser())
    assert [word for word in private if word and word in text] == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--advisory", "CVE-2025-0001"), [PROVENANCE, SBOM, VEX]),
        ((), [PROVENANCE, SBOM]),
        (("--no-attachments", "--advisory", "CVE-2025-0001"), []),
        (("--supersedes", "T-0", "--expires", "2035-01-01T00:00:00Z"), [PROVENANCE, SBOM]),
        (("--only", "gadget_lower_left"), [PROVENANCE, SBOM]),
    ],
)
def test_rebuild_makes_them_again(
    hpbuild: Runner,
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    expected: list[str],
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    out = tmp_path / "x.hpb"
    run = hpbuild("build", *files, "-o", out, *OPTIONS, *more)
    assert run.document()["attachments"] == expected
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    again = hpbuild("rebuild", out, *files, "--check", "--format", "json")
    assert again.document()["verdict"] == "reproduced"
    assert [
        item["name"] for item in again.document()["members"] if item["name"] in KINDS.values()
    ] == expected
    checked = hpbuild("verify", out, "--allow-unsigned", "--format", "json").document()
    status = {check["number"]: check["status"] for check in checked["packages"][0]["checks"]}
    assert status["V17"] == ("passed" if expected else "not_run")


def test_inspect_shows_their_gist(hpbuild: Runner, files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "x.hpb"
    hpbuild("build", *files, "-o", out, *OPTIONS, "--advisory", "CVE-2025-0001")
    entries = hpbuild("inspect", out, "--format", "json").document()["attachments"]
    assert [entry["kind"] for entry in entries] == ["provenance", "sbom", "vex"]
    text = hpbuild("inspect", out).out
    assert "SLSA provenance v1: T-1" in text
    assert "OpenVEX 0.2.0" in text
