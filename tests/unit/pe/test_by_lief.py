"""LIEF's reading, and Ctrl-C while it is at work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpbuild.pe.by_lief import read_by_lief

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

PRESSED_ALL_THE_TIME = """
import signal, sys
from hpbuild.pe.by_lief import read_by_lief
import concurrent.futures, enum, inspect, re, tempfile, typing
def interrupt(*_):  # once: whoever is at work on the first one must not be met by the next
    global interrupted
    if not interrupted:
        interrupted = True
        raise KeyboardInterrupt
interrupted = False
signal.signal(signal.SIGINT, interrupt)
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
data = open(sys.argv[1], "rb").read()
try:
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    with read_by_lief(data) as (lief, binary):
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(binary is not None, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@POSIX
def test_ctrl_c_does_not_abort_an_import(root: Path, binaries: Path) -> None:
    """Unless held, the process dies of SIGABRT or SIGSEGV while LIEF is imported."""
    arguments = [sys.executable, "-c", PRESSED_ALL_THE_TIME, str(binaries / "baseline" / "codec.dll")]
    run = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.splitlines()[-1:]) == (0, ["interrupted"]), run.stderr


def test_none_for_what_is_no_image() -> None:
    with read_by_lief(b"MZ" + bytes(100)) as (_, binary):
        assert binary is None
