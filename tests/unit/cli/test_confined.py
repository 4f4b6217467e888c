"""The child process: its bounds, its end, its answer. Work of every bad kind, then real files."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hpbuild.bundle.layout import MANIFEST
from hpbuild.cli import verifying
from hpbuild.cli.bounds import LEAST_MEMORY, MIB, MOST_MEMORY, Bounds, bounds, default_memory
from hpbuild.cli.confined import ANSWER, LOG_SIZE, confined
from hpbuild.codes import cli as codes
from hpbuild.codes import pe
from hpbuild.errors import Code, ExitStatus, HpbuildError
from hpbuild.verify import Verification, VerifyRequest, verify

Runner = Callable[..., Any]
WIDE = Bounds(memory=1 << 40, cpu=600, seconds=600)
PATIENCE = 300
"""Seconds to wait for what is bound to come."""
HIDDEN = "\x1b[2Jgone"


def refused(work: Callable[[], Any], code: Code, within: Bounds = WIDE) -> HpbuildError:
    """The error that ``confined`` raises, after the check that no process is left behind."""
    before = children()
    with pytest.raises(HpbuildError) as raised:
        confined(work, within, "x.hpb")
    assert raised.value.code is code
    assert children() <= before
    return raised.value


def children() -> set[int]:
    """Processes that this one has started. Others than a test's are among them, which may end at any time:
    Wine, a pool that another test has left. The system's own list of children leaves some out when one ends
    while it is read."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.add(int(folder.name))
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the second when it ends between opening and reading
        return False
    return state not in "ZX"


def wait_until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.05)
    pytest.fail("it did not come")


def test_the_document_comes_back_as_it_is() -> None:
    document = {"b": [1, None, {"ü\u2028": "\x1b"}], "a": True, "big": 2**53 - 1}
    before = children()
    found = confined(lambda: document, WIDE, "x.hpb")
    assert (found, list(found)) == (document, ["b", "a", "big"])
    assert children() <= before


def test_work_is_done_in_another_process_of_its_own_group() -> None:
    found = confined(lambda: {"pid": os.getpid(), "group": os.getpgid(0)}, WIDE, "x.hpb")
    assert found["pid"] == found["group"] != os.getpid()


def test_a_name_that_is_not_utf8_is_spelled_out() -> None:
    assert confined(lambda: {"path": "a\udc80b"}, WIDE, "x.hpb") == {"path": "a\\udc80b"}


def test_a_finding_comes_back_as_the_error_that_it_was() -> None:
    def work() -> Any:
        raise HpbuildError(pe.NOT_A_PE, f"a{HIDDEN}\udc80", "cause\n")

    error = refused(work, pe.NOT_A_PE)
    assert (error.finding.place, error.finding.cause) == (f"a{HIDDEN}\\udc80", "cause\n")


def test_a_missing_file_and_a_defect_are_told_as_ever(tmp_path: Path) -> None:
    refused(lambda: {"x": (tmp_path / "absent").read_bytes()}, codes.FILE_UNUSABLE)
    refused(lambda: {"x": 1 // 0}, codes.INTERNAL_ERROR)


def test_memory_is_bounded() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    within = Bounds(memory=used + 64 * MIB, cpu=600, seconds=600)
    error = refused(lambda: {"x": len(bytes(128 * MIB))}, codes.CHILD_MEMORY, within)
    assert error.finding.cause == f"more than {within.memory // MIB} MiB"
    assert confined(lambda: {"x": len(bytes(16 * MIB))}, within, "x.hpb") == {"x": 16 * MIB}


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("lief.so: failed to map segment from shared object"),
    ],
)
def test_every_lack_of_memory_is_told_as_such(error: Exception) -> None:
    def work() -> Any:
        raise error

    refused(work, codes.CHILD_MEMORY)


def test_a_library_that_dies_for_want_of_memory_is_told_as_such() -> None:
    def work() -> Any:
        os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
        os.abort()

    refused(work, codes.CHILD_MEMORY)


