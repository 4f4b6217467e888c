"""The command line on running processes: exit statuses, documents, texts."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpbuild.codes import cli, driver, live, pins, process, servicing
from hpbuild.manifest.schema import validate
from hpbuild.sign.keys import read_public
from tests.live.codec import NEW, OLD, installed, package, running, versions
from tests.live.packages import Packages
from tests.live.wine import QUIET, Wine
from tests.policies import policy_text
from tests.publishers import make_publisher


@dataclass(frozen=True, slots=True)
class Run:
    """What a process gave."""

    status: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        validate(document, document["schema"], "stdout")
        return document

    def error(self) -> tuple[int, str]:
        document = self.document()
        assert document["status"] == self.status
        return self.status, document["error"]["code"]


Runner = Callable[..., Run]


@pytest.fixture
def hpbuild(root: Path, wine: Wine) -> Runner:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HPBUILD_", "WINE"))}
    environment = {**kept, **QUIET, "WINEPREFIX": str(wine.prefix), "PYTHONPATH": str(root), "COLUMNS": "100"}

    def run(*arguments: object, format: str = "json") -> Run:  # noqa: A002 - the option's name
        words = [str(item) for item in arguments]
        at = words.index("--") if "--" in words else len(words)
        command = [sys.executable, "-m", "hpbuild", *words[:at], "--format", format, *words[at:]]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Run(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def bundle(packages: Packages, binaries: Path, tmp_path: Path) -> Path:
    path = tmp_path / "X.hpb"
    path.write_bytes(package(packages, binaries))
    return path


def test_apply_status_revert(
    wine: Wine, hpbuild: Runner, bundle: Path, binaries: Path, tmp_path: Path
) -> None:
    with running(wine, binaries, tmp_path / "app") as host:
        on = ("--pid", host.pid)
        before = hpbuild("status", *on)
        assert (before.status, before.document()["verdict"]) == (0, "old")
        assert before.document()["agent"] is None
        applied = hpbuild("apply", bundle, *on, "--allow-unsigned")
        document = applied.document()
        assert (applied.status, document["verdict"], document["command"]) == (0, "applied", "apply")
        assert (document["pid"], document["windows_pid"]) == (host.pid, host.windows_pid)
        (module,) = document["modules"]
        assert (module["before"], module["after"]) == ("applicable", "applied")
        assert versions(host) == NEW
        again = hpbuild("apply", bundle, *on, "--allow-unsigned")
        assert (again.status, again.document()["verdict"]) == (0, "already-applied")
        status = hpbuild("status", *on, bundle).document()
        assert (status["verdict"], status["modules"][0]["state"]) == ("new", "applied")
        assert [item["id"] for item in status["packages"]] == ["TEST-1"]
        text = hpbuild("status", *on, format="text").out
        assert "patched" in text
        assert "TEST-1 (sequence 1)" in text
        reverted = hpbuild("revert", bundle, *on)
        assert (reverted.status, reverted.document()["verdict"]) == (0, "reverted")
        assert versions(host) == OLD
        assert hpbuild("revert", bundle, *on).error() == (3, driver.NOT_IN_EFFECT.id)
        assert "applied" in hpbuild("apply", bundle, *on, "--allow-unsigned", format="text").out
        every = hpbuild("revert", "--all", *on)
        assert (every.status, every.document()["verdict"]) == (0, "reverted")
        assert versions(host) == OLD
        assert hpbuild("revert", "--all", *on).error() == (3, driver.NOT_IN_EFFECT.id)


def test_what_is_refused(wine: Wine, hpbuild: Runner, bundle: Path, binaries: Path, tmp_path: Path) -> None:
    with wine.host(installed(binaries, tmp_path / "app")) as host:
        on = ("--pid", host.pid)
        assert hpbuild("apply", bundle, *on).error() == (2, cli.USAGE.id), "nobody to trust was named"
        none = hpbuild("apply", bundle, *on, "--allow-unsigned")
        assert (none.status, none.document()["verdict"]) == (3, "refused")
        assert process.NONE_LOADED.id in [item["code"] for item in none.document()["findings"]]
        assert hpbuild("status", *on, bundle).status == 3
        for wrong in (
            ("apply", bundle, *on, "--offline", "--allow-unsigned"),
            ("apply", bundle, "--allow-unsigned"),
            ("revert", *on),
            ("revert", bundle, "--all", *on),
            ("revert", "--all"),
            ("status",),
        ):
            assert hpbuild(*wrong).error() == (2, cli.USAGE.id), wrong


def test_an_untrusted_package_is_not_handed_over(
    wine: Wine, hpbuild: Runner, bundle: Path, binaries: Path, tmp_path: Path
) -> None:
    made = hpbuild("keys", "generate", "--no-passphrase", "-o", tmp_path / "release")
    assert made.status == 0
    with running(wine, binaries, tmp_path / "app") as host:
        result = hpbuild("apply", bundle, "--pid", host.pid, "--key", tmp_path / "release.pub")
        document = result.document()
        assert (result.status, document["verdict"], document["authenticity"]) == (1, "refused", "untrusted")
        assert versions(host) == OLD
        assert hpbuild("status", "--pid", host.pid).document()["agent"] is None
        signed = hpbuild("sign", bundle, "--key", f"file:{tmp_path / 'release.key'}")
        assert signed.status == 0
        result = hpbuild("apply", bundle, "--pid", host.pid, "--key", tmp_path / "release.pub")
        assert (result.status, result.document()["authenticity"]) == (0, "trusted")
        assert versions(host) == NEW


def test_no_such_process(hpbuild: Runner, bundle: Path) -> None:
    gone = 2**22 + 1
    for command in (("status", "--pid", gone), ("revert", bundle, "--pid", gone)):
        assert hpbuild(*command).error() == (6, process.NO_SUCH_PROCESS.id)
    assert hpbuild("apply", bundle, "--pid", gone, "--allow-unsigned").status == 6


def test_a_process_that_is_no_windows_program(hpbuild: Runner, bundle: Path) -> None:
    assert hpbuild("status", "--pid", os.getpid()).error() == (3, process.NOT_A_WINDOWS_PROCESS.id)


def test_rehearse(hpbuild: Runner, bundle: Path, binaries: Path, tmp_path: Path) -> None:
    folder = installed(binaries, tmp_path / "app")
    program = binaries / "host.exe"
    short = ("--rounds", 1, "--load-limit", 900, "--output-dir", tmp_path / "said")
    result = hpbuild("rehearse", bundle, "--allow-unsigned", *short, "--", program, folder / "codec.dll")
    document = result.document()
    assert document["verdict"] == "failed", "the host ends at once when nobody speaks to it"
    assert document["ending"]["by"] == "itself"
    assert document["output"] == str(tmp_path / "said" / "output.txt")
    assert result.status == 1
    missing = hpbuild("rehearse", bundle, "--allow-unsigned", "--", tmp_path / "missing.exe")
    assert missing.error()[0] == 2
    text = hpbuild("rehearse", bundle, "--allow-unsigned", *short, "--", program, format="text")
    assert "rehearsal failed" in text.out
    assert live.ROWS


def test_a_signed_way_back(wine: Wine, hpbuild: Runner, binaries: Path, tmp_path: Path) -> None:
    given, back, state = tmp_path / "KB-3.hpb", tmp_path / "KB-4.hpb", tmp_path / "state"
    sides = (binaries / "baseline" / "codec.dll", binaries / "fixed" / "codec.dll")
    steps: tuple[tuple[object, ...], ...] = (
        ("keys", "generate", "--no-passphrase", "-o", tmp_path / "k"),
        ("build", *sides, "-o", given, "--id", "KB-3", "--sequence", 3, "--product", "Codec"),
        ("build", "--revert", given, "-o", back, "--id", "KB-4", "--sequence", 4, "--reason", "it crashes"),
        ("sign", given, "--key", f"file:{tmp_path / 'k.key'}"),
        ("sign", back, "--key", f"file:{tmp_path / 'k.key'}"),
    )
    for step in steps:
        assert hpbuild(*step).status == 0
    with running(wine, binaries, tmp_path / "app") as host:
        key = ("--pid", host.pid, "--key", tmp_path / "k.pub")
        trust = (*key, "--state", state)
        assert hpbuild("apply", back, *key).error() == (1, servicing.REVERT_NOT_APPLIED.id)
        early = hpbuild("apply", back, *trust)
        assert (early.status, early.document()["verdict"]) == (3, "refused")
        assert servicing.REVERTS_UNKNOWN.id in early.out
        assert not state.exists()
        assert hpbuild("apply", given, *trust).status == 0
        assert versions(host) == NEW
        plain = hpbuild("revert", given, *trust)
        assert (plain.status, plain.document()["verdict"]) == (1, "refused")
        assert servicing.REVERT_NEEDED.id in plain.out
        assert versions(host) == NEW
        assert hpbuild("status", "--pid", host.pid, back).document()["verdict"] == "new"
        reverted = hpbuild("revert", back, *trust)
        assert (reverted.status, reverted.document()["verdict"]) == (0, "reverted")
        assert versions(host) == OLD
        again = hpbuild("apply", given, *trust)
        assert (again.status, again.document()["verdict"]) == (1, "refused")
        assert servicing.REPLAY.id in again.out
        assert versions(host) == OLD


def codes_of(run: Run) -> list[str]:
    return [item["code"] for item in run.document()["findings"]]


def publisher_check(run: Run) -> str:
    (entry,) = run.document()["packages"]
    (made,) = [check["status"] for check in entry["checks"] if check["number"] == "V18"]
    return made


def test_the_publisher_of_what_runs(
    wine: Wine, hpbuild: Runner, binaries: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """With a rule about the publisher no process is written to whose file is not known to be the publisher's:
    not one that runs the baseline unsigned, and none of the ways into one whose file is not as it was signed.
    That file has the sections of the baseline, so that nothing but the rule stands in the way."""
    require_tool("openssl")
    require_tool("osslsigncode")
    publisher, policy = make_publisher(tmp_path / "vendor"), tmp_path / "trust.toml"
    first, back, second = (tmp_path / f"KB-{number}.hpb" for number in (3, 4, 5))
    sides = (binaries / "baseline" / "codec.dll", binaries / "fixed" / "codec.dll")
    steps: tuple[tuple[object, ...], ...] = (
        ("keys", "generate", "--no-passphrase", "-o", tmp_path / "k"),
        ("build", *sides, "-o", first, "--id", "KB-3", "--sequence", 3, "--product", "Codec"),
        ("build", "--revert", first, "-o", back, "--id", "KB-4", "--sequence", 4, "--reason", "it crashes"),
        ("build", *sides, "-o", second, "--id", "KB-5", "--sequence", 5, "--product", "Codec"),
        *(("sign", path, "--key", f"file:{tmp_path / 'k.key'}") for path in (first, back, second)),
    )
    for step in steps:
        assert hpbuild(*step).status == 0
    team = {"team": read_public(tmp_path / "k.pub")}
    policy.write_text(policy_text(team, head='lowest_tier = "sections"\n', tail=publisher.rule))

    with running(wine, binaries, tmp_path / "unsigned") as host:
        on = ("--policy", policy, "--pid", host.pid)
        seen = hpbuild("verify", first, *on)
        assert (seen.status, publisher_check(seen)) == (3, "failed")
        refused = hpbuild("apply", first, *on)
        assert (refused.status, refused.document()["verdict"]) == (3, "refused")
        assert codes_of(refused) == [pins.UNSIGNED_FILE.id]
        assert versions(host) == OLD
        assert hpbuild("status", "--pid", host.pid).document()["agent"] is None

    folder = tmp_path / "signed"
    folder.mkdir()
    file = publisher.sign(sides[0], folder / "codec.dll")
    size = file.stat().st_size
    with wine.host(folder, "codec.dll") as host:
        on = ("--policy", policy, "--pid", host.pid)
        seen = hpbuild("verify", first, *on)
        assert (seen.status, publisher_check(seen)) == (0, "passed")
        assert hpbuild("apply", first, *on).document()["verdict"] == "applied"
        assert versions(host) == NEW
        assert hpbuild("apply", first, *on).document()["verdict"] == "already-applied"
        with file.open("ab") as longer:
            longer.write(b"that nobody signed")
        for command in (("apply", first), ("apply", second), ("revert", back)):
            refused = hpbuild(*command, *on)
            assert (refused.status, refused.document()["verdict"]) == (3, "refused"), command
            assert pins.NO_SIGNED_FILE.id in codes_of(refused), command
        assert versions(host) == NEW
        assert [item["id"] for item in hpbuild("status", "--pid", host.pid).document()["packages"]] == [
            "KB-3"
        ]
        os.truncate(file, size)
        assert hpbuild("apply", second, *on).document()["verdict"] == "replaced"
        assert hpbuild("revert", back, *on).error() == (3, driver.NOT_IN_EFFECT.id)
        assert hpbuild("revert", second, "--pid", host.pid).document()["verdict"] == "reverted"
        assert hpbuild("apply", first, *on).document()["verdict"] == "applied"
        assert hpbuild("revert", back, *on).document()["verdict"] == "reverted"
        assert versions(host) == OLD
