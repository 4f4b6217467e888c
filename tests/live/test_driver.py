"""The driver: what it does, what it refuses, and what is left when it is killed."""

import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hpbuild.apply.live.binaries import find_binaries
from hpbuild.apply.live.driver import Session, has_ended, open_session
from hpbuild.apply.live.host import host_of
from hpbuild.apply.live.order import Order
from hpbuild.apply.live.patching import apply_live, revert_every, revert_live
from hpbuild.apply.live.preparing import prepare
from hpbuild.apply.live.protocol import Reply
from hpbuild.apply.live.result import LiveResult, LiveVerdict
from hpbuild.apply.live.standing import Standing, StandingVerdict, standing_of
from hpbuild.apply.live.status import read_journal
from hpbuild.codes import driver as codes
from hpbuild.codes import live, process
from hpbuild.errors import ExitStatus, HpbuildError
from hpbuild.pe.processes import Process, open_process
from hpbuild.pipeline import BuildRequest, assemble, build
from tests.live.codec import NEW, OLD, installed, package, request, running, start_threads, versions
from tests.live.packages import Packages
from tests.live.wine import LIMIT, Host, Wine

KILLS, MOST_KILLS = 30, 60


def codes_of(result: LiveResult) -> list[str]:
    return [item.code.id for item in result.findings]


def built(binaries: Path, identity: str, sequence: int, only: tuple[str, ...] = ()) -> bytes:
    """A package of the line `codec`."""
    return assemble(
        build(
            BuildRequest(
                baseline=binaries / "baseline" / "codec.dll",
                fixed=binaries / "fixed" / "codec.dll",
                id=identity,
                sequence=sequence,
                product="codec",
                advisories=(),
                created="",
                symbols="auto",
                only=only,
            ),
            lambda *_: None,
        )
    )


def test_apply_and_revert(wine: Wine, packages: Packages, binaries: Path, tmp_path: Path) -> None:
    bundle = package(packages, binaries)
    with running(wine, binaries, tmp_path) as host:
        wanted = request(bundle, host)
        assert standing_of(host.pid, wanted).verdict is StandingVerdict.OLD
        applied = apply_live(wanted)
        assert (applied.verdict, applied.status) == (LiveVerdict.APPLIED, ExitStatus.YES)
        assert versions(host) == NEW
        (module,) = applied.modules
        assert (module.before, module.after, module.redirections) == ("applicable", "applied", 4)
        assert applied.windows_pid == host.windows_pid
        again = apply_live(wanted)
        assert (again.verdict, again.status) == (LiveVerdict.ALREADY_APPLIED, ExitStatus.YES)
        standing = standing_of(host.pid, wanted)
        assert (standing.verdict, standing.status) == (StandingVerdict.NEW, ExitStatus.YES)
        assert standing.journal is not None
        assert [item.id for item in standing.journal.packages] == ["TEST-1"]
        assert standing_of(host.pid).verdict is StandingVerdict.NEW
        reverted = revert_live(wanted)
        assert (reverted.verdict, reverted.status) == (LiveVerdict.REVERTED, ExitStatus.YES)
        assert versions(host) == OLD
        assert standing_of(host.pid, wanted).verdict is StandingVerdict.OLD


def test_a_newer_package_takes_over_and_an_older_one_is_refused(
    wine: Wine, binaries: Path, tmp_path: Path
) -> None:
    first = built(binaries, "KB-1", 1, ("codec_status_text", "codec_transform"))
    second = built(binaries, "KB-2", 2)
    with running(wine, binaries, tmp_path) as host:
        assert apply_live(request(first, host)).verdict is LiveVerdict.APPLIED
        assert versions(host) == "nnoo"
        asked = standing_of(host.pid, request(second, host))
        assert (asked.verdict, asked.status) == (StandingVerdict.OTHER, ExitStatus.NOT_APPLICABLE)
        result = apply_live(request(second, host))
        assert (result.verdict, result.status) == (LiveVerdict.REPLACED, ExitStatus.YES), result.findings
        assert versions(host) == NEW
        older = apply_live(request(first, host))
        assert older.verdict is LiveVerdict.REFUSED
        assert codes_of(older) == [live.OLDER_SEQUENCE.id]
        assert older.status is ExitStatus.NOT_APPLICABLE
        assert versions(host) == NEW
        journal, reply = revert_every(host.pid)
        assert [item.id for item in journal.packages] == ["KB-2"]
        assert reply.result == "reverted"
        assert versions(host) == OLD


