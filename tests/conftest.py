"""What all tests share: paths, and the rule that continuous integration skips nothing for want of a tool."""

import ctypes
import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

MISSING_TOOL = "missing tool"
ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """A shell without job control starts what it puts in the background deaf to Ctrl-C, and children inherit
    that: tests that interrupt a command would wait for ever. Likewise nobody who inherits that ends of
    children are ignored can wait for one."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands keep what they analyse in a folder of the tests, not in the user's. The compiler's own cache
    stays where it is. Their output is buffered, as usual, also in containers that have it otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        patch.setenv("ZIG_GLOBAL_CACHE_DIR", os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(caches / "zig"))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        patch.delenv("PYTHONUNBUFFERED", raising=False)
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The committed example binaries: `baseline/`, `fixed/`, `variants/NAME/{baseline,fixed}/`."""
    return ROOT / "testdata" / "bin"


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """A function from the name of a program to its path; skips the test when it is not installed."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{MISSING_TOOL}: {name}")
        return path

    return find


def _tool_was_missing(report: pytest.TestReport | pytest.CollectReport) -> bool:
    """Whether *report* is a skip whose reason begins with the marker."""
    if not report.skipped or not isinstance(report.longrepr, tuple):
        return False
    return report.longrepr[2].removeprefix("Skipped: ").startswith(MISSING_TOOL)


def _fail_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI", "").lower() in ("1", "true", "yes") and _tool_was_missing(report):
        report.outcome = "failed"
        report.longrepr = f"{report.longrepr[2]} (nothing may be skipped for that when CI is set)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_in_ci(report)
    return report


_CAPABILITY_VERSION = 0x20080522
_READ_AND_WRITE_ALL = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (linux/capability.h)."""


@pytest.fixture
def mortal() -> Iterator[None]:
    """Takes the superuser's right to read and write every file away while a test runs."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    assert libc.capget(head, sets) == 0, os.strerror(ctypes.get_errno())
    before = sets[0]
    sets[0] &= ~_READ_AND_WRITE_ALL
    assert libc.capset(head, sets) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        sets[0] = before
        assert libc.capset(head, sets) == 0, os.strerror(ctypes.get_errno())
