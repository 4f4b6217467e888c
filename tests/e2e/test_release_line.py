"""A release line from its first package to its last: what is accepted, what is refused, and the way back."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import Runner, command, copy_sides, environment

EPOCH = {"SOURCE_DATE_EPOCH": "1767225600"}
BUILDS: dict[str, tuple[object, ...]] = {
    "one": ("--id", "KB-1", "--sequence", 1),
    "two": ("--id", "KB-2", "--sequence", 2),
    "three": ("--id", "KB-3", "--sequence", 3, "--supersedes", "KB-1", "--expires", 36_500),
    "three-too": ("--id", "KB-3x", "--sequence", 3),
    "three-again": ("--id", "KB-3", "--sequence", 4),
    "five": ("--id", "KB-5", "--sequence", 5),
    "far": ("--id", "KB-9", "--sequence", 5000),
}
REVERTS = {
    "back": ("three", "KB-4", 4),
    "back-two": ("two", "KB-7", 7),
    "back-other": ("three-too", "KB-8", 8),
}


@dataclass(frozen=True, slots=True)
class Line:
    """Signed packages of one line, by name, and the files that they are for."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / f"{name.replace('_', '-')}.hpb"

    @property
    def public(self) -> Path:
        return self.folder / "k.pub"

    @property
    def baseline(self) -> Path:
        return self.folder / "installed" / "codec.dll"

    @property
    def fixed(self) -> Path:
        return self.folder / "release" / "codec.dll"