def test_nothing_to_revert(wine: Wine, packages: Packages, binaries: Path, tmp_path: Path) -> None:
    bundle = package(packages, binaries)
    with running(wine, binaries, tmp_path) as host:
        attempts: tuple[Callable[[], object], ...] = (
            lambda: revert_live(request(bundle, host)),
            lambda: revert_every(host.pid),
        )
        for attempt in attempts:
            with pytest.raises(HpbuildError) as caught:
                attempt()
            assert caught.value.code is codes.NOT_IN_EFFECT


def test_nothing_loaded(wine: Wine, packages: Packages, binaries: Path, tmp_path: Path) -> None:
    bundle = package(packages, binaries)
    with wine.host(installed(binaries, tmp_path)) as host:
        result = apply_live(request(bundle, host))
        assert (result.verdict, result.status) == (LiveVerdict.REFUSED, ExitStatus.NOT_APPLICABLE)
        assert process.NONE_LOADED.id in codes_of(result)
        assert standing_of(host.pid, request(bundle, host)).verdict is StandingVerdict.NOT_LOADED


def test_a_file_that_is_gone(wine: Wine, packages: Packages, binaries: Path, tmp_path: Path) -> None:
    bundle = package(packages, binaries)
    with running(wine, binaries, tmp_path) as host:
        (tmp_path / "codec.dll").unlink()
        with pytest.raises(HpbuildError) as caught:
            apply_live(request(bundle, host))
        assert caught.value.code is codes.FILE_UNKNOWN
        assert versions(host) == OLD


def test_a_foreign_hook(wine: Wine, packages: Packages, binaries: Path, tmp_path: Path) -> None:
    bundle = package(packages, binaries)
    with running(wine, binaries, tmp_path) as host:
        entry = host.number("address codec_status_text")
        host.do(f"poke {entry:#x} e900000000")
        result = apply_live(request(bundle, host))
        assert result.verdict is LiveVerdict.REFUSED
        assert result.status is ExitStatus.NOT_APPLICABLE
        assert {item.before for item in result.modules} == {"conflict"}
        assert read_journal_of(host) is None, "the verifier said no, so the agent was never there"


def read_journal_of(host: Host) -> object:
    with open_process(host.pid) as opened:
        return read_journal(opened)


