"""policy init, add-key and check, and --policy where packages are used."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Runner = Callable[..., Any]


@pytest.fixture
def policy(hpbuild: Runner, package: Any, tmp_path: Path) -> Path:
    """Trusts the key of ``package``."""
    path = tmp_path / "trust.toml"
    assert hpbuild("policy", "init", "-o", path, "--product", "Codec").status == 0
    assert hpbuild("policy", "add-key", path, package.public, "--role", "release").status == 0
    return path


def codes_in(document: dict[str, Any]) -> list[str]:
    return [item["code"] for check in document["packages"][0]["checks"] for item in check["findings"]]


def test_init_writes_what_trusts_nobody(hpbuild: Runner, tmp_path: Path) -> None:
    path = tmp_path / "trust.toml"
    run = hpbuild("policy", "init", "-o", path, "--product", 'a "b"', "--format", "json")
    document = run.document()
    assert (run.status, document["action"], document["usable"]) == (0, "init", False)
    assert tomllib.loads(path.read_text())["products"] == ['a "b"']
    assert "HP6106" in hpbuild("policy", "check", path).err
    again = hpbuild("policy", "init", "-o", path)
    assert "HP4807" in again.err
    assert again.status == 2


def test_adding_keys_keeps_comments_and_order(
    hpbuild: Runner, package: Any, policy: Path, tmp_path: Path
) -> None:
    before = policy.read_text() + "# the last line\n"
    policy.write_text(before)
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", tmp_path / "second").status == 0
    run = hpbuild(
        "policy", "add-key", policy, tmp_path / "second.pub", "--role", "release", "--name", "bob",
        "--threshold", "2", "--format", "json",
    )  # fmt: skip
    assert run.status == 0
    (role,) = run.document()["roles"]
    assert (role["threshold"], [key["name"] for key in role["keys"]]) == (2, ["release", "bob"])
    kept = [line for line in before.splitlines() if line.startswith("#")]
    assert [line for line in policy.read_text().splitlines() if line.startswith("#")] == kept
    other = hpbuild("policy", "add-key", policy, package.public, "--role", "security")
    assert (other.status, "HP6110" in other.err) == (2, True)


def test_an_edit_that_would_break_the_policy_is_not_written(
    hpbuild: Runner, policy: Path, tmp_path: Path
) -> None:
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", tmp_path / "second").status == 0
    before = policy.read_bytes()
    key = tmp_path / "second.pub"
    for more, code in (
        (("--role", "release", "--threshold", "3"), "HP6020"),
        (("--role", "a role"), "HP6102"),
        (("--role", "x\x1b[2J"), "HP6102"),
        (("--role", "release", "--name", "a\nb"), "HP6102"),
        (("--role", "release", "--name", "release"), "HP6110"),
    ):
        run = hpbuild("policy", "add-key", policy, key, *more)
        assert code in run.err
        assert "\x1b" not in run.err
        assert policy.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = [", "HP6101"),
        ("keys = 3", "HP6102"),
        ("keys = [3]", "HP6102"),
        ("keys = [{ name = 'x' }]", "HP6102"),
        ("keys = []", "HP6102"),
        ("roles = 'x'", "HP6102"),
        ("roles = ['x']", "HP6102"),
    ],
)
def test_adding_a_key_to_something_else(
    hpbuild: Runner, package: Any, tmp_path: Path, text: str, code: str
) -> None:
    path = tmp_path / "trust.toml"
    path.write_text(text)
    run = hpbuild("policy", "add-key", path, package.public, "--role", "release")
    assert code in run.err
    assert run.status in (2, 4)
    assert path.read_text() == text


def test_a_private_key_never_gets_into_a_policy(hpbuild: Runner, package: Any, policy: Path) -> None:
    before = policy.read_bytes()
    run = hpbuild("policy", "add-key", policy, package.key, "--role", "release")
    assert "HP5002" in run.err
    assert policy.read_bytes() == before


def test_check(hpbuild: Runner, policy: Path) -> None:
    run = hpbuild("policy", "check", policy, "--format", "json")
    document = run.document()
    assert (run.status, document["usable"], document["rules"]["products"]) == (0, True, "Codec")
    assert [item["code"] for item in document["findings"]] == ["HP6151", "HP6152", "HP6154"]
    text = hpbuild("policy", "check", policy).out
    assert "HP6151 role release" in text
    assert "can be used" in text


def test_verify_with_a_policy(hpbuild: Runner, package: Any, policy: Path) -> None:
    command = ("verify", package.path, "--policy", policy, "--installed", package.baseline)
    document = hpbuild(*command, "--format", "json").document()
    (entry,) = document["packages"]
    checked = hpbuild("policy", "check", policy, "--format", "json").document()
    assert (document["status"], entry["policy_sha256"]) == (0, checked["sha256"])
    (signer,) = entry["signers"]
    assert (signer["role"], signer["name"], signer["reason"]) == ("release", "release", None)
    run = hpbuild(*command)
    assert run.status == 0
    assert entry["policy_sha256"] in run.out


def test_a_policy_stands_alone(hpbuild: Runner, package: Any, policy: Path, tmp_path: Path) -> None:
    copy = ("--offline", "--installed", package.baseline, "-o", tmp_path / "out.dll")
    for command in (
        ("verify", package.path),
        ("apply", package.path, *copy),
        ("revert", package.path, *copy),
    ):
        for more in (
            ("--key", package.public),
            ("--threshold", "1"),
            ("--lowest-tier", "authenticode"),
            ("--allow-unsigned",),
        ):
            run = hpbuild(*command, "--policy", policy, *more)
            assert run.status == 2
            assert "--policy goes with none of" in run.err
    run = hpbuild("rehearse", package.path, "--policy", policy, "--allow-unsigned", "--", "x.exe")
    assert (run.status, "--policy goes with none of" in run.err) == (2, True)


def test_the_policy_decides(hpbuild: Runner, package: Any, policy: Path, tmp_path: Path) -> None:
    text = policy.read_text()
    policy.write_text(text.replace('"Codec"', '"Other"'))
    run = hpbuild("verify", package.path, "--policy", policy, "--format", "json")
    assert (run.status, codes_in(run.document())) == (1, ["HP6141"])
    copy = ("--offline", "--installed", package.baseline, "-o", tmp_path / "out.dll")
    assert hpbuild("apply", package.path, *copy, "--policy", policy).status == 1
    assert not (tmp_path / "out.dll").exists()
    policy.write_text(text)
    assert hpbuild("apply", package.path, *copy, "--policy", policy).status == 0


def test_a_policy_that_cannot_be_read(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    assert "HP4801" in hpbuild("verify", package.path, "--policy", tmp_path / "absent.toml").err
    path = tmp_path / "trust.toml"
    path.write_text("treshold = 1\n")
    run = hpbuild("verify", package.path, "--policy", path)
    assert (run.status, "HP6102" in run.err) == (4, True)


def test_another_time(hpbuild: Runner, package: Any) -> None:
    command = ("verify", package.path, "--key", package.public, "--format", "json")
    document = hpbuild(*command, "--time", "2026-01-31T12:00:00Z").document()
    assert document["packages"][0]["time"] == "2026-01-31T12:00:00Z"
    for text in ("2026-01-31", "now", "2026-02-30T00:00:00Z", "2026-01-31T12:00:00+00:00", ""):
        run = hpbuild(*command, "--time", text)
        assert (run.status, run.document()["error"]["code"]) == (2, "HP9001")


def test_names_in_a_policy_cannot_touch_the_terminal(hpbuild: Runner, package: Any, tmp_path: Path) -> None:
    """A certificate's subject is its maker's text; so is what the envelope calls a key."""
    from hpbuild.report import plain
    from hpbuild.report.verify import blocks

    document = hpbuild("verify", package.path, "--key", package.public, "--format", "json").document()
    signer = document["packages"][0]["signers"][0]
    for field in ("role", "name", "certificate", "timestamp_authority", "key_hint", "spki_sha256"):
        signer[field] = "a\x1b[2J\u202e\nverified"
    text = plain.render(blocks(document))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\nverified" not in text