@pytest.fixture(scope="module")
def line(hpbuild: Runner, binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Line:
    made = Line(tmp_path_factory.mktemp("line"))
    copy_sides(binaries, made.folder, ("codec",))

    def do(*arguments: object) -> None:
        done = hpbuild(*arguments, env=EPOCH)
        assert done.status == 0, done

    do("keys", "generate", "--no-passphrase", "-o", made.folder / "k")
    for name, place in BUILDS.items():
        out = made.folder / f"{name}.hpb"
        do("build", made.baseline, made.fixed, "-o", out, "--product", "Codec", *place)
    for name, (of, own, sequence) in REVERTS.items():
        out, given = made.folder / f"{name}.hpb", made.folder / f"{of}.hpb"
        do(
            "build",
            "--revert",
            given,
            "-o",
            out,
            "--id",
            own,
            "--sequence",
            sequence,
            "--reason",
            "it crashes",
        )
    for name in (*BUILDS, *REVERTS):
        do("sign", made.folder / f"{name}.hpb", "--key", f"file:{made.folder / 'k.key'}")
    return made


Verify = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def verify(hpbuild: Runner, line: Line, tmp_path: Path) -> Verify:
    """Verifies packages with the state file of the test: exit status and the codes that were found."""

    def run(*arguments: object) -> tuple[int, list[str]]:
        done = hpbuild(
            "verify", *arguments, "--key", line.public, "--state", tmp_path / "state", "--format", "json"
        )
        packages = done.document().get("packages", ())
        checks = [check for entry in packages for check in entry["checks"]]
        return done.status, [item["code"] for check in checks for item in check["findings"]]

    return run


def shown(hpbuild: Runner, state: Path) -> list[tuple[int, str, str]]:
    (entry,) = hpbuild("line", "show", state, "--format", "json").document()["lines"]
    return [(item["sequence"], item["id"], item["standing"]) for item in entry["packages"]]


def test_the_life_of_a_line(verify: Verify, line: Line, hpbuild: Runner, tmp_path: Path) -> None:
    assert verify(line.one) == (0, ["HP8013"])
    assert verify(line.three) == (0, [])
    assert verify(line.two) == (1, ["HP8001"])
    assert verify(line.three_too) == (1, ["HP8002"])
    assert verify(line.three_again) == (1, ["HP8004"])
    assert verify(line.far) == (1, ["HP8003"])
    assert verify(line.back_two) == (3, ["HP8007"])
    assert verify(line.back_other) == (1, ["HP8008"])
    assert verify(line.one) == (1, ["HP8001", "HP8005"])
    assert verify(line.three) == (0, [])
    assert verify(line.back) == (0, [])
    assert verify(line.back) == (0, [])
    assert verify(line.three) == (1, ["HP8001", "HP8006"])
    assert verify(line.five) == (0, [])
    assert verify(line.back) == (1, ["HP8001"])
    assert shown(hpbuild, tmp_path / "state") == [
        (1, "KB-1", "superseded"),
        (3, "KB-3", "taken-back"),
        (4, "KB-4", "revert"),
        (5, "KB-5", "in-effect"),
    ]
    text = hpbuild("line", "show", tmp_path / "state")
    assert "takes KB-3 back: it crashes" in text.out


def test_packages_of_one_run_see_each_other(
    verify: Verify, line: Line, hpbuild: Runner, tmp_path: Path
) -> None:
    assert verify(line.one, line.three, line.two) == (1, ["HP8013", "HP8001"])
    assert [item[0] for item in shown(hpbuild, tmp_path / "state")] == [1, 3]


def test_what_failed_is_not_remembered(verify: Verify, line: Line, hpbuild: Runner, tmp_path: Path) -> None:
    other = tmp_path / "other.pub"
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", other.with_suffix("")).status == 0
    state = tmp_path / "state"
    done = hpbuild("verify", line.three, "--key", other, "--state", state)
    assert done.status == 1
    done = hpbuild("verify", line.three, "--key", line.public, "--state", state, "--installed", line.fixed)
    assert done.status == 3
    assert not state.exists()
    assert verify(line.one) == (0, ["HP8013"])


def test_nothing_is_recorded_on_request(verify: Verify, line: Line, tmp_path: Path) -> None:
    assert verify(line.one, line.three, "--no-record") == (0, ["HP8013"])
    assert not (tmp_path / "state").exists()
    assert verify(line.three) == (0, ["HP8013"])
    assert verify(line.one, "--no-record") == (1, ["HP8001", "HP8005"])


def test_an_audit_at_another_time_changes_no_state(
    hpbuild: Runner, verify: Verify, line: Line, tmp_path: Path
) -> None:
    """KB-3 expires after a century; then it is refused, and at no other time than now it is recorded."""
    state, late = tmp_path / "state", "2200-01-01T00:00:00Z"
    assert verify(line.two)[0] == 0
    before = state.read_bytes()
    command = ("verify", line.three, "--key", line.public, "--state", state, "--time")
    for time in ("2026-06-01T00:00:00Z", late):
        assert hpbuild(*command, time, "--format", "json").error() == (2, "HP9001")
    assert verify(line.three, "--time", "2026-06-01T00:00:00Z", "--no-record")[0] == 0
    status, found = verify(line.three, "--time", late, "--no-record")
    assert (status, "HP6005" in found) == (1, True)
    assert verify(line.one, "--time", late, "--no-record")[0] == 1, "the state counts all the same"
    assert state.read_bytes() == before


def test_the_document_says_what_was_recorded(hpbuild: Runner, line: Line, tmp_path: Path) -> None:
    base = ("verify", line.back, "--key", line.public, "--format", "json", "--state", tmp_path / "state")
    hpbuild(*base[:1], line.three, *base[2:])
    (entry,) = hpbuild(*base, "--no-record").document()["packages"]
    assert entry["recorded"] is False
    (entry,) = hpbuild(*base).document()["packages"]
    assert entry["recorded"] is True
    assert (entry["reverts"]["id"], entry["reverts"]["reason"]) == ("KB-3", "it crashes")
    (entry,) = hpbuild(*base[:-2]).document()["packages"]
    assert entry["recorded"] is False


def test_a_line_needs_a_name(hpbuild: Runner, release: Any, tmp_path: Path) -> None:
    done = hpbuild("verify", release.package, "--key", release.public, "--state", tmp_path / "state")
    assert done.status == 1
    assert "HP8011" in done.out


def test_nobody_vouches_for_unsigned_packages(hpbuild: Runner, line: Line, tmp_path: Path) -> None:
    state = ("--state", tmp_path / "state", "--format", "json")
    done = hpbuild("verify", line.one, "--allow-unsigned", *state)
    assert done.error() == (2, "HP8031")
    assert hpbuild("verify", line.one, "--key", line.public, "--no-record", "--format", "json").error() == (
        2, "HP9001",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda path: path.write_bytes(path.read_bytes().replace(b"KB-1", b"KB-7")), (1, "HP8023")),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), (4, "HP8022")),
        (lambda path: path.write_bytes(b"x"), (4, "HP8021")),
        (lambda path: path.unlink(), (1, "HP8024")),
        (lambda path: path.with_name("state.key").unlink(), (6, "HP8025")),
        (lambda path: path.with_name("state.key").chmod(0o644), (6, "HP8026")),
        (lambda path: path.with_name("state.key").write_bytes(b"x"), (4, "HP8027")),
    ],
)
def test_a_state_that_cannot_be_relied_on(
    verify: Verify,
    hpbuild: Runner,
    line: Line,
    tmp_path: Path,
    spoil: Callable[[Path], object],
    expected: tuple[int, str],
) -> None:
    state = tmp_path / "state"
    verify(line.one)
    spoil(state)
    for what in (("verify", line.one, "--key", line.public, "--state", state), ("line", "show", state)):
        assert hpbuild(*what, "--format", "json").error() == expected