def test_processor_time_is_bounded() -> None:
    def work() -> Any:
        while True:
            pass

    refused(work, codes.CHILD_PROCESSOR, Bounds(memory=1 << 40, cpu=1, seconds=600))


def test_time_by_the_clock_is_bounded() -> None:
    refused(lambda: {"x": time.sleep(600)}, codes.CHILD_CLOCK, Bounds(memory=1 << 40, cpu=60, seconds=1))


def test_a_child_that_closes_its_pipes_and_stays_is_ended() -> None:
    def work() -> Any:
        os.closerange(0, 100)
        time.sleep(600)

    refused(work, codes.CHILD_CLOCK, Bounds(memory=1 << 40, cpu=60, seconds=1))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_child_that_a_signal_ends_has_a_code(number: signal.Signals) -> None:
    error = refused(lambda: {"x": os.kill(os.getpid(), number)}, codes.CHILD_CRASHED)
    assert error.finding.cause == f"ended by signal {number.name}"
    assert error.code.exit is ExitStatus.LIMIT


def test_a_real_crash_of_native_code_has_a_code() -> None:
    error = refused(lambda: {"x": ctypes.memset(8, 0, 1)}, codes.CHILD_CRASHED)
    assert "SIGSEGV" in error.finding.cause


def test_an_end_without_an_answer_has_a_code_and_keeps_the_last_words() -> None:
    def work() -> Any:
        os.write(1, b"x" * 3 * LOG_SIZE)
        os.write(2, HIDDEN.encode())
        os._exit(3)

    error = refused(work, codes.CHILD_CRASHED)
    assert error.finding.cause.startswith("exit status 3: xxx")
    assert error.finding.cause.endswith(HIDDEN)
    assert len(error.finding.cause) < LOG_SIZE + 100


def answering(raw: bytes) -> Callable[[], Any]:
    """Work of a reader that has been taken over: it writes ``raw`` where the answer goes and ends well."""

    def work() -> Any:
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
            number = int(name)
            if number > 2 and Path(f"/proc/self/fd/{number}").exists():
                try:
                    left = memoryview(raw)
                    while left:
                        left = left[os.write(number, left) :]
                except OSError:
                    continue  # the pipe that is only read
        os._exit(0)

    return work


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"{}",
        b'{"document": 1}',
        b'{"document": {}, "document": {}}',
        b'{"document": {}, "error": {}}',
        b'{"document": {"x": NaN}}',
        b'{"document": {"x": 1.5}}',
        b'{"document": {}} ' + b"{}",
        b'{"document": ' + b"[" * 100_000,
        b'{"error": {"code": "HP0000", "place": "", "cause": ""}}',
        b'{"error": {"code": "HP9006"}}',
        b"\x80\x04N.",
    ],
)
def test_an_answer_that_is_none_has_a_code(raw: bytes) -> None:
    refused(answering(raw), codes.CHILD_ANSWER)


def test_an_endless_answer_has_a_code() -> None:
    refused(answering(bytes(ANSWER.size + 1)), codes.CHILD_ANSWER)


def test_what_the_child_started_ends_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def start() -> None:
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
        note.write_text(str(pid))

    def work() -> Any:
        start()
        os.closerange(3, 100)
        os._exit(0)

    # It holds the pipes open, so that only the clock tells that no answer comes.
    for seconds in (1, 10, 100):
        refused(work, codes.CHILD_CLOCK, Bounds(memory=1 << 40, cpu=600, seconds=seconds))
        if note.exists() and note.read_text():
            break  # otherwise it was ended before it had come so far
    wait_until(lambda: not alive(int(note.read_text())))


def test_the_child_has_no_descriptor_of_its_parent(tmp_path: Path) -> None:
    with (tmp_path / "secret").open("wb") as secret:
        inherited = secret.fileno()

        def work() -> Any:
            names = [str(item.readlink()) for item in Path("/proc/self/fd").iterdir() if item.is_symlink()]
            return {"open": [name for name in names if not name.startswith("/proc/")]}

        os.set_inheritable(inherited, True)
        opened = confined(work, WIDE, "x.hpb")["open"]
    assert sorted(name.partition(":")[0] for name in opened) == ["/dev/null", "pipe", "pipe", "pipe", "pipe"]


