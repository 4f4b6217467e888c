"""verify --attest: the summary on disk, read by an independent implementation."""

import base64
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from hpbuild.bundle.layout import ENVELOPE, MANIFEST, STATEMENT
from hpbuild.bundle.reader import read_bundle
from hpbuild.bundle.writer import write_bundle
from hpbuild.cli.attesting import attestation
from hpbuild.cli.piece import CHILD_VARIABLE
from hpbuild.report.attestation import EXTENSION
from hpbuild.sign.keys import read_public
from hpbuild.values import Digest

Runner = Callable[..., Any]


@pytest.fixture
def attesting(hpbuild: Runner, tmp_path: Path) -> tuple[str, Path]:
    """URI and public half of the key that signs summaries."""
    stem = tmp_path / "attest"
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", stem).status == 0
    return f"file:{stem.with_suffix('.key')}", stem.with_suffix(".pub")


def payload(path: Path) -> Any:
    return json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))


def by_securesystemslib(path: Path, public: Path) -> Any:
    """The payload, once securesystemslib has verified the envelope with this key; VerificationError else."""
    document = json.loads(path.read_text())
    envelope = Envelope.from_dict({**document, "payload": document["payload"]})
    (signature,) = envelope.signatures.values()
    key = SSlibKey.from_crypto(read_public(public), keyid=signature.keyid)
    envelope.verify([key], 1)
    assert envelope.payload_type == "application/vnd.in-toto+json"
    return json.loads(envelope.payload)