def test_an_old_copy_of_the_state_lets_nothing_through(verify: Verify, line: Line, tmp_path: Path) -> None:
    state = tmp_path / "state"
    verify(line.one)
    shutil.copy(state, tmp_path / "copy")
    verify(line.three)
    shutil.copy(tmp_path / "copy", state)
    assert verify(line.two) == (1, [])


def test_a_state_in_use_is_waited_for(hpbuild: Runner, line: Line, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    state = tmp_path / "state"
    base = ("verify", line.one, "--key", line.public, "--state", state, "--format", "json")
    with (tmp_path / "state.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert hpbuild(*base, "--state-wait", "0.1").error() == (6, "HP8028")
    assert hpbuild(*base).status == 0


def test_a_folder_that_is_not_there(hpbuild: Runner, line: Line, tmp_path: Path) -> None:
    state = tmp_path / "none" / "state"
    done = hpbuild("verify", line.one, "--key", line.public, "--state", state, "--format", "json")
    assert done.error() == (6, "HP8029")
    assert hpbuild("line", "show", state, "--format", "json").error() == (2, "HP4801")
    assert hpbuild("line", "show", tmp_path / "state", "--format", "json").error() == (2, "HP4801")


def test_two_runs_at_once_accept_one_of_two_twins(
    line: Line, root: Path, cache: Path, tmp_path: Path, hpbuild: Runner
) -> None:
    state = tmp_path / "state"
    runs = [
        subprocess.Popen(
            command("verify", package, "--key", line.public, "--state", state, "--state-wait", 600),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(root, cache, {}),
        )
        for package in (line.three, line.three_too)
    ]  # fmt: skip
    outputs = [run.communicate()[0] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 1]
    assert sum(b"HP8002" in output for output in outputs) == 1
    assert len(shown(hpbuild, state)) == 1


def test_offline_there_and_back(hpbuild: Runner, line: Line, verify: Verify, tmp_path: Path) -> None:
    patched, back = tmp_path / "patched.dll", tmp_path / "back.dll"
    trust = ("--offline", "--key", line.public, "--state", tmp_path / "state", "--format", "json")
    done = hpbuild("apply", line.three, *trust, "--installed", line.baseline, "-o", patched)
    assert done.status == 0, done
    assert shown(hpbuild, tmp_path / "state") == [(3, "KB-3", "in-effect")]
    older = hpbuild("apply", line.one, *trust, "--installed", line.baseline, "-o", back)
    assert (older.status, back.exists()) == (1, False)
    assert "HP8001" in older.out
    wrong = hpbuild("apply", line.back, *trust, "--installed", line.baseline, "-o", back)
    assert wrong.error() == (1, "HP8041")
    plain = hpbuild("revert", line.three, *trust, "--installed", patched, "-o", back)
    assert plain.error() == (1, "HP8042")
    assert not back.exists()
    done = hpbuild("revert", line.back, *trust, "--installed", patched, "-o", back)
    assert done.status == 0, done
    assert back.read_bytes() == line.baseline.read_bytes()
    assert [item[2] for item in shown(hpbuild, tmp_path / "state")] == ["taken-back", "revert"]
    again = hpbuild("apply", line.three, *trust, "--installed", line.baseline, "-o", tmp_path / "again.dll")
    assert (again.status, "HP8006" in again.out) == (1, True)


def test_a_key_alone_takes_either_package_out(hpbuild: Runner, line: Line, tmp_path: Path) -> None:
    patched = tmp_path / "patched.dll"
    trust = ("--offline", "--key", line.public)
    assert hpbuild("apply", line.three, *trust, "--installed", line.baseline, "-o", patched).status == 0
    for number, package in enumerate((line.three, line.back)):
        out = tmp_path / f"{number}.dll"
        assert hpbuild("revert", package, *trust, "--installed", patched, "-o", out).status == 0
        assert out.read_bytes() == line.baseline.read_bytes()


def test_a_file_with_the_package_is_judged_by_the_package(
    hpbuild: Runner, line: Line, tmp_path: Path
) -> None:
    patched = tmp_path / "patched.dll"
    trust = ("--key", line.public)
    hpbuild("apply", line.three, "--offline", *trust, "--installed", line.baseline, "-o", patched)
    done = hpbuild("verify", line.back, *trust, "--installed", patched, "--format", "json")
    (entry,) = done.document()["packages"]
    assert (done.status, entry["modules"][0]["state"]) == (0, "applied")


def test_the_package_says_where_it_stands(hpbuild: Runner, line: Line) -> None:
    text = hpbuild("inspect", line.three).out
    assert "supersedes" in text
    assert "2125-12-08T00:00:00Z" in text
    document = hpbuild("inspect", line.back, "--format", "json").document()
    assert document["statement"]["predicate"]["reverts"]["id"] == "KB-3"
    text = hpbuild("inspect", line.back).out
    assert "KB-4 (sequence 4)" in text
    assert "it crashes" in text
    differences = hpbuild("compare", line.three, line.back, "--format", "json").document()["differences"]
    assert {"own id", "own sequence", "takes back", "reason"} <= {item["place"] for item in differences}


@pytest.mark.parametrize("name", ["three", "back"])
def test_it_is_made_again_bit_for_bit(hpbuild: Runner, line: Line, name: str) -> None:
    package = line.folder / f"{name}.hpb"
    assert hpbuild("rebuild", "--check", package, line.baseline, line.fixed).status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("BASELINE",),
        ("BASELINE", "FIXED", "--reason", "r"),
        ("--revert", "PACKAGE"),
        ("BASELINE", "FIXED", "--revert", "PACKAGE", "--reason", "r"),
        ("--revert", "PACKAGE", "--reason", "r", "--product", "Codec"),
        ("--revert", "PACKAGE", "--reason", "r", "--supersedes", "KB-1"),
        ("BASELINE", "FIXED", "--expires", "30"),
    ],
)
def test_builds_that_are_not_understood(
    hpbuild: Runner, line: Line, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    real = {"BASELINE": line.baseline, "FIXED": line.fixed, "PACKAGE": line.three}
    given = [real.get(item, item) for item in arguments]
    out = tmp_path / "x.hpb"
    base = ("--id", "KB-9", "--sequence", 9, "-o", out, "--format", "json")
    assert hpbuild("build", *given, *base).error() == (2, "HP9001")
    assert not out.exists()


def test_reverts_that_are_refused(hpbuild: Runner, line: Line, tmp_path: Path) -> None:
    def build(package: Path, name: str, sequence: int) -> tuple[int, str]:
        out = ("-o", tmp_path / "x.hpb", "--format", "json", "--reason", "r")
        done = hpbuild("build", "--revert", package, "--id", name, "--sequence", sequence, *out)
        return done.error()

    assert build(line.three, "KB-3", 9) == (4, "HP4308")
    assert build(line.three, "KB-9", 3) == (4, "HP4308")
    assert build(line.back, "KB-9", 9) == (1, "HP4309")
    overwritten = hpbuild(
        "build", "--revert", line.three, "-o", line.three, "--id", "KB-9", "--sequence", 9, "--reason", "r",
        "--format", "json",
    )  # fmt: skip
    assert overwritten.error() == (2, "HP9001")


def test_the_files_are_private(verify: Verify, line: Line, tmp_path: Path) -> None:
    verify(line.one)
    assert {path.name for path in tmp_path.iterdir()} == {"state", "state.key", "state.lock"}
    if os.name == "posix":
        assert (tmp_path / "state.key").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "state.key").read_bytes())["count"] == 1