SCRIPT = """
import os, sys, time
from pathlib import Path
from hpbuild.cli.bounds import Bounds
from hpbuild.cli.confined import confined
def work():
    Path(sys.argv[1]).write_text(str(os.getpid()))
    time.sleep(600)
confined(work, Bounds(1 << 40, 60, 600), "x")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_child_ends_with_its_parent(tmp_path: Path, root: Path, number: signal.Signals) -> None:
    note = tmp_path / "pid"
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(note)],
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: note.exists() and note.read_text() != "")
        child = int(note.read_text())
        assert alive(child)
        parent.send_signal(number)
        parent.wait(PATIENCE)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not alive(child))


def test_ends_of_children_that_were_to_be_ignored(root: Path, package: Any) -> None:
    """As whoever starts this may have it."""
    script = (
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
        "from hpbuild.cli.main import run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "inspect", str(package.path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_bounds_come_from_the_options() -> None:
    assert bounds(100, 2, 3) == Bounds(100 * MIB, 2, 3)
    assert bounds(None, 2, 3).memory == default_memory() * MIB
    assert LEAST_MEMORY <= default_memory() <= MOST_MEMORY


# Real files


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory, making: Any, binaries: Path) -> Path:
    """A package whose manifest is JSON within all limits and takes a long time and much memory to read."""
    folder = tmp_path_factory.mktemp("heavy")
    release = making.make_release(["codec.dll"], folder, binaries, ())
    members = release.members() | {MANIFEST: b"[" + b",".join([b'["\\u00e9\\u00e8"]'] * 1_990_000) + b"]"}
    path = folder / "heavy.hpb"
    path.write_bytes(making.seal(members, making.make_statement(release.manifest, members), ()))
    return path


def verified(hpbuild: Runner, *arguments: object) -> tuple[int, list[list[str]]]:
    """Exit status, and the codes of each package's own findings."""
    run = hpbuild("verify", *arguments, "--allow-unsigned", "--format", "json")
    entries = run.document()["packages"]
    return run.status, [[item["code"] for item in entry["findings"]] for entry in entries]


@pytest.mark.parametrize(("option", "code"), [("--max-cpu", "HP9017"), ("--max-seconds", "HP9018")])
def test_a_package_without_end_does_not_keep_others_from_being_checked(
    hpbuild: Runner, package: Any, monkeypatch: pytest.MonkeyPatch, option: str, code: str
) -> None:
    """A reader that has been taken over by one package. The other one gets the same limit, which is raised as
    long as this machine is too slow for it."""

    def taken_over(request: VerifyRequest) -> Verification:
        while Path(request.name).name == "endless.hpb":
            pass
        return verify(request)

    monkeypatch.setattr(verifying, "verify", taken_over)
    endless, plain = package.beside("endless.hpb"), package.beside("plain.hpb")
    for limit in (1, 10, 100):
        limits = {"--max-cpu": 600, "--max-seconds": 600} | {option: limit}
        given = [item for pair in limits.items() for item in pair]
        status, found = verified(hpbuild, endless, plain, *given)
        assert (status, found[0]) == (5, [code])
        if not found[1]:
            break
    assert found[1] == []


def test_a_file_that_takes_too_much_memory(process: Runner, package: Any, tmp_path: Path) -> None:
    """In a process of its own: this one's address space, which a child has too, is as large as the tests
    before have made it."""
    plain = package.beside("plain.hpb")
    large = tmp_path / "codec.dll"
    with large.open("wb") as stream:
        stream.truncate(2000 * MIB)  # sparse: it takes no disk
    assert verified(process, plain, "--installed", large, "--max-memory", 1500) == (5, [["HP9016"]])
    status, found = verified(process, plain, "--installed", package.baseline, "--max-memory", 1500)
    assert (status, found) == (0, [[]])


