"""Rehearsals of a program that lives on codec.dll, under Wine."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpbuild.apply.live.driver import Session
from hpbuild.apply.live.host import Host, host_of
from hpbuild.apply.rehearse.model import Action, End, Expectation, Rehearsal, Schedule
from hpbuild.apply.rehearse.rehearsal import RehearsalRequest, rehearse
from hpbuild.codes import driver as driver_codes
from hpbuild.codes import rehearse as codes
from hpbuild.errors import ExitStatus
from hpbuild.pe.processes import Process
from hpbuild.sign.keys import read_public
from tests.conftest import MISSING_TOOL
from tests.live.codec import UNSIGNED, installed, package
from tests.live.packages import Packages, locked, patched
from tests.live.wine import QUIET, Wine
from tests.policies import policy_text
from tests.publishers import make_publisher

SOURCE = Path(__file__).with_name("worker.c")
FLAGS = (
    "-target", "x86_64-windows-gnu", "-O2", "-ffreestanding", "-fno-builtin", "-fno-sanitize=all",
    "-nostdlib", "-Wl,-e,start", "-Wl,--subsystem,console", "-lkernel32",
)  # fmt: skip
Rehearse = Callable[..., Rehearsal]


@pytest.fixture(scope="session")
def worker(packages: Packages) -> Path:
    """The program, compiled once per test run."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip(f"{MISSING_TOOL}: ziglang")
    program = packages.folder / "worker.exe"
    with locked(packages.folder / "worker.lock"):
        if not program.exists():
            command = [sys.executable, "-m", "ziglang", "cc", SOURCE, *FLAGS, "-o", program]
            subprocess.run(command, check=True, timeout=900)
    return program