def test_an_agent_that_is_not_there(wine: Wine, packages: Packages, binaries: Path, tmp_path: Path) -> None:
    def connect(opened: Process) -> Session:
        return Session(opened.windows_pid, host_of(opened), find_binaries(tmp_path))

    bundle = package(packages, binaries)
    with running(wine, binaries, tmp_path / "app") as host:
        result = apply_live(request(bundle, host), connect)
        assert (result.verdict, result.status) == (LiveVerdict.REFUSED, ExitStatus.UNAVAILABLE)
        assert codes_of(result) == [codes.AGENT_MISSING.id]


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent may be slow to end what it has begun."""
    for module in ("standing", "status"):
        monkeypatch.setattr(f"hpbuild.apply.live.{module}.PATIENCE", LIMIT)


def agreed(host: Host, bundle: bytes) -> Standing:
    """The status, once it says what calls show. A command whose courier was ended may begin only then."""
    expected = {StandingVerdict.OLD: OLD, StandingVerdict.NEW: NEW}
    end = time.monotonic() + LIMIT
    while True:
        standing = standing_of(host.pid, request(bundle, host))
        shown = versions(host)
        if shown == expected[standing.verdict]:
            return standing
        assert time.monotonic() < end, (standing.verdict, shown)
        time.sleep(0.05)


@pytest.mark.usefixtures("_patient")
def test_an_answer_that_nobody_waits_for(
    wine: Wine, packages: Packages, binaries: Path, tmp_path: Path
) -> None:
    """What the courier was told to do is done or not, and the status says which."""

    def connect(opened: Process) -> Session:
        return Session(opened.windows_pid, host_of(opened), find_binaries(), limit=0.0)

    bundle = package(packages, binaries)
    with running(wine, binaries, tmp_path) as host:
        result = apply_live(request(bundle, host), connect)
        assert (result.verdict, result.status) == (LiveVerdict.UNCERTAIN, ExitStatus.UNAVAILABLE)
        assert codes_of(result) == [codes.COURIER_SILENT.id]
        agreed(host, bundle)


def test_memory_that_shows_something_else(
    wine: Wine, packages: Packages, binaries: Path, tmp_path: Path
) -> None:
    bundle = package(packages, binaries)
    with running(wine, binaries, tmp_path) as host:
        entry = host.number("address codec_status_text")
        before = host.do(f"peek {entry:#x} 5")

        class Meddled(Session):
            """Somebody else writes to the process right after the agent."""

            def apply(self, order: Order) -> Reply:
                reply = super().apply(order)
                host.do(f"poke {entry:#x} {before}")
                return reply

        def connect(opened: Process) -> Session:
            return Meddled(opened.windows_pid, host_of(opened), find_binaries())

        result = apply_live(request(bundle, host), connect)
        assert (result.verdict, result.status) == (LiveVerdict.UNCERTAIN, ExitStatus.NO)
        assert codes_of(result) == [codes.MEMORY_DISAGREES.id]


def test_a_module_that_comes_later(wine: Wine, binaries: Path, tmp_path: Path) -> None:
    sides = {side: tmp_path / side for side in ("baseline", "fixed")}
    for side, folder in sides.items():
        folder.mkdir()
        for name in ("codec", "throwing"):
            shutil.copy(binaries / side / f"{name}.dll", folder)
            shutil.copy(binaries / side / f"{name}.pdb", folder)
    bundle = assemble(
        build(
            BuildRequest(
                baseline=sides["baseline"], fixed=sides["fixed"], id="KB-3", sequence=3, product="both",
                advisories=(), created="", symbols="auto",
            ),
            lambda *_: None,
        )
    )  # fmt: skip
    with wine.host(sides["baseline"], "codec.dll") as host:
        result = apply_live(request(bundle, host))
        assert (result.verdict, result.status) == (LiveVerdict.APPLIED, ExitStatus.YES), result.findings
        assert [module.loaded is not None for module in result.modules] == [True, False]
        host.do("load throwing.dll")
        later = apply_live(request(bundle, host))
        assert (later.verdict, later.status) == (LiveVerdict.REFUSED, ExitStatus.NOT_APPLICABLE)
        assert codes_of(later) == [codes.LOADED_LATER.id]
        assert revert_live(request(bundle, host)).verdict is LiveVerdict.REVERTED
        whole = apply_live(request(bundle, host))
        assert [module.after for module in whole.modules] == ["applied", "applied"]
        assert versions(host) == NEW


def alternate_without_end(session: Session, order: Order) -> None:
    while True:
        session.revert(order.id)
        session.apply(order)


def test_the_process_ends_midway(wine: Wine, packages: Packages, binaries: Path, tmp_path: Path) -> None:
    bundle = package(packages, binaries)
    with running(wine, binaries, tmp_path) as host, open_process(host.pid) as opened:
        order = prepare(request(bundle, host), opened).order
        assert order is not None
        with open_session(opened) as session:
            session.apply(order)
            assert not has_ended(opened)
            host.do("expire 300 7")
            with pytest.raises(HpbuildError) as caught:
                alternate_without_end(session, order)
        assert caught.value.code is live.PROCESS_GONE
        assert host.process.wait(LIMIT) == 7
        assert has_ended(opened)
        with pytest.raises(HpbuildError) as caught:
            standing_of(host.pid)
        assert caught.value.code in (process.NO_SUCH_PROCESS, process.PROCESS_GONE)


def test_two_drivers_at_once(wine: Wine, packages: Packages, binaries: Path, tmp_path: Path) -> None:
    bundle = package(packages, binaries)
    outcomes: list[str] = []  # to which two threads can append without losing anything

    def work(opened: Process, order: Order) -> None:
        with open_session(opened) as session:
            for _ in range(100):
                for command in (lambda: session.apply(order), lambda: session.revert(order.id)):
                    try:
                        outcomes.append(command().result)
                    except HpbuildError as error:
                        outcomes.append(error.code.id)

    with running(wine, binaries, tmp_path) as host, open_process(host.pid) as opened:
        groups = start_threads(host, 4)
        order = prepare(request(bundle, host), opened).order
        assert order is not None
        drivers = [threading.Thread(target=work, args=(opened, order)) for _ in range(2)]
        for driver in drivers:
            driver.start()
        for driver in drivers:
            driver.join(10 * LIMIT)
        counts = [host.stop(group) for group in groups]
        assert versions(host) in (OLD, NEW)
    assert all((count.wrong, count.raised) == (0, 0) for count in counts)
    assert len(outcomes) == 400
    allowed = {"applied", "already-applied", "reverted"} | {
        code.id for code in (live.BUSY, live.NOT_APPLIED, live.THREAD_IN_WINDOW)
    }
    assert set(outcomes) <= allowed


def wait_for_courier(wine: Wine, host: Host) -> None:
    """Until no courier works on the host any more."""
    deadline = time.monotonic() + LIMIT
    while (left := couriers(wine, host)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def couriers(wine: Wine, host: Host) -> set[int]:
    """Processes that run hpagent.exe for the host; other tests have theirs in other prefixes."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            theirs = (folder / "environ").read_bytes()
        except OSError:
            continue
        runs = b"hpagent.exe" in words[0] and str(host.windows_pid).encode() in words
        if runs and f"WINEPREFIX={wine.prefix}\0".encode() in theirs:
            found.add(int(folder.name))
    return found