def test_inspect_is_bounded_too(hpbuild: Runner, heavy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPBUILD_MAX_SECONDS", "1")
    run = hpbuild("inspect", heavy)
    assert run.status == 5
    assert "HP9018" in run.err


@pytest.mark.parametrize("command", [["verify", "--allow-unsigned"], ["inspect"]])
def test_without_fork_a_fresh_interpreter_gives_the_same(
    process: Runner, package: Any, command: list[str], root: Path, binaries: Path
) -> None:
    files = [package.beside("one.hpb"), package.beside("two.hpb", id="other")][
        : 2 if "verify" in command else 1
    ]
    for form in ("text", "json"):
        arguments = [*command, *map(str, files), "--format", form]
        if "verify" in command:
            arguments += ["--installed", str(binaries / "baseline" / "codec.dll"), "--verbose"]
        forked = process(*arguments)
        fresh = subprocess.run(
            [
                sys.executable,
                "-c",
                "import os; del os.fork; from hpbuild.cli.main import run; run()",
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert forked.status == fresh.returncode == 0
        assert without_times(fresh.stdout) == without_times(forked.out)


def test_fail_a_stray_variable_makes_no_child_of_a_command(
    process: Runner, package: Any, tmp_path: Path
) -> None:
    """A child ends with 0 when it could answer, whatever the answer is."""
    plain = package.beside("plain.hpb")
    for number in ("", "0", "1"):
        stray = {"HPBUILD_CHILD": number}
        assert process("verify", plain, "--key", package.public, env=stray).status == 1
        assert process("inspect", tmp_path / "missing", env=stray).status != 0
        good = process("verify", package.path, "--key", package.public, env=stray)
        assert (good.status, good.out.startswith("{")) == (0, False)


def test_fail_a_stray_variable_does_not_keep_a_state_from_being_written(
    process: Runner, package: Any, tmp_path: Path
) -> None:
    state, out = tmp_path / "state", tmp_path / "codec.dll"
    run = process(
        "apply", package.path, "--offline", "--installed", package.baseline, "-o", out,
        "--key", package.public, "--state", state, env={"HPBUILD_CHILD": "0"},
    )  # fmt: skip
    assert (run.status, state.exists()) == (0, True)


def test_fail_a_fresh_interpreter_loads_nothing_from_the_current_folder(
    root: Path, package: Any, tmp_path: Path
) -> None:
    for name in ("hpbuild", "cryptography"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("open('loaded', 'w').close()\n")
    script = (
        f"import os, sys; sys.path[0] = {str(root)!r}; del os.fork; from hpbuild.cli.main import run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "verify", str(package.path), "--key", str(package.public)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert not (tmp_path / "loaded").exists()
    assert done.returncode == 0, done.stderr


def test_fail_a_fresh_interpreter_that_comes_to_no_work(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hpbuild.cli.fresh", "0", "explain", "HP9001"],
        capture_output=True,
        check=False,
        cwd=root,
    )
    assert done.returncode == 1


def without_times(text: str) -> str:
    return re.sub(r"[0-9-]{10}T[0-9:]{8}Z", "", text)


@pytest.mark.parametrize(("option", "code"), [("--max-cpu", "HP9017"), ("--max-seconds", "HP9018")])
def test_a_fresh_interpreter_is_bounded_too(heavy: Path, root: Path, option: str, code: str) -> None:
    script = "import os; del os.fork; from hpbuild.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", script, "inspect", str(heavy), option, "1"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 5
    assert code in done.stderr


def test_nothing_that_the_child_prints_reaches_the_terminal(
    process: Runner, root: Path, package: Any
) -> None:
    script = (
        "import os, sys\n"
        "import hpbuild.cli.inspecting as inspecting\n"
        "def taken_over(path, **how):\n"
        "    os.write(1, b'out\\x1b[2J'); os.write(2, b'err\\x1b[2J'); os.kill(os.getpid(), 11)\n"
        "inspecting._package = taken_over\n"
        "from hpbuild.cli.main import run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "inspect", str(package.path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert (done.returncode, done.stdout) == (5, "")
    assert "HP9019" in done.stderr
    assert "out\\x1b[2Jerr\\x1b[2J" in done.stderr
    assert "\x1b" not in done.stderr
