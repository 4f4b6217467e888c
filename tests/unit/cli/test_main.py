"""Outcomes that no command decides: usage, files, defects, resources, interruption."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpbuild.cli import app
from hpbuild.cli.main import wants_json
from hpbuild.errors import HpbuildError

Runner = Callable[..., Any]


def raising(error: BaseException) -> Callable[..., int]:
    def dispatch(arguments: object) -> int:
        raise error

    return dispatch


@pytest.mark.parametrize(
    ("arguments", "place", "cause"),
    [
        ((), "hpbuild", "Missing command."),
        (("dif",), "hpbuild", "No such command 'dif'. Did you mean 'diff'?"),
        (("diff",), "hpbuild diff", "Missing argument 'BASELINE'; usage: hpbuild diff [OPTIONS] "),
        (("diff", "a", "b", "--simbols", "none"), "hpbuild diff", "No such option: --simbols"),
        (("diff", "a", "b", "--format", "xml"), "hpbuild diff", "Invalid value for '--format'"),
        (("keys",), "hpbuild keys", "Missing command."),
        (
            ("build", "a", "b", "-o", "x", "--id", "T", "--sequence", "0"),
            "hpbuild build",
            "Invalid value for",
        ),
    ],
)
def test_wrong_command_line_is_status_2(
    hpbuild: Runner, arguments: tuple[str, ...], place: str, cause: str
) -> None:
    run = hpbuild(*arguments)
    assert run.status == 2
    assert run.out == ""
    assert run.err.startswith("error: HP9001 the command line is not understood\n")
    assert f"  place   {place}\n" in run.err
    assert f"  cause   {cause}" in run.err
    assert "  remedy  " in run.err


def test_wrong_command_line_is_a_document_when_json_is_wanted(hpbuild: Runner) -> None:
    run = hpbuild("diff", "a", "--format", "json")
    assert run.status == 2
    assert run.err == ""
    document = run.document()
    assert document["status"] == 2
    assert document["error"]["code"] == "HP9001"


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["diff", "--format", "json"], {}, True),
        (["diff", "--format=json"], {}, True),
        (["diff"], {}, False),
        (["diff", "--format"], {}, False),
        (["diff", "--format", "text"], {"HPBUILD_FORMAT": "json"}, False),
        (["diff"], {"HPBUILD_FORMAT": "json"}, True),
        (["diff"], {"HPBUILD_DIFF_FORMAT": "json"}, True),
        (["-h", "keys", "generate"], {"HPBUILD_KEYS_GENERATE_FORMAT": "json"}, True),
        (["inspect", "--", "--format=json"], {}, False),
    ],
)
def test_json_is_recognised_without_parsing(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str], expected: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_json(arguments) is expected


def test_a_missing_file_is_named(hpbuild: Runner, tmp_path: Path) -> None:
    run = hpbuild("inspect", tmp_path / "absent.dll", "--format", "json")
    assert run.status == 2
    error = run.document()["error"]
    assert (error["code"], error["place"]) == ("HP9004", str(tmp_path / "absent.dll"))


def test_a_directory_is_no_file(hpbuild: Runner, tmp_path: Path) -> None:
    run = hpbuild("inspect", tmp_path)
    assert run.status == 2
    assert "HP9004" in run.err
    assert "it is a directory" in run.err


def test_a_defect_is_one_short_message(hpbuild: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "dispatch", raising(KeyError("secret\x1b[2J")))
    run = hpbuild("diff", "a", "b", "-v")
    assert run.status == 70
    assert "HP9003" in run.err
    assert "KeyError: 'secret\\x1b[2J'" in run.err
    assert "test_main.py:" in run.err
    assert "Traceback" not in run.err
    assert "\x1b" not in run.err


def test_a_defect_is_reported_to_a_file_on_request(
    hpbuild: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = tmp_path / "bug.txt"
    monkeypatch.setenv("HPBUILD_BUG_REPORT", str(report))
    monkeypatch.setattr(app, "dispatch", raising(ZeroDivisionError("x")))
    run = hpbuild("diff", "a", "b", "-v")
    assert run.status == 70
    assert f"report in {report}" in run.err
    assert "Traceback" not in run.err
    assert "Traceback (most recent call last)" in report.read_text()


def test_a_report_that_cannot_be_written_changes_nothing(
    hpbuild: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HPBUILD_BUG_REPORT", str(tmp_path / "absent" / "bug.txt"))
    monkeypatch.setattr(app, "dispatch", raising(ZeroDivisionError("x")))
    run = hpbuild("diff", "a", "b", "-v")
    assert run.status == 70
    assert "no report: No such file or directory" in run.err


def test_out_of_memory_is_a_limit(hpbuild: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "dispatch", raising(MemoryError()))
    run = hpbuild("diff", "a", "b", "-v", "--format", "json")
    assert run.status == 5
    assert run.document()["error"]["code"] == "HP9006"


def test_a_full_disk_is_a_limit(hpbuild: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.hpb")
    monkeypatch.setattr(app, "dispatch", raising(error))
    run = hpbuild("diff", "a", "b", "-v")
    assert run.status == 5
    assert "HP9005" in run.err
    assert "out.hpb" in run.err


def test_interruption_has_its_code(hpbuild: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "dispatch", raising(KeyboardInterrupt()))
    run = hpbuild("diff", "a", "b", "-v", "--format", "json")
    assert run.status == 1
    assert run.document()["error"]["code"] == "HP9002"


def test_usage_error_is_the_base_of_the_public_one() -> None:
    assert app.USAGE_ERROR.__name__ == "UsageError"


def test_dispatch_raises_codes() -> None:
    with pytest.raises(HpbuildError) as caught:
        app.dispatch(["nonsense"])
    assert caught.value.code.id == "HP9001"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_stdout_is_not_a_success(process: Runner) -> None:
    with Path("/dev/full").open("w") as full:
        run = process("schema", "manifest", stdout=full)
    assert run.status == 5
    assert "HP9005" in run.err
    assert "Traceback" not in run.err
    assert "Exception ignored" not in run.err


def test_closed_stdout_keeps_the_status_and_says_nothing(process: Runner) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = process("explain", "--all", stdout=writing)
    finally:
        os.close(writing)
    assert run.status == 0
    assert run.err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals work otherwise on Windows")
def test_ctrl_c_in_a_real_process(root: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    wait = (
        "import pathlib, sys, time; import hpbuild.cli.app as app\n"
        f"app.dispatch = lambda arguments: (pathlib.Path({str(started)!r}).touch(), time.sleep(600))\n"
        "from hpbuild.cli.main import run; run()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", wait, "diff", "a", "b", "-v"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as running:
        try:
            deadline = time.monotonic() + 300
            while not started.exists() and running.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=300)
        finally:
            running.kill()
    assert running.returncode == 1
    assert "HP9002" in err
    assert "Traceback" not in err


def ended(root: Path, before: str) -> subprocess.CompletedProcess[str]:
    """``hpbuild --version`` with some code before it."""
    script = f"import atexit, sys; sys.argv = ['hpbuild', '--version']; {before}\n"
    return subprocess.run(
        [sys.executable, "-c", f"{script}from hpbuild.cli.main import run; run()"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_what_is_registered_for_the_end_is_done_before_it(root: Path) -> None:
    run = ended(root, "atexit.register(print, 'late'); atexit.register(sys.stderr.write, 'words')")
    assert (run.returncode, run.stderr) == (0, "words")
    assert run.stdout.splitlines()[1:] == ["late"]


def test_the_end_waits_for_threads(root: Path) -> None:
    wait = "import threading, time; threading.Thread(target=lambda: (time.sleep(0.5), print('done'))).start()"
    run = ended(root, wait)
    assert (run.returncode, run.stdout.splitlines()[1:]) == (0, ["done"])


def test_a_profile_is_told(root: Path) -> None:
    run = ended(root, "import cProfile; p = cProfile.Profile(); p.enable(); atexit.register(p.print_stats)")
    assert run.returncode == 0
    assert "function calls" in run.stdout


def test_fail_what_cannot_be_written_at_the_end_is_told(root: Path) -> None:
    run = ended(root, "import os; atexit.register(lambda: (os.close(1), print('late')))")
    assert run.returncode == 120  # the interpreter's own
    assert "Bad file descriptor" in run.stderr
