"""Every reason for which the agent leaves a process as it is: its name, its place, nothing changed."""

import dataclasses
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpbuild.apply.live.order import Expected, Order, encode
from hpbuild.codes.live import SLUGS
from hpbuild.manifest.model import Redirection
from hpbuild.pe.reader import read_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.values import Digest, Interval, Rva
from tests.live.agent import Agent, Agents, changed, compile_program, module_of, order_of, redirection
from tests.live.codec import NEW, OLD, installed, package, running, versions
from tests.live.packages import Packages
from tests.live.wine import Conversation, Host, Wine

SPARE = "codec_partitions"
"""A function that the package neither replaces nor uses: room for code of the tests."""


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


@pytest.fixture(scope="session")
def stander(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(Path(__file__).with_name("stander.c"), tmp_path_factory.mktemp("stander"))


def standing(wine: Wine, stander: Path, host: Host, address: int) -> Conversation:
    """A thread of the process that stands at an address; to be used in a `with`."""
    held = Conversation(wine.start(stander, str(host.windows_pid), f"{address:x}", folder=stander.parent))
    assert held.answer() == "standing"
    return held


def code_at(host: Host, address: int, size: int) -> bytes:
    return bytes.fromhex(host.do(f"peek {address:#x} {size}"))


def poke(host: Host, address: int, content: bytes) -> None:
    host.do(f"poke {address:#x} {content.hex()}")


def jump(start: int, target: int) -> bytes:
    return b"\xe9" + struct.pack("<i", target - start - 5)


def entry_of(host: Host, order: Order, name: str) -> int:
    return host.number("base codec.dll") + redirection(order, name).entry


def test_another_build(agent: Agent, host: Host, order: Order) -> None:
    stamp = module_of(order).time_date_stamp
    for field in ("time_date_stamp", "checksum", "size_of_image"):
        other = changed(order, **{field: getattr(module_of(order), field) ^ 0x1000})
        reply = agent.apply(other)
        assert (reply.error, reply.module) == ("pin-differs", "codec.dll"), reply
        assert f"TimeDateStamp {stamp:#x}" in reply.detail
    assert versions(host) == OLD


def test_a_module_that_is_not_loaded(agent: Agent, host: Host, order: Order) -> None:
    reply = agent.apply(changed(order, name="absent.dll"))
    assert (reply.error, reply.module) == ("module-missing", "absent.dll")
    reply = agent.apply(changed(order, base=host.number("base codec.dll") + 0x10000))
    assert (reply.error, reply.module) == ("module-missing", "codec.dll")


def test_modules_that_the_agent_stands_on(agent: Agent, order: Order) -> None:
    for name in ("ntdll.dll", "KERNEL32.dll", "kernelbase.dll", "hpagent.dll"):
        reply = agent.apply(changed(order, name=name))
        assert (reply.error, reply.module) == ("foundation-module", name)


def test_another_patch_image(agent: Agent, host: Host, order: Order) -> None:
    image = bytearray(module_of(order).patch_image)
    image[-1] ^= 1
    reply = agent.apply(changed(order, patch_image=bytes(image)))
    assert (reply.error, reply.module) == ("image-hash", "codec.dll")
    assert Digest.of(image).hex in reply.detail
    assert versions(host) == OLD


def test_changed_code(agent: Agent, host: Host, order: Order) -> None:
    """One byte of a function that is to be replaced, far from its entry."""
    address = entry_of(host, order, "codec_transform") + 40
    (was,) = code_at(host, address, 1)
    poke(host, address, bytes([was ^ 1]))
    reply = agent.apply(order)
    assert (reply.error, reply.module, reply.function) == ("code-differs", "codec.dll", "codec_transform")
    rva = address - host.number("base codec.dll")
    assert reply.detail == f"at RVA {rva:#x} is {was ^ 1:#x}, in the file {was:#x}"
    poke(host, address, bytes([was]))
    assert agent.apply(order).ok


def test_a_foreign_hook_is_named(agent: Agent, host: Host, order: Order) -> None:
    """A chain: from the entry into the module, from there to a function of another one."""
    entry, spare = entry_of(host, order, "base64_decode"), host.number(f"address {SPARE}")
    host.do("load ntdll.dll")
    far = host.number("address RtlRandom")
    poke(host, spare, b"\x48\xb8" + struct.pack("<Q", far) + b"\xff\xe0")
    poke(host, entry, jump(entry, spare))
    reply = agent.apply(order)
    assert (reply.error, reply.module, reply.function) == ("hooked", "codec.dll", "base64_decode")
    assert "ntdll.dll" in reply.detail.rpartition("leads to ")[2]
    assert code_at(host, entry, 5) == jump(entry, spare)


def test_an_entry_that_is_no_jump(agent: Agent, host: Host, order: Order) -> None:
    poke(host, entry_of(host, order, "base64_decode"), b"\x90")
    reply = agent.apply(order)
    assert (reply.error, reply.function) == ("code-differs", "base64_decode")


def test_a_hook_over_ours(agent: Agent, host: Host, order: Order) -> None:
    """Neither apply nor revert overwrites it."""
    entry, spare = entry_of(host, order, "codec_transform"), host.number(f"address {SPARE}")
    assert agent.apply(order).ok
    ours = code_at(host, entry, 5)
    poke(host, entry, jump(entry, spare))
    for line in (agent.write(order), "revert *"):
        reply = agent.line(line)
        assert (reply.error, reply.function) == ("hooked", "codec_transform"), reply
    assert code_at(host, entry, 5) == jump(entry, spare)
    poke(host, entry, ours)
    assert agent.line("revert *").ok
    assert versions(host) == OLD


def test_the_hotpatch_of_windows(agent: Agent, host: Host, order: Order) -> None:
    """A slot as Windows has them behind a module, reached through the five bytes before the entry. The memory
    behind the module comes from a package that was here before."""
    entry = entry_of(host, order, "codec_transform")
    assert agent.apply(order).ok
    block = agent.line("revert *").modules[0].block
    poke(host, block, bytes.fromhex("ff25fa0f0000"))
    poke(host, entry - 5, jump(entry - 5, block) + b"\xeb\xf9")
    reply = agent.apply(order)
    assert (reply.error, reply.function) == ("windows-hotpatch", "codec_transform")


def test_blocks_that_were_changed(agent: Agent, host: Host, order: Order) -> None:
    """The new code lay unused for a while: it is compared before it is used again."""
    assert agent.apply(order).ok
    block = agent.line("revert *").modules[0].block
    (was,) = code_at(host, block, 1)
    poke(host, block, bytes([was ^ 1]))
    reply = agent.apply(order)
    assert (reply.error, reply.module) == ("reread-differs", "codec.dll")
    assert versions(host) == OLD
    poke(host, block, bytes([was]))
    assert agent.apply(order).ok
    assert versions(host) == NEW


def test_a_thread_inside(wine: Wine, stander: Path, agent: Agent, host: Host, order: Order) -> None:
    """It stands where the second instruction of a function begins: nothing may be written over it. In the
    meantime another courier finds the process at work, and the journal says so."""
    base = host.number("base codec.dll")
    item = redirection(order, "base64_decode")
    with standing(wine, stander, host, base + item.entry + 1):
        for milliseconds in (400, 4000, 20_000):
            patient = dataclasses.replace(order, window_limit_ms=milliseconds)
            reply = agent.apply(patient)
            assert (reply.error, reply.function) == ("thread-in-window", "base64_decode")
            assert reply.detail == f"at RVA {item.entry + 1:#x} for {milliseconds} ms"
            if reply.looks.count > 2:
                break  # otherwise the agent had nothing of the processor in that time
        assert reply.looks.count > 2
        assert versions(host) == OLD
        assert code_at(host, base + item.entry, 5) == item.old
    assert agent.apply(patient).ok
    assert versions(host) == NEW


def test_a_thread_on_its_way_back_inside(agent: Agent, host: Host, order: Order) -> None:
    """Its instruction pointer is elsewhere, but what it will return to from an exception is inside: as in the
    frame that the last instruction of ntdll takes the address from."""
    base, spare = host.number("base codec.dll"), host.number(f"address {SPARE}")
    inside = base + redirection(order, "codec_transform").entry + 1
    host.do("load kernel32.dll")
    sleep = host.number("address Sleep")
    code = b"\x48\xb8" + struct.pack("<Q", inside) + b"\x6a\x33\x50\x48\x83\xec\x28\x48\xb8"
    poke(host, spare, code + struct.pack("<Q", sleep) + b"\xff\xd0\x48\x83\xc4\x38\xc3")
    for milliseconds in (2500, 10_000, 40_000):
        job = host.do(f"begin v {SPARE} {milliseconds}")
        reply = agent.apply(dataclasses.replace(order, window_limit_ms=200))
        host.ask(f"finish {job}")
        if not reply.ok:
            break
        assert agent.line("revert *").ok  # the agent was slower than the thread, or quicker than its start
    assert (reply.error, reply.function) == ("thread-in-window", "codec_transform")
    assert agent.apply(order).ok
    assert versions(host) == NEW


def test_a_call_that_returns_inside(agent: Agent, host: Host, order: Order) -> None:
    """push rbx; call rax; ...: the return address lies where the jump will be."""
    base, spare = host.number("base codec.dll"), host.number(f"address {SPARE}")
    old = bytes.fromhex("53ffd05bc3")
    poke(host, spare, old)
    module, rva = module_of(order), spare - base
    item = Redirection(
        function=0,
        kind="entry-jump",
        entry=Rva(rva),
        window=Interval(rva, rva + 5),
        old=old,
        new=jump(rva, module.nominal.start),
    )
    reply = agent.apply(changed(order, redirections=(*module.redirections, item)))
    assert (reply.error, reply.module) == ("window-has-call", "codec.dll")
    assert f"at RVA {rva:#x}" in reply.detail
    assert versions(host) == OLD


def test_relocated_fields_are_compared_too(
    wine: Wine, agents: Agents, binaries: Path, order: Order, tmp_path: Path
) -> None:
    """At a base that is not the preferred one: the fields are moved, not left out."""
    image = read_image(binaries / "baseline" / "codec.dll")
    near = [(item.rva - 16, item.rva + len(item.content) + 16) for item in module_of(order).expected]
    sites = [int(site) for site in relocation_sites(image)]
    site = next(each for each in sites if not any(low <= each < high for low, high in near))
    folder = installed(binaries, tmp_path / "app")
    shutil.copy(binaries / "baseline" / "throwing.dll", folder)
    field = Expected(Rva(site - 1), image.read(site - 1, 10))
    expected = tuple(sorted((*module_of(order).expected, field), key=lambda item: item.rva))
    relocated = changed(order, expected=expected, sites=(site,))
    with wine.host(folder, "throwing.dll", "codec.dll") as host, agents.on(host.windows_pid) as agent:
        base = host.number("base codec.dll")
        assert base != image.image_base
        value = code_at(host, base + site, 8)
        for at in (0, 7):
            poke(host, base + site, bytes(byte ^ (index == at) for index, byte in enumerate(value)))
            assert agent.apply(relocated).error == "code-differs"
        poke(host, base + site, value)
        assert agent.apply(relocated).ok
        assert versions(host) == NEW
        assert agent.line("revert *").ok
        raw = bytearray(encode(changed(relocated, expected=(Expected(Rva(site + 8), b"x"),))))
        (record,) = struct.unpack_from("<I", raw, 80)
        (listed,) = struct.unpack_from("<I", raw, record + 136)
        struct.pack_into("<I", raw, listed, site + 1)
        across = bytes(raw)
        assert agent.apply(across).error == "bad-order"
        assert versions(host) == OLD


def test_an_older_sequence(agent: Agent, host: Host, order: Order) -> None:
    newer = dataclasses.replace(order, sequence=2, id="TEST-2", bundle_sha256=Digest.of(b"2"))
    assert agent.apply(newer).result == "applied"
    for sequence in (1, 2):
        other = dataclasses.replace(order, sequence=sequence, bundle_sha256=Digest.of(b"other"))
        reply = agent.apply(other)
        assert reply.error == "older-sequence"
        assert reply.detail == f"TEST-2 has sequence 2, this package {sequence}"
    assert versions(host) == NEW


def test_nothing_to_revert(agent: Agent, order: Order) -> None:
    assert (agent.line("revert *").error, agent.line("revert TEST-1").error) == ("not-applied", "not-applied")
    assert agent.line("status").resident is False, "nothing was put into the process for that"
    assert agent.apply(order).ok
    assert agent.line("revert OTHER").error == "not-applied"
    assert agent.line("revert TEST-1").ok
    assert agent.line("revert TEST-1").error == "not-applied"


def test_no_such_process(agents: Agents) -> None:
    with agents.on(99_999_996) as agent:
        for line in ("hello", "status", "revert *"):
            assert agent.line(line).error == "no-such-process"


def test_a_library_that_is_missing(agents: Agents, host: Host, order: Order, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    courier = Path(shutil.copy(agents.binaries.courier, tmp_path / "alone"))
    alone = dataclasses.replace(agents.binaries, courier=courier)
    with dataclasses.replace(agents, binaries=alone).on(host.windows_pid) as agent:
        reply = agent.apply(order)
    assert (reply.error, reply.detail[:40]) == (
        "injection-failed",
        "the process refused to load hpagent.dll "[:40],
    )
    assert versions(host) == OLD


def test_a_process_that_runs_no_thread(agents: Agents, host: Host, order: Order) -> None:
    """Its loader lock is held, as by a DllMain that does not return: no new thread begins. The command is
    withdrawn, and does not happen later either."""
    with agents.on(host.windows_pid) as agent:
        assert agent.apply(order).ok
        assert agent.line("revert *").ok
    host.do("load ntdll.dll")
    host.do("call q LdrLockLoaderLock 0 0 $9")
    with agents.on(host.windows_pid, limit_ms=500) as agent:
        reply = agent.apply(order)
        assert reply.error == "cancelled", reply
    cookie = struct.unpack("<Q", code_at(host, _buffer(host), 8))[0]
    host.do(f"call q LdrUnlockLoaderLock 0 {cookie:#x}")
    with agents.on(host.windows_pid) as agent:
        assert agent.line("status").packages == ()
        assert versions(host) == OLD
        assert agent.apply(order).ok
    assert versions(host) == NEW


def _buffer(host: Host) -> int:
    """Address of the host's buffer $9."""
    return host.number("call q &identity $9")


def test_unknown_commands(agent: Agent, host: Host, tmp_path: Path) -> None:
    for line in ("", "apply", "apply Z:\\no\\such\\file", "apply \xff", "revert", "x" * 10_000):
        reply = agent.line(line) if line.isascii() else None
        assert reply is None or reply.error == "bad-order", line
    assert versions(host) == OLD


def test_the_table_of_refusals_is_whole() -> None:
    """Every word that the agent's sources have for a refusal has a row."""
    sources = Path(__file__).resolve().parents[2] / "agent"
    text = "".join(path.read_text() for path in sorted(sources.glob("*.c")))
    for slug in SLUGS:
        assert f'"{slug}"' in text, slug
