"""Threads call what is patched, without pause, while apply and revert alternate a thousand times."""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from hpbuild.apply.live.driver import open_session
from hpbuild.apply.live.order import Order
from hpbuild.apply.live.preparing import prepare
from hpbuild.apply.live.protocol import Reply
from hpbuild.pe.processes import Process, open_process
from hpbuild.pipeline import BuildRequest, assemble, build
from tests.live.codec import (
    CALLS,
    NEW,
    OLD,
    package,
    request,
    running,
    start_threads,
    versions,
    wait_for_calls,
)
from tests.live.packages import Packages
from tests.live.wine import Counts, Host, Wine

THREADS = 16
ALTERNATIONS = int(os.environ.get("STRESS_ALTERNATIONS", "1000"))
FIGURES = "STRESS_FIGURES"
"""Names a file for the figures of docs/live.md."""


def order_for(bundle: bytes, host: Host, process: Process) -> Order:
    order = prepare(request(bundle, host), process).order
    assert order is not None
    return replace(order, window_limit_ms=20_000)  # threads without processor time may stand in the way


def alternate(process: Process, order: Order, times: int) -> Reply:
    """Apply and revert in turn through one session, ``times`` commands; what the agent counted."""
    with open_session(process) as session:
        for _ in range(times // 2):
            assert session.apply(order).result == "applied"
            assert session.revert(order.id).result == "reverted"
        return session.status()


def until_both_have_answered(process: Process, order: Order, host: Host, groups: list[int]) -> None:
    """Alternate on where the threads had too little of the processor to call both versions."""
    for _ in range(100):
        if all(min(host.counts(group).each) > 0 for group in groups):
            return
        alternate(process, order, 20)


def resident_pages(pid: int) -> int:
    """Memory of the process, in pages (proc_pid_statm(5))."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def note(name: str, status: Reply, counts: list[Counts]) -> None:
    path = os.environ.get(FIGURES)
    if path:
        calls = sum(item.calls for item in counts)
        longest = max(item.longest_us for item in counts)
        figures = {"waits": asdict(status.waits), "looks": asdict(status.looks), "calls": calls}
        with Path(path).open("a") as file:
            file.write(json.dumps({"name": name, "longest_call_us": longest, **figures}) + "\n")


LOWER_LEFT = ("i gadget_lower_left -5", "-5", "39")
"""A function with filler before it, so that it is redirected by a pad-jump."""
BOTH = (*CALLS, *(LOWER_LEFT,) * 4)


def both(binaries: Path, folder: Path) -> tuple[Path, bytes]:
    """A folder with the baselines of both libraries, and the package for both."""
    pad_jump = binaries / "variants" / "pad_jump"
    for side in ("baseline", "fixed"):
        (folder / side).mkdir(parents=True)
        for path in (binaries / side / "codec.dll", pad_jump / side / "gadget.dll"):
            shutil.copy(path, folder / side)
    request = BuildRequest(
        baseline=folder / "baseline", fixed=folder / "fixed", id="STRESS", sequence=1, product="stress",
        advisories=(), created="", symbols="none",
    )  # fmt: skip
    return folder / "baseline", assemble(build(request, lambda *_: None))


def test_a_thousand_alternations(wine: Wine, binaries: Path, tmp_path: Path) -> None:
    folder, bundle = both(binaries, tmp_path)
    with wine.host(folder, "codec.dll", "gadget.dll") as host, open_process(host.pid) as process:
        order = order_for(bundle, host, process)
        kinds = {item.kind for part in order.modules for item in part.redirections}
        assert kinds == {"entry-jump", "pad-jump"}
        groups = start_threads(host, THREADS, BOTH)
        alternate(process, order, 20)
        wait_for_calls(host, groups)
        before = resident_pages(host.pid)
        status = alternate(process, order, ALTERNATIONS)
        grown = resident_pages(host.pid) - before
        until_both_have_answered(process, order, host, groups)
        counts = [host.stop(group) for group in groups]
        assert versions(host) == OLD
    note("both kinds", status, counts)
    for count, (call, _, _) in zip(counts, BOTH, strict=True):
        assert (count.wrong, count.raised) == (0, 0), call
        assert min(count.each) > 0, f"{call}: both versions have to have answered"
    assert grown < 256, "pages: a thousand alternations may not take memory"


def test_pad_jumps_stop_nobody(wine: Wine, packages: Packages, binaries: Path, tmp_path: Path) -> None:
    folder = binaries / "variants" / "pad_jump"
    bundle = packages.build(folder / "baseline" / "gadget.dll", folder / "fixed" / "gadget.dll", "auto")
    shutil.copy(folder / "baseline" / "gadget.dll", tmp_path)
    with wine.host(tmp_path, "gadget.dll") as host, open_process(host.pid) as process:
        order = order_for(bundle, host, process)
        assert {item.kind for part in order.modules for item in part.redirections} == {"pad-jump"}
        (group,) = start_threads(host, THREADS, (LOWER_LEFT,))
        status = alternate(process, order, ALTERNATIONS // 5)
        until_both_have_answered(process, order, host, [group])
        counts = host.stop(group)
        assert host.call(LOWER_LEFT[0]) == LOWER_LEFT[1]
    note("pad-jump alone", status, [counts])
    assert (counts.wrong, counts.raised) == (0, 0)
    assert min(counts.each) > 0
    assert status.looks.count == 0


def test_the_last_state_holds(wine: Wine, packages: Packages, binaries: Path, tmp_path: Path) -> None:
    bundle = package(packages, binaries)
    with running(wine, binaries, tmp_path / "app") as host, open_process(host.pid) as process:
        groups = start_threads(host, THREADS)
        order = order_for(bundle, host, process)
        alternate(process, order, 10)
        with open_session(process) as session:
            assert session.apply(order).result == "applied"
        counts = [host.stop(group) for group in groups]
        assert versions(host) == NEW
    assert all((count.wrong, count.raised) == (0, 0) for count in counts)
