"""verify: exit status, text and document."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpbuild.pe.reader import read_image
from tests.memories import Parts, dump_of, loaded, module

Runner = Callable[..., Any]


def test_a_good_package_for_this_installation(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("verify", package.path, "--key", package.public, "--installed", package.baseline)
    assert run.status == 0
    assert f"{package.path}: verified\n" in run.out
    assert "signed by trusted keys" in run.out
    assert "applicable" in run.out
    assert "V15" in run.out


def test_the_document(hpbuild: Runner, package: Any) -> None:
    run = hpbuild(
        "verify", package.path, "--key", package.public, "--installed", package.baseline, "--format", "json"
    )
    document = run.document()
    assert (document["verdict"], document["status"], run.status) == ("verified", 0, 0)
    (entry,) = document["packages"]
    assert entry["modules"][0]["state"] == "applicable"
    assert entry["modules"][0]["tier"] == "exact"
    assert entry["authenticity"] == "trusted"
    optional = {"V16", "V17", "V18", "V19"}
    assert {check["status"] for check in entry["checks"] if check["number"] not in optional} == {"passed"}
    assert {check["status"] for check in entry["checks"] if check["number"] in optional} == {"not_run"}


def test_somebody_has_to_be_trusted(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("verify", package.path)
    assert run.status == 2
    assert "HP9001" in run.err
    assert "--allow-unsigned" in run.err


def test_waived_signatures_are_said_loudly(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("verify", package.path, "--allow-unsigned")
    assert run.status == 0
    assert "NOT CHECKED: unsigned packages are allowed" in run.out
    assert "HP6004" in run.out


def test_waiving_and_trusting_contradict(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("verify", package.path, "--key", package.public, "--allow-unsigned")
    assert run.status == 2
    assert "HP6021" in run.err


def test_one_thing_to_compare_with(hpbuild: Runner, package: Any) -> None:
    for more in (("--pid", "1"), ("--dump", "x.dmp")):
        run = hpbuild("verify", package.path, "--key", package.public, "--installed", package.baseline, *more)
        assert run.status == 2
        assert "HP9001" in run.err
        assert "one of --installed, --pid and --dump" in run.err


def test_a_process_that_is_not_there(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("verify", package.path, "--key", package.public, "--pid", "0", "--format", "json")
    assert run.status == 6
    (entry,) = run.document()["packages"][0]["modules"]
    assert (entry["state"], entry["memory"]) == (None, None)
    assert "HP7250" in run.out


def test_a_dump(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    """The baseline at another address, as in a process."""
    image = read_image(package.baseline)
    memory = Parts()
    memory.put(0x190000000, bytes(loaded(image, 0x190000000)))
    dump = tmp_path / "process.dmp"
    dump.write_bytes(dump_of((module(image, 0x190000000, package.baseline.name),), memory))
    command = ("verify", package.path, "--key", package.public, "--dump", dump)
    run = hpbuild(*command)
    assert run.status == 0
    assert (
        f"at 0x190000000 in dump {dump}; its file is not known as the baseline; not compared: "
        in run.out.replace("\n", " ")
    )
    document = hpbuild(*command, "--format", "json").document()
    (entry,) = document["packages"][0]["modules"]
    assert (entry["state"], entry["tier"], entry["installed"]) == ("applicable", "sections", None)
    assert entry["memory"]["base"] == "0x190000000"
    assert entry["memory"]["block"] is None
    assert sum(place["size"] for place in entry["memory"]["unknown"]) > 0
    memory.put(0x190000000, b"ZM")
    dump.write_bytes(dump_of((module(image, 0x190000000, package.baseline.name),), memory))
    assert hpbuild(*command).status == 3


def test_another_key_fails(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", tmp_path / "other").status == 0
    run = hpbuild("verify", package.path, "--key", tmp_path / "other.pub", "--format", "json")
    document = run.document()
    assert run.status == 1
    assert document["packages"][0]["authenticity"] == "untrusted"
    findings = [item["code"] for check in document["packages"][0]["checks"] for item in check["findings"]]
    assert findings == ["HP6003", "HP6121"]


def test_a_private_key_is_no_trusted_key(hpbuild: Runner, package: Any) -> None:
    run = hpbuild("verify", package.path, "--key", package.key)
    assert run.status != 0
    assert "HP5002" in run.err


def test_another_installation(hpbuild: Runner, package: Any, binaries: Path) -> None:
    run = hpbuild(
        "verify", package.path, "--key", package.public, "--installed", binaries / "fixed" / "codec.dll"
    )
    assert run.status == 3
    assert "not-needed" in run.out


def test_every_package_is_looked_at(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.hpb"
    broken.write_bytes(b"PK\x03\x04")
    run = hpbuild(
        "verify", tmp_path / "absent.hpb", broken, package.path, "--key", package.public, "--format", "json"
    )
    document = run.document()
    statuses = [entry["status"] for entry in document["packages"]]
    assert statuses[1:] == [4, 0]
    assert statuses[0] == 2
    assert (run.status, document["status"], document["verdict"]) == (4, 4, "failed")
    assert document["packages"][0]["findings"][0]["code"] == "HP4801"


def test_text_of_an_unreadable_package(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    run = hpbuild("verify", tmp_path / "absent.hpb", "--key", package.public)
    assert run.status == 2
    assert "absent.hpb: failed" in run.out
    assert "HP4801" in run.out


def test_a_file_name_cannot_touch_the_terminal(hpbuild: Runner, package: Any) -> None:
    path = package.path.with_name("evil\x1b]0;owned\x07\u202e.hpb")
    path.write_bytes(package.path.read_bytes())
    run = hpbuild("verify", path, "--key", package.public)
    assert run.status == 0
    assert "evil\\x1b]0;owned\\x07\\u202e.hpb: verified" in run.out
    assert "\x1b" not in run.out
    assert hpbuild("verify", path, "--key", package.public, "--format", "json").out.isascii()
