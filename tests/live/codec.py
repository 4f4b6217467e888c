"""codec.dll in a running host: which version answers, the threads that call it, the package for it."""

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from hpbuild.apply.live.result import LiveRequest
from hpbuild.verify import Policy
from tests.live.packages import Packages
from tests.live.wine import LIMIT, Host, Wine

UNSIGNED = Policy(allow_unsigned=True)
CALLS = (
    ("s codec_status_text -9", '"unknown codec"', '"unknown status"'),
    (r'u codec_transform "\x0a" 1 4660', "0", "4294962635"),
    (r'i codec_decode "runlength" "\x03a\x02" 3 $1 64', "3", "-1"),
    ('i codec_decode "base64" "QUJDR" 5 $2 64', "3", "-1"),
)
"""A call of each changed function, and what baseline and fixed version answer."""
OLD, NEW = "oooo", "nnnn"


def versions(host: Host) -> str:
    """Who answers each call: o the baseline, n the fixed version, x neither."""
    answers = host.calls([call for call, _, _ in CALLS])
    pairs = zip(answers, CALLS, strict=True)
    return "".join({old: "o", new: "n"}.get(answer, "x") for answer, (_, old, new) in pairs)


def start_threads(host: Host, threads: int, calls: Sequence[tuple[str, str, str]] = CALLS) -> list[int]:
    """Groups of threads that make the calls without pause; any other answer than the two counts as wrong.

    They get what processor time is left over: two processors are to serve Wine and the agent as well."""
    tasks = Path(f"/proc/{host.pid}/task")
    before = set(tasks.iterdir())
    share = threads // len(calls)
    groups = [host.start(share, call, [old, new]) for call, old, new in calls]
    for task in set(tasks.iterdir()) - before:
        with contextlib.suppress(ProcessLookupError):  # one of Wine's own, which has ended
            os.setpriority(os.PRIO_PROCESS, int(task.name), 10)
    return groups


def wait_for_calls(host: Host, groups: Sequence[int]) -> None:
    """Until threads of every group have made a call."""
    for group in groups:
        end = time.monotonic() + LIMIT
        while not host.counts(group).calls:
            assert time.monotonic() < end, f"group {group} makes no calls"
            time.sleep(0.01)


def installed(binaries: Path, folder: Path, side: str = "baseline") -> Path:
    """A folder with codec.dll in it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(binaries / side / "codec.dll", folder)
    return folder


def package(packages: Packages, binaries: Path) -> bytes:
    """The package that turns one version into the other."""
    return packages.build(binaries / "baseline" / "codec.dll", binaries / "fixed" / "codec.dll", "auto")


def running(wine: Wine, binaries: Path, folder: Path) -> Host:
    """A host that has loaded the baseline; to be used in a `with`."""
    return wine.host(installed(binaries, folder), "codec.dll")


def request(bundle: bytes, host: Host) -> LiveRequest:
    """What ``apply_live`` and its like take."""
    return LiveRequest(bundle=bundle, name="test.hpb", policy=UNSIGNED, pid=host.pid)
