"""What goes wrong around the agent: it ends, the process ends, the system refuses. The process stays
whole."""

import dataclasses
import random
import shutil
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpbuild.apply.live.order import Order
from hpbuild.apply.live.protocol import Reply
from hpbuild.values import Digest
from tests.live.agent import Agent, Agents, changed, compile_program, module_of, order_of, redirection
from tests.live.codec import NEW, OLD, package, running, start_threads, versions
from tests.live.packages import Packages
from tests.live.scenes import EXAMPLES, STAGE, answers
from tests.live.wine import Conversation, Host, Wine

SPARE = "codec_partitions"
KILLS = 100
AHEAD = 4
MOST_KILLS = 1000
SETTLED = 300.0
"""Seconds until the resident is bound to have ended what it does."""


@pytest.fixture
def order(packages: Packages, binaries: Path) -> Order:
    return order_of(package(packages, binaries), binaries / "baseline" / "codec.dll")


@pytest.fixture
def host(wine: Wine, binaries: Path, tmp_path: Path) -> Iterator[Host]:
    with running(wine, binaries, tmp_path / "app") as started:
        yield started


@pytest.fixture
def agent(agents: Agents, host: Host) -> Iterator[Agent]:
    with agents.on(host.windows_pid) as started:
        yield started


@pytest.fixture(scope="module")
def stander(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(Path(__file__).with_name("stander.c"), tmp_path_factory.mktemp("stander"))


@pytest.fixture
def inside(wine: Wine, stander: Path, host: Host, order: Order) -> Callable[[], Conversation]:
    """A function that makes a thread stand inside an entry: an apply then takes as long as its limit says."""
    address = host.number("base codec.dll") + redirection(order, "base64_decode").entry + 1

    def stand() -> Conversation:
        command = (stander, str(host.windows_pid), f"{address:x}")
        held = Conversation(wine.start(*command, folder=stander.parent))
        assert held.answer() == "standing"
        return held

    return stand


def poke(host: Host, address: int, content: bytes) -> None:
    host.do(f"poke {address:#x} {content.hex()}")


def hook(host: Host, library: str, name: str, content: bytes) -> None:
    """Write other code over a function of the system in the process."""
    host.do(f"load {library}")
    poke(host, host.number(f"address {name}"), content)


def settled(agent: Agent) -> Reply:
    """The status when no command is at work any more."""
    end = time.monotonic() + SETTLED
    while (status := agent.line("status")).phase != "idle":
        assert time.monotonic() < end, status
        time.sleep(0.01)
    return status


# ---- the system refuses

REFUSE = bytes.fromhex("31c0c3")
"""xor eax, eax; ret"""


def test_no_room(agent: Agent, host: Host, order: Order) -> None:
    base = host.number("base codec.dll")
    regions = host.number(f"reserve {base:#x} {base + (1 << 31):#x}")
    assert regions > 0
    reply = agent.apply(order)
    assert (reply.error, reply.module) == ("no-room", "codec.dll")
    assert versions(host) == OLD
    host.do("give-back")
    assert agent.apply(order).ok
    assert versions(host) == NEW


def test_room_further_up(agent: Agent, host: Host, order: Order) -> None:
    base, nominal = host.number("base codec.dll"), module_of(order).nominal
    assert host.number(f"reserve {base + nominal.start:#x} {base + 0x5000000:#x}") > 0
    reply = agent.apply(order)
    assert reply.ok
    (module,) = reply.modules
    assert module.delta >= 0x5000000 - nominal.start
    assert (module.delta % 0x10000, module.block) == (0, base + nominal.start + module.delta)
    assert versions(host) == NEW
    assert agent.line("revert *").ok
    assert versions(host) == OLD


def refusing_protect(host: Host, low: int, high: int) -> bytes:
    """A VirtualProtect that refuses to make pages in [low, high) writable, and does anything else."""
    host.do("load ntdll.dll")
    direct = struct.pack("<Q", host.number("address NtProtectVirtualMemory"))
    test = b"\x41\x83\xf8\x04\x75\x21\x48\xb8" + struct.pack("<Q", low) + b"\x48\x39\xc1\x72\x12"
    test += b"\x48\xb8" + struct.pack("<Q", high) + b"\x48\x39\xc1\x73\x03" + REFUSE
    call = bytes.fromhex("4883ec3848894c244048895424484c894c24204589c14c8d442448488d54244048c7c1ffffffff48b8")
    return test + call + direct + bytes.fromhex("ffd0f7d0c1e81f4883c438c3")


def test_a_page_that_cannot_be_made_writable(agent: Agent, host: Host, order: Order) -> None:
    """The package writes two pages; the second one is refused, when the first has been written."""
    base = host.number("base codec.dll")
    entries = sorted(item.entry for item in module_of(order).redirections)
    assert {entry >> 12 for entry in entries} == {1, 2}, "the package is to write to two pages"
    spare = host.number(f"address {SPARE}")
    poke(host, spare, refusing_protect(host, base + 0x2000, base + 0x3000))
    hook(host, "kernel32.dll", "VirtualProtect", b"\x48\xb8" + struct.pack("<Q", spare) + b"\xff\xe0")
    before = host.do(f"peek {base + 0x1000:#x} 8192")
    for _ in range(3):
        reply = agent.apply(order)
        assert (reply.error, reply.module, reply.function) == (
            "protect-failed",
            "codec.dll",
            "codec_transform",
        )
        assert f"{base + 0x2000:#x}" in reply.detail
        assert host.do(f"peek {base + 0x1000:#x} 8192") == before
        assert agent.line("status").packages == ()
    assert versions(host) == OLD


def test_a_hook_that_lies_in_the_page_itself(agent: Agent, host: Host, order: Order) -> None:
    """VirtualProtect leads through a page that is to be written: it stops being executable under the feet of
    the agent's own thread, which nobody else could help."""
    spare = host.number(f"address {SPARE}")
    base = host.number("base codec.dll")
    assert (spare - base) >> 12 in {item.entry >> 12 for item in module_of(order).redirections}
    poke(host, spare, refusing_protect(host, 0, 0))
    hook(host, "kernel32.dll", "VirtualProtect", b"\x48\xb8" + struct.pack("<Q", spare) + b"\xff\xe0")
    reply = agent.apply(order)
    assert (reply.error, reply.detail[:29]) == ("protect-failed", "VirtualProtect itself runs th")
    assert versions(host) == OLD


def test_no_executable_memory(agent: Agent, host: Host, order: Order) -> None:
    """As under a policy against dynamic code: nothing is written at all, and the memory is given back."""
    hook(host, "kernel32.dll", "VirtualProtect", REFUSE)
    reply = agent.apply(order)
    assert (reply.error, reply.flips) == ("protect-failed", 0)
    free = host.number("base codec.dll") + module_of(order).nominal.start
    assert host.ask(f"peek {free:#x} 1") == "error not readable"
    assert versions(host) == OLD


def test_unwind_tables_are_refused(agent: Agent, host: Host, order: Order) -> None:
    hook(host, "ntdll.dll", "RtlAddFunctionTable", REFUSE)
    assert agent.apply(order).error == "unwind-failed"
    free = host.number("base codec.dll") + module_of(order).nominal.start
    assert host.ask(f"peek {free:#x} 1") == "error not readable"
    assert versions(host) == OLD


def test_control_flow_guard(agent: Agent, host: Host, order: Order) -> None:
    """The process says that it enforces it. Wine has no such thing: what is shown is the way through the
    agent."""
    hook(host, "kernel32.dll", "GetProcessMitigationPolicy", bytes.fromhex("41c70001000000b801000000c3"))
    assert agent.apply(order).error == "call-targets-failed"
    assert versions(host) == OLD


# ---- somebody ends


def writing(agent: Agent, beginning: Agent) -> bool:
    """Whether the process is found at work on what ``agent`` was told to apply; False when that has been
    answered before."""
    while beginning.line("status").phase != "writing":
        if agent.said():
            return False
        time.sleep(0.01)
    return True


def test_the_process_ends_midway(
    agents: Agents, agent: Agent, host: Host, order: Order, inside: Callable[[], Conversation]
) -> None:
    with inside():
        with agents.on(host.windows_pid) as other:
            agent.send(agent.write(dataclasses.replace(order, window_limit_ms=25_000)))
            assert writing(agent, other)
        host.process.kill()
        host.process.wait()
        assert agent.line_answered().error == "process-gone"
    assert agent.line("status").error == "process-gone"
    assert agent.line("revert *").error == "process-gone"


def test_two_at_once(
    agents: Agents, agent: Agent, host: Host, order: Order, inside: Callable[[], Conversation]
) -> None:
    """The second one is told; the first one is not disturbed."""
    with inside(), agents.on(host.windows_pid) as other:
        for milliseconds in (1500, 6000, 25_000):  # in which the second one has to have its answers
            agent.send(agent.write(dataclasses.replace(order, window_limit_ms=milliseconds)))
            replies = [other.line(line) for line in (other.write(order), "revert *") if writing(agent, other)]
            assert agent.line_answered().error == "thread-in-window"
            if [(reply.error, reply.detail) for reply in replies] == [("busy", order.id)] * 2:
                break
    assert [(reply.error, reply.detail) for reply in replies] == [("busy", order.id)] * 2
    assert versions(host) == OLD
    assert agent.apply(order).ok


def test_a_courier_that_gives_up(
    agents: Agents, agent: Agent, host: Host, order: Order, inside: Callable[[], Conversation]
) -> None:
    """The resident goes on without it, and puts everything back in the end."""
    assert agent.apply(order).ok
    assert agent.line("revert *").ok
    phases = []
    with inside():
        for milliseconds in (1200, 6000, 25_000):  # in which this test has to see it at work
            with agents.on(host.windows_pid, limit_ms=300) as hasty:
                reply = hasty.apply(dataclasses.replace(order, window_limit_ms=milliseconds))
                assert reply.error in ("timeout", "cancelled")  # the second when it had not begun
                phases.append(agent.line("status").phase)
                status = settled(agent)
                assert status.packages == ()
                assert versions(host) == OLD
            if (reply.error, phases[-1]) == ("timeout", "writing"):
                break
    assert (reply.error, phases[-1]) == ("timeout", "writing")


def test_couriers_killed_at_random_moments(agents: Agents, agent: Agent, host: Host, order: Order) -> None:
    """A hundred times, while threads call what is patched. Whatever the moment: the process goes on, is
    wholly old or wholly new, and the status says which."""
    numbers = random.Random(20)
    groups = start_threads(host, 4)
    couriers = [agents.on(host.windows_pid) for _ in range(AHEAD)]
    seen: Counter[str] = Counter()
    longest = 0.02  # seconds from the command to the kill: follows the time that a command takes here
    while seen.total() < KILLS or (min(seen["done"], seen["not done"]) < 5 and seen.total() < MOST_KILLS):
        courier = couriers.pop(0)
        applied = bool(agent.line("status").packages)
        line = "revert *" if applied else courier.write(order)
        courier.line("hello")
        courier.send(line)
        time.sleep(longest * numbers.random())
        courier.kill()
        couriers.append(agents.on(host.windows_pid))
        while True:
            before, found, after = settled(agent), versions(host), settled(agent)
            if before.commands == after.commands:
                break
        assert found == (NEW if after.packages else OLD), (seen.total(), after)
        done = bool(after.packages) != applied
        seen["done" if done else "not done"] += 1
        longest = min(max(longest * (0.8 if done else 1.25), 0.0005), 60.0)
    for courier in couriers:
        courier.kill()
    assert min(seen["done"], seen["not done"]) >= 5, seen
    for group in groups:
        counts = host.stop(group)
        assert (counts.wrong, counts.raised) == (0, 0)
        assert counts.calls > 0


# ---- one package after another


def only(order: Order, *names: str) -> Order:
    """The order, limited to some functions."""
    kept = tuple(redirection(order, name) for name in names)
    return changed(order, redirections=kept)


def renewed(order: Order, sequence: int) -> Order:
    return dataclasses.replace(
        order, sequence=sequence, id=f"TEST-{sequence}", bundle_sha256=Digest.of(bytes([sequence]))
    )


def test_a_newer_package_replaces(agent: Agent, host: Host, order: Order) -> None:
    """In one step; functions that it does not have get their old code back."""
    first = renewed(only(order, "codec_status_text", "codec_transform"), 1)
    second = renewed(only(order, "codec_transform", "runlength_decode", "base64_decode"), 2)
    assert agent.apply(first).result == "applied"
    assert versions(host) == "nnoo"
    reply = agent.apply(second)
    assert (reply.result, [item.id for item in reply.packages]) == ("replaced", ["TEST-2"])
    assert versions(host) == "onnn"
    assert [item.id for item in agent.line("status").packages] == ["TEST-2"]
    assert agent.apply(second).result == "already-applied"
    assert agent.apply(first).error == "older-sequence"
    assert agent.line("revert TEST-2").ok
    assert versions(host) == OLD
    assert agent.apply(first).result == "applied", "going back on purpose"
    assert versions(host) == "nnoo"


def test_two_products_side_by_side(agent: Agent, host: Host, order: Order) -> None:
    first = dataclasses.replace(renewed(only(order, "codec_transform"), 1), product="one")
    texts = only(order, "codec_status_text")
    second = dataclasses.replace(renewed(changed(texts, expected=()), 2), product="two")
    assert agent.apply(first).result == "applied"
    assert agent.apply(second).result == "applied"
    assert versions(host) == "nnoo"
    assert {item.id for item in agent.line("status").packages} == {"TEST-1", "TEST-2"}
    both = dataclasses.replace(renewed(order, 3), product="three")
    reply = agent.apply(both)
    assert (reply.error, reply.detail.rpartition("leads to ")[2][:8]) == ("hooked", "package ")
    assert agent.line("revert TEST-1").ok
    assert versions(host) == "nooo"
    assert agent.line("revert *").ok
    assert versions(host) == OLD


def test_exceptions_pass_through_every_block(
    wine: Wine, agents: Agents, packages: Packages, binaries: Path, tmp_path: Path
) -> None:
    """Several packages, several blocks above one module: exceptions find the unwind data of whichever is
    active, and that of the ones before when they are active again."""
    example = next(item for item in EXAMPLES if item.library == "stage")
    baseline, fixed = (example.file(binaries, side) for side in ("baseline", "fixed"))
    folder = tmp_path / "stage"
    folder.mkdir()
    shutil.copy(baseline, folder)
    calls = [call for name, scene in STAGE.items() if "exception" in name for call in scene]
    with wine.host(fixed.parent, fixed.name) as host:
        wanted = answers(host, calls)
    order = order_of(packages.build(baseline, fixed, "auto"), baseline)
    blocks = set()
    for sequence in (1, 2, 3):
        with wine.host(folder, baseline.name) as host, agents.on(host.windows_pid) as agent:
            for earlier in range(1, sequence):
                reply = agent.apply(renewed(order, earlier))
                assert reply.ok
                blocks.add(reply.modules[0].block)
            assert agent.apply(renewed(order, sequence)).ok
            assert answers(host, calls) == wanted
            assert agent.line("revert *").ok
            assert agent.apply(renewed(order, 1)).ok
            answers(host, calls)
    assert len(blocks) == 2
