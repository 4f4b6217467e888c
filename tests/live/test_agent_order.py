"""The agent reads orders: those that Python writes it takes, anything broken it refuses."""

import dataclasses
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpbuild.apply.live.order import Expected, Order, OrderModule, encode
from hpbuild.manifest.model import Fixups
from hpbuild.values import Digest, Interval, Rva
from tests.live.agent import Agent, Agents, changed, module_of, order_of
from tests.live.codec import NEW, OLD, package, running, versions
from tests.live.packages import Packages
from tests.live.wine import Host, Wine

HEADER, MODULE = 128, 160
DRAWS = 150


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


def replaced(raw: bytes, at: int, form: str, value: int) -> bytes:
    """The order with another number at an offset."""
    changed = bytearray(raw)
    struct.pack_into(form, changed, at, value)
    return bytes(changed)


def module_at(raw: bytes) -> int:
    (offset,) = struct.unpack_from("<I", raw, 80)
    return int(offset)


def test_what_python_writes_is_carried_out(agent: Agent, host: Host, order: Order) -> None:
    reply = agent.apply(order)
    assert (reply.ok, reply.result) == (True, "applied"), reply
    assert [(item.id, item.product, item.sequence) for item in reply.packages] == [("TEST-1", "test", 1)]
    assert reply.packages[0].sha256 == order.bundle_sha256.hex
    (module,) = reply.modules
    assert (module.name, module.redirections) == ("codec.dll", len(module_of(order).redirections))
    assert module.base == host.number("base codec.dll")
    assert module.size == len(module_of(order).nominal)
    assert module.block == module.base + module_of(order).nominal.start + module.delta
    assert versions(host) == NEW


def test_names_outside_of_ascii(agent: Agent, host: Host, order: Order) -> None:
    named = dataclasses.replace(order, id='P-"1"\\', product="produit d'été")
    assert agent.apply(named).packages[0].id == named.id
    assert agent.line("status").packages[0].product == named.product
    assert agent.line(f"revert {named.id}").result == "reverted"
    assert versions(host) == OLD


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda raw: b"",
    "a magic alone": lambda raw: raw[:8],
    "another magic": lambda raw: b"X" + raw[1:],
    "another version": lambda raw: replaced(raw, 8, "<I", 2),
    "another header": lambda raw: replaced(raw, 12, "<I", HEADER + 4),
    "cut": lambda raw: raw[:-1],
    "longer": lambda raw: raw + bytes(4),
    "another size": lambda raw: replaced(raw, 16, "<Q", len(raw) + 1),
    "no id": lambda raw: replaced(raw, 68, "<I", 0),
    "id outside": lambda raw: replaced(raw, 64, "<I", len(raw)),
    "id that is no text": lambda raw: replaced(raw, struct.unpack_from("<I", raw, 64)[0], "<B", 0xFF),
    "id with a zero byte": lambda raw: replaced(raw, struct.unpack_from("<I", raw, 64)[0], "<B", 0),
    "no modules": lambda raw: replaced(raw, 84, "<I", 0),
    "modules outside": lambda raw: replaced(raw, 80, "<I", len(raw) - MODULE + 4),
    "too many modules": lambda raw: replaced(raw, 84, "<I", 257),
    "modules not aligned": lambda raw: replaced(raw, 80, "<I", module_at(raw) + 1),
    "base that is none": lambda raw: replaced(raw, module_at(raw) + 8, "<Q", 0x1000),
    "image base that is none": lambda raw: replaced(raw, module_at(raw) + 16, "<Q", 1),
    "place below the module's end": lambda raw: replaced(raw, module_at(raw) + 36, "<I", 0),
    "place without bytes": lambda raw: replaced(raw, module_at(raw) + 40, "<I", 0x10000),
    "place that ends above 2 GiB": lambda raw: replaced(raw, module_at(raw) + 40, "<I", 0xFFFFF000),
    "patch image outside": lambda raw: replaced(raw, module_at(raw) + 84, "<I", len(raw)),
    **{
        f"list {index} outside": lambda raw, at=88 + 8 * index: replaced(
            raw, module_at(raw) + at + 4, "<I", 0x40000000
        )
        for index in range(8)
    },
}


def test_broken_bytes_are_refused(agent: Agent, host: Host, order: Order) -> None:
    raw = encode(order)
    for fault, spoil in BROKEN.items():
        reply = agent.apply(spoil(raw))
        assert (reply.ok, reply.error) == (False, "bad-order"), (fault, reply)
    assert versions(host) == OLD
    assert agent.apply(order).ok