@pytest.mark.usefixtures("_patient")
def test_the_driver_is_killed_at_any_moment(
    wine: Wine, packages: Packages, binaries: Path, tmp_path: Path, root: Path
) -> None:
    """After every kill the process is wholly old or wholly new, and the status says which."""
    bundle = package(packages, binaries)
    file = tmp_path / "test.hpb"
    file.write_bytes(bundle)
    chance = random.Random(20261122)
    seen: Counter[StandingVerdict] = Counter()
    with running(wine, binaries, tmp_path / "app") as host:
        groups = start_threads(host, 4)
        longest = 0.25
        while seen.total() < KILLS or (len(seen) < 2 and seen.total() < MOST_KILLS):
            number = seen.total()
            if number > KILLS:
                longest *= 1.2  # where the first command takes longer, each is killed during that one
            moment = chance.uniform(0, longest)
            driver = subprocess.Popen(
                [sys.executable, "-m", "tests.live.alternating", str(host.pid), str(file)],
                stdout=subprocess.PIPE,
                cwd=root,
            )
            assert driver.stdout is not None
            with driver, driver.stdout:
                assert driver.stdout.readline() == b"ready\n"
                time.sleep(moment)
                driver.kill()
            standing = standing_of(host.pid, request(bundle, host))
            said = f"kill {number} after {moment:.4f} s: {standing.verdict}"
            assert standing.verdict in (StandingVerdict.OLD, StandingVerdict.NEW), said
            wait_for_courier(wine, host)
            standing = agreed(host, bundle)
            assert standing.journal is not None
            assert bool(standing.journal.packages) is (standing.verdict is StandingVerdict.NEW), said
            seen[standing.verdict] += 1
        counts = [host.stop(group) for group in groups]
    assert all((count.wrong, count.raised) == (0, 0) for count in counts)
    assert len(seen) == 2, "moments of both kinds have to occur, or this shows too little"