@pytest.fixture
def policy(hpbuild: Runner, line: Line, tmp_path: Path) -> Path:
    path = tmp_path / "trust.toml"
    assert hpbuild("policy", "init", "-o", path, "--product", "Codec").status == 0
    assert hpbuild("policy", "add-key", path, "--role", "release", line.public).status == 0
    return path


def test_a_policy_that_requires_a_state(hpbuild: Runner, line: Line, policy: Path, tmp_path: Path) -> None:
    policy.write_text(policy.read_text().replace('# state = "required"', 'state = "required"'))
    done = hpbuild("verify", line.one, "--policy", policy, "--format", "json")
    assert done.status == 1
    assert "HP8012" in done.out
    assert hpbuild("verify", line.one, "--policy", policy, "--state", tmp_path / "state").status == 0


def test_a_policy_asks_for_a_signed_way_back(
    hpbuild: Runner, line: Line, policy: Path, tmp_path: Path
) -> None:
    patched, back = tmp_path / "patched.dll", tmp_path / "back.dll"
    trust = ("--offline", "--policy", policy, "--format", "json")
    assert hpbuild("apply", line.three, *trust, "--installed", line.baseline, "-o", patched).status == 0
    plain = hpbuild("revert", line.three, *trust, "--installed", patched, "-o", back)
    assert plain.error() == (1, "HP8042")
    assert hpbuild("revert", line.back, *trust, "--installed", patched, "-o", back).status == 0
    assert back.read_bytes() == line.baseline.read_bytes()
    every = hpbuild("revert", "--all", "--pid", 1, "--policy", policy, "--format", "json")
    assert every.error() == (2, "HP9001")