def first(module: OrderModule, **fields: object) -> OrderModule:
    """The module with other fields in its first redirection."""
    item = dataclasses.replace(module.redirections[0], **fields)  # type: ignore[arg-type]
    return dataclasses.replace(module, redirections=(item, *module.redirections[1:]))


def with_fixups(module: OrderModule, **sites: tuple[Rva, ...]) -> OrderModule:
    return dataclasses.replace(module, fixups=dataclasses.replace(module.fixups, **sites))


def spoiled_image(module: OrderModule, at: int, content: bytes) -> OrderModule:
    """The module with other bytes in its patch image, the digest in step."""
    image = bytearray(module.patch_image)
    image[at : at + len(content)] = content
    return dataclasses.replace(module, patch_image=bytes(image), patch_sha256=Digest.of(image))


def section_flags(module: OrderModule) -> int:
    """File offset of the first section's characteristics."""
    (headers,) = struct.unpack_from("<I", module.patch_image, 60)
    return int(headers) + 24 + 240 + 36


WRONG: dict[str, Callable[[OrderModule], OrderModule]] = {
    "a redirection of no function": lambda module: first(module, function=len(module.functions)),
    "a jump that is none": lambda module: first(module, new=b"\x90" * 5),
    "a jump out of the patch image": lambda module: first(module, new=b"\xe9" + bytes(4)),
    "two redirections of one entry": lambda module: dataclasses.replace(
        module, redirections=(module.redirections[0], *module.redirections)
    ),
    "fixups that do not ascend": lambda module: with_fixups(module, rel32=module.fixups.rel32[::-1]),
    "fixups that overlap": lambda module: with_fixups(module, addr32nb=module.fixups.rel32),
    "a fixup outside": lambda module: with_fixups(module, addr64=(Rva(module.nominal.end - 4),)),
    "a fixup of a value that is no address": lambda module: with_fixups(
        module, addr64=(Rva(module.nominal.start),), rel32=(), addr32nb=()
    ),
    "relocation sites that overlap": lambda module: dataclasses.replace(module, sites=(0x2000, 0x2004)),
    "expected ranges outside": lambda module: dataclasses.replace(
        module, expected=(Expected(Rva(module.size_of_image - 1), b"ab"),)
    ),
    "a call target outside": lambda module: dataclasses.replace(module, call_targets=(Rva(0x1000),)),
    "a patch image that is no PE": lambda module: spoiled_image(module, 0, b"ZM"),
    "a patch image for another machine": lambda module: spoiled_image(module, 0x84, b"\x4c\x01"),
    "sections that are writable and executable": lambda module: spoiled_image(
        module, section_flags(module), b"\x20\x00\x00\xe0"
    ),
    "a place that is too small for the sections": lambda module: dataclasses.replace(
        module,
        nominal=Interval(module.nominal.start, module.nominal.start + 0x1000),
        fixups=Fixups(addr64=(), rel32=(), addr32nb=()),
        call_targets=(),
    ),
}


def test_orders_that_contradict_themselves_are_refused(agent: Agent, host: Host, order: Order) -> None:
    for fault, spoil in WRONG.items():
        spoiled = dataclasses.replace(order, modules=(spoil(module_of(order)),))
        reply = agent.apply(spoiled)
        assert (reply.ok, reply.error) == (False, "bad-order"), (fault, reply)
    assert versions(host) == OLD
    assert agent.apply(order).ok


def test_a_module_twice_is_refused(agent: Agent, order: Order) -> None:
    twice = dataclasses.replace(order, modules=2 * order.modules)
    reply = agent.apply(twice)
    assert (reply.error, reply.detail) == ("bad-order", "it is listed twice")


def test_random_damage_never_harms_the_process(agent: Agent, host: Host, order: Order) -> None:
    """Whatever numbers stand in an order: it is refused, or carried out as one that was made so."""
    numbers = random.Random(7)
    raw = encode(changed(order, name="codec.dll"))
    records = module_at(raw)
    for _ in range(DRAWS):
        at = numbers.choice([numbers.randrange(0, HEADER), records + numbers.randrange(0, MODULE)])
        value = numbers.choice([0, 1, 0x7F, 0x80, 0xFF, numbers.randrange(256)])
        reply = agent.apply(replaced(raw, at, "<B", value))
        if reply.ok:
            assert agent.line("revert *").ok
    assert versions(host) == OLD
    assert agent.apply(order).ok
    assert versions(host) == NEW