@pytest.fixture
def run(
    wine: Wine,
    worker: Path,
    packages: Packages,
    binaries: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Rehearse:
    """Rehearses the package on the worker, which ends when the rehearsal reports ``until``."""
    folder = installed(binaries, tmp_path / "app")
    shutil.copy(worker, folder)
    for name, value in {**QUIET, "WINEPREFIX": str(wine.prefix)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DISPLAY", raising=False)
    end = tmp_path / "end"
    request = RehearsalRequest(
        bundle=package(packages, binaries),
        name="test.hpb",
        policy=UNSIGNED,
        command=(),
        schedule=Schedule(rounds=2, after=0.3, hold=0.05, load_limit=900.0, limit=900.0),
        expectation=Expectation(),
        folder=tmp_path / "output",
    )

    def rehearsed(
        status: int = 0,
        expect: Expectation | None = None,
        until: tuple[str, int] | None = ("waiting for the end", 0),
        **schedule: float,
    ) -> Rehearsal:
        def progress(_: str, subject: str, done: int, __: int) -> None:
            if (subject, done) == until or subject == "a run without the package":
                end.touch()
            elif subject == "waiting for the modules":
                end.unlink(missing_ok=True)

        command = (folder / "worker.exe", folder / "codec.dll", 2, end, status)
        asked = replace(
            request,
            command=tuple(map(str, command)),
            schedule=replace(request.schedule, **schedule),
            expectation=expect or Expectation(exit_status=status),
        )
        return rehearse(asked, progress)

    return rehearsed


def found(result: Rehearsal) -> list[str]:
    return [item.code.id for item in result.findings]


def test_a_program_that_ends_by_itself(run: Rehearse) -> None:
    result = run()
    assert result.status is ExitStatus.YES, result.findings
    assert [step.action for step in result.steps] == [
        Action.APPLY, Action.REVERT, Action.APPLY, Action.REVERT, Action.APPLY,
    ]  # fmt: skip
    assert (result.applied, result.reverted) == (3, 2)
    assert result.modules == (("codec.dll", "applied"),)
    assert result.looks.count > 0
    assert all(step.commit_ns > 0 for step in result.steps)
    assert result.output is not None


def test_expectations_that_are_met(run: Rehearse) -> None:
    """At the end of the rounds the package is in effect, and the program shows it."""
    expect = Expectation(exit_status=263, pattern="^unknown status\nall results right$")
    result = run(263, expect=expect)  # Wine passes 7 on
    assert result.status is ExitStatus.YES, result.findings
    assert result.ending is not None
    assert (result.ending.end, result.ending.status) == (End.BY_ITSELF, 7)


def test_a_program_without_end_is_ended(run: Rehearse) -> None:
    result = run(expect=Expectation(pattern="ready"), until=None)
    assert result.status is ExitStatus.YES, result.findings
    assert result.ending is not None
    assert (result.ending.end, result.ending.status) == (End.BY_REHEARSAL, None)
    assert result.pid is not None
    assert not (Path("/proc") / str(result.pid) / "exe").exists()


def test_the_same_output(run: Rehearse) -> None:
    """The fix changes what this program says, and the comparison with an unpatched run finds it."""
    result = run(expect=Expectation(same_output=True))
    assert result.status is ExitStatus.NO
    assert found(result) == [codes.OUTPUT_DIFFERS.id]
    assert result.reference is not None
    assert b"unknown codec" in result.reference.read_bytes()
    assert result.output is not None
    assert b"unknown status" in result.output.read_bytes()


def test_a_wrong_exit_status(run: Rehearse) -> None:
    assert found(run(5, expect=Expectation(exit_status=6))) == [codes.WRONG_EXIT.id]


def test_output_that_lacks_something(run: Rehearse) -> None:
    assert found(run(expect=Expectation(pattern="unknown codec", exit_status=0))) == [codes.OUTPUT_LACKS.id]


def test_a_program_that_should_have_ended(run: Rehearse) -> None:
    result = run(until=None, limit=0.5)
    assert found(result) == [codes.STILL_RUNNING.id]


def test_a_program_that_ends_too_early(run: Rehearse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpbuild.apply.rehearse.rehearsal.GRACE", 300.0)  # its end may be slow to be seen
    result = run(until=("round", 1), rounds=1000)
    assert found(result) == [codes.ENDED_EARLY.id]
    assert 0 < result.applied < 1000
    assert result.status is ExitStatus.NO


def test_files_of_the_fixed_build(run: Rehearse, binaries: Path, tmp_path: Path) -> None:
    shutil.copy(binaries / "fixed" / "codec.dll", tmp_path / "app")
    result = run(until=None)
    assert result.status is ExitStatus.NOT_APPLICABLE
    assert not result.steps
    assert {state for _, state in result.modules} == {"not-needed"}


def test_an_agent_that_does_not_start(run: Rehearse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def connect(process: Process, limit: float = 1.0) -> Session:
        from hpbuild.apply.live.binaries import Binaries

        host: Host = host_of(process)
        binaries = Binaries(courier=tmp_path / "no.exe", resident=tmp_path / "no.dll")
        return Session(process.windows_pid, host, binaries, limit)

    monkeypatch.setattr(rehearse, "__defaults__", (connect,))
    result = run(until=None)
    assert found(result) == [driver_codes.COURIER_FAILED.id]
    assert [step.finding is None for step in result.steps] == [False]


def test_files_with_the_package_in_them(
    run: Rehearse, packages: Packages, binaries: Path, tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir(exist_ok=True)
    (tmp_path / "app" / "codec.dll").unlink()
    bundle = package(packages, binaries)
    patched(bundle, binaries / "baseline" / "codec.dll", tmp_path / "app" / "codec.dll")
    result = run(until=None)
    assert found(result) == [codes.NOTHING_TO_REHEARSE.id]
    assert result.status is ExitStatus.NOT_APPLICABLE


def neutral(line: str) -> str:
    """A line without its numbers."""
    return re.sub(r"[0-9][0-9.,]*", "#", line).replace("none", "#, longest # µs, median # µs").rstrip()


def test_the_readme_shows_what_happens(
    run: Rehearse, wine: Wine, packages: Packages, binaries: Path, root: Path, tmp_path: Path
) -> None:
    """``run`` has prepared the folder of the program and Wine's environment."""
    text = (root / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n\$ hpbuild (rehearse .*?)\n(.*?)```", text, flags=re.DOTALL)
    ((command, shown),) = blocks
    (tmp_path / "app").rename(tmp_path / "program")
    (tmp_path / "codec.hpb").write_bytes(package(packages, binaries))
    words = [word for word in shlex.split(command) if word not in ("--key", "release.pub")]
    done = subprocess.run(
        [sys.executable, "-m", "hpbuild", words[0], "--allow-unsigned", *words[1:]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "100"},
        capture_output=True,
        timeout=900,
        check=True,
    )
    said = {neutral(line) for line in done.stdout.decode().splitlines()}
    package_line = {neutral("package              KB-1 (sequence 1)")}
    assert set(map(neutral, shown.splitlines())) - said <= package_line


def test_a_policy_file(
    run: Rehearse,
    packages: Packages,
    binaries: Path,
    root: Path,
    tmp_path: Path,
    require_tool: Callable[[str], str],
) -> None:
    """``run`` has prepared the folder of the program and Wine's environment. The state that the policy
    requires does not matter here; the publisher of the program's file does."""
    require_tool("openssl")
    require_tool("osslsigncode")
    environment = {**os.environ, "PYTHONPATH": str(root)}

    def hpbuild(*words: object) -> tuple[int, str]:
        command = [sys.executable, "-m", "hpbuild", *map(str, words)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        return done.returncode, done.stdout + done.stderr

    publisher, policy, key = make_publisher(tmp_path / "vendor"), tmp_path / "trust.toml", tmp_path / "k"
    assert hpbuild("keys", "generate", "--no-passphrase", "-o", key)[0] == 0
    keys = {"team": read_public(key.with_suffix(".pub"))}
    policy.write_text(policy_text(keys, head='state = "required"\n', tail=publisher.rule))
    bundle, file = tmp_path / "codec.hpb", tmp_path / "app" / "codec.dll"
    bundle.write_bytes(package(packages, binaries))
    rehearsal = (
        "rehearse", bundle, "--policy", policy, "--rounds", 1, "--output-dir", tmp_path / "said",
        "--expect-output", "ready", "--format", "json",
        "--", tmp_path / "app" / "worker.exe", file, 2, tmp_path / "end",
    )  # fmt: skip
    status, said = hpbuild(*rehearsal)
    assert (status, "HP6003" in said) == (1, True), "nobody has signed the package"
    assert hpbuild("sign", bundle, "--key", f"file:{key.with_suffix('.key')}")[0] == 0
    status, said = hpbuild(*rehearsal)
    assert (status, "HP6211" in said) == (3, True), said
    assert json.loads(said)["steps"] == []
    file.unlink()
    publisher.sign(binaries / "baseline" / "codec.dll", file)
    status, said = hpbuild(*rehearsal)
    assert (status, json.loads(said)["verdict"]) == (0, "passed"), said