def test_says_what_was_checked_and_where(
    hpbuild: Runner, package: Any, attesting: tuple[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "summary.json"
    run = hpbuild(
        "verify", package.path, "--key", package.public, "--installed", package.baseline,
        "--attest", out, "--attest-key", attesting[0], "--attest-host", "box-1", "--format", "json",
    )  # fmt: skip
    (entry,) = run.document()["packages"]
    assert run.status == 0
    statement = by_securesystemslib(out, attesting[1])
    bundle = read_bundle(package.path.read_bytes())
    assert {item["digest"]["sha256"] for item in statement["subject"]} == {
        bundle.sha256.hex,
        Digest.of(bundle.statement).hex,
    }
    predicate = statement["predicate"]
    assert predicate["verificationResult"] == "PASSED"
    assert predicate["timeVerified"] == entry["time"]
    own = predicate[EXTENSION]
    assert own["host"] == "box-1"
    (module,) = own["packages"][0]["modules"]
    assert module["installed"] == str(package.baseline)
    assert module["sha256"] == Digest.of(package.baseline.read_bytes()).hex == entry["modules"][0]["sha256"]
    assert (module["state"], module["tier"], module["checks"]["V12"]) == ("applicable", "exact", "passed")


def test_fail_another_key_does_not_verify_it(
    hpbuild: Runner, package: Any, attesting: tuple[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "summary.json"
    hpbuild("verify", package.path, "--key", package.public, "--attest", out, "--attest-key", attesting[0])
    assert payload(out)["predicate"][EXTENSION]["host"] == platform.node()
    with pytest.raises(VerificationError):
        by_securesystemslib(out, package.public)


def test_a_failure_is_attested_too(
    hpbuild: Runner, package: Any, attesting: tuple[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "summary.json"
    run = hpbuild(
        "verify", package.path, "--key", attesting[1], "--attest", out, "--attest-key", attesting[0]
    )
    assert run.status == 1
    predicate = by_securesystemslib(out, attesting[1])["predicate"]
    assert predicate["verificationResult"] == "FAILED"
    (entry,) = predicate[EXTENSION]["packages"]
    assert entry["refused"]
    assert entry["checks"]["V03"] == "failed"


def test_an_installed_file_that_is_no_image_is_named(
    hpbuild: Runner, package: Any, attesting: tuple[str, Path], tmp_path: Path
) -> None:
    out, other = tmp_path / "summary.json", tmp_path / "other.dll"
    other.write_bytes(b"no image")
    run = hpbuild(
        "verify", package.path, "--key", package.public, "--installed", other,
        "--attest", out, "--attest-key", attesting[0],
    )  # fmt: skip
    assert run.status != 0
    (module,) = payload(out)["predicate"][EXTENSION]["packages"][0]["modules"]
    assert module["sha256"] == Digest.of(b"no image").hex


def test_nothing_is_attested_of_what_cannot_be_read(
    hpbuild: Runner, package: Any, attesting: tuple[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "summary.json"
    absent = tmp_path / "absent.hpb"
    arguments = ("--key", package.public, "--attest", out, "--attest-key", attesting[0])
    run = hpbuild("verify", absent, *arguments, "-v")
    assert run.status == 2
    assert "nothing is attested" in run.err
    assert not out.exists()
    assert hpbuild("verify", absent, package.path, *arguments).status == 2
    assert payload(out)["predicate"]["verificationResult"] == "FAILED"


@pytest.mark.parametrize(
    "given", [("--attest", "out"), ("--attest-key", "file:x.key"), ("--attest-host", "box")]
)
def test_fail_half_of_the_options(hpbuild: Runner, package: Any, given: tuple[str, str]) -> None:
    run = hpbuild("verify", package.path, "--key", package.public, *given)
    assert run.status == 2
    assert "HP9001" in run.err


def test_fail_over_an_input(
    hpbuild: Runner, package: Any, attesting: tuple[str, Path], tmp_path: Path
) -> None:
    """Neither the package, the keys, the installed file nor a file of the installed tree is written over."""
    private = Path(attesting[0].removeprefix("file:"))
    link = tmp_path / "link.json"
    link.symlink_to(package.path)
    before = {path: path.read_bytes() for path in (package.path, package.public, private, package.baseline)}
    for out in (*before, link):
        for installed in (package.baseline, package.baseline.parent):
            run = hpbuild(
                "verify", package.path, "--key", package.public, "--installed", installed,
                "--attest", out, "--attest-key", attesting[0],
            )  # fmt: skip
            assert (run.status, "HP9001" in run.err) == (2, True), out
    assert {path: path.read_bytes() for path in before} == before


def test_an_older_summary_is_replaced(
    hpbuild: Runner, package: Any, attesting: tuple[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "summary.json"
    out.write_text("older")
    hpbuild("verify", package.path, "--key", package.public, "--attest", out, "--attest-key", attesting[0])
    by_securesystemslib(out, attesting[1])


def test_fail_a_key_that_is_not_there(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    out = tmp_path / "summary.json"
    key = f"file:{tmp_path / 'absent.key'}"
    run = hpbuild("verify", package.path, "--key", package.public, "--attest", out, "--attest-key", key)
    assert run.status == 2
    assert "HP4801" in run.err
    assert not out.exists()


def test_fail_a_summary_is_no_statement_of_a_package(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    """Signed by the very key that packages are trusted by, its envelope has the same payload type."""
    out = tmp_path / "summary.json"
    arguments = ("verify", package.path, "--key", package.public)
    assert hpbuild(*arguments, "--attest", out, "--attest-key", f"file:{package.key}").status == 0
    envelope = out.read_bytes()
    members = dict(read_bundle(package.path.read_bytes()).members)
    summary = base64.b64decode(json.loads(envelope)["payload"])
    forged = {**members, STATEMENT: summary, ENVELOPE: envelope}
    for name, data in (("swapped", forged), ("envelope", {**members, ENVELOPE: envelope})):
        path = tmp_path / f"{name}.hpb"
        path.write_bytes(write_bundle(data))
        run = hpbuild("verify", path, "--key", package.public, "--format", "json")
        (entry,) = run.document()["packages"]
        codes = {item["code"] for check in entry["checks"] for item in check["findings"]}
        assert run.status in (1, 4), name
        assert entry["verdict"] == "failed"
        assert ("HP4301" in codes) == (name == "swapped")
    assert MANIFEST in members


@pytest.mark.parametrize("hollow", [("--allow-unsigned",), ("--time", "2020-01-01T00:00:00Z", "--key")])
def test_fail_more_than_was_checked_is_not_attested(
    hpbuild: Runner, package: Any, attesting: tuple[str, Path], tmp_path: Path, hollow: tuple[str, ...]
) -> None:
    """Readers of a summary look at PASSED and at the time of the verification."""
    out = tmp_path / "summary.json"
    trust = (*hollow, package.public) if hollow[-1] == "--key" else hollow
    attest = ("--attest", out, "--attest-key", attesting[0])
    run = hpbuild("verify", package.path, *trust, *attest)
    assert run.status == 2
    assert "HP9001" in run.err
    assert not out.exists()


def test_fail_a_fresh_child_does_not_open_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CHILD_VARIABLE, "0")
    assert attestation(tmp_path / "summary.json", f"file:{tmp_path / 'missing.key'}", None, ()) is None
