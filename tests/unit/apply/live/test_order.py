"""The wire form of orders: what stands where, what cannot be written. tests/live has the agent's reading."""

import dataclasses
import struct

import pytest

from hpbuild.apply.live.order import MAX_TEXT, Expected, Order, OrderModule, encode
from hpbuild.codes.live import BAD_ORDER
from hpbuild.errors import HpbuildError
from hpbuild.manifest.model import Fixups, Redirection
from hpbuild.values import Digest, Interval, Rva

JUMP = b"\xe9\x00\x00\x01\x00"


def pad_jump(entry: int) -> Redirection:
    """A pad-jump whose window was examined two bytes further than it is written."""
    return Redirection(
        function=0,
        kind="pad-jump",
        entry=Rva(entry),
        window=Interval(entry - 5, entry + 4),
        old=b"\xcc" * 5 + b"\x8b\xff\x90\x90",
        new=JUMP + b"\xeb\xf9\x90\x90",
    )


MODULE = OrderModule(
    name="mod.dll",
    base=0x7FF000000000,
    time_date_stamp=1,
    checksum=2,
    size_of_image=0x8000,
    image_base=0x180000000,
    patch_image=b"MZ...",
    patch_sha256=Digest.of(b"MZ..."),
    nominal=Interval(0x10000, 0x12000),
    fixups=Fixups(addr64=(Rva(0x10010),), rel32=(Rva(0x10020), Rva(0x10030)), addr32nb=()),
    redirections=(pad_jump(0x1010),),
    functions=("first",),
    expected=(Expected(Rva(0x1000), b"0123456789abcdef"), Expected(Rva(0x2000), b"xyz")),
    sites=(0x1008, 0x3000),
    call_targets=(Rva(0x10000),),
)
ORDER = Order(
    id="ID-1",
    product="product",
    sequence=7,
    bundle_sha256=Digest.of(b""),
    modules=(MODULE,),
    window_limit_ms=9,
)


def with_module(**fields: object) -> Order:
    return dataclasses.replace(ORDER, modules=(dataclasses.replace(MODULE, **fields),))  # type: ignore[arg-type]


def refused(order: Order) -> str:
    with pytest.raises(HpbuildError) as caught:
        encode(order)
    assert caught.value.code is BAD_ORDER
    return caught.value.finding.cause


def blob(raw: bytes, at: int) -> bytes:
    offset, size = struct.unpack_from("<2I", raw, at)
    return raw[offset : offset + size]


def numbers(raw: bytes, at: int) -> tuple[int, ...]:
    offset, count = struct.unpack_from("<2I", raw, at)
    assert offset % 4 == 0
    return struct.unpack_from(f"<{count}I", raw, offset)


def test_the_header() -> None:
    raw = encode(ORDER)
    assert raw[:8] == b"HPORDER\x01"
    assert struct.unpack_from("<IIQII", raw, 8) == (1, 128, len(raw), 7, 9)
    assert raw[32:64] == Digest.of(b"").raw
    assert (blob(raw, 64), blob(raw, 72)) == (b"ID-1", b"product")
    assert raw[88:128] == bytes(40)


def test_a_module() -> None:
    raw = encode(ORDER)
    at, count = struct.unpack_from("<2I", raw, 80)
    assert count == 1
    assert blob(raw, at) == b"mod.dll"
    assert struct.unpack_from("<QQ", raw, at + 8) == (0x7FF000000000, 0x180000000)
    assert struct.unpack_from("<6I", raw, at + 24) == (1, 2, 0x8000, 0x10000, 0x12000, 0)
    assert raw[at + 48 : at + 80] == Digest.of(b"MZ...").raw
    assert blob(raw, at + 80) == b"MZ..."
    assert numbers(raw, at + 88) == (0x10010,)
    assert numbers(raw, at + 96) == (0x10020, 0x10030)
    assert numbers(raw, at + 104) == ()
    assert numbers(raw, at + 136) == (0x1008, 0x3000)
    assert numbers(raw, at + 144) == (0x10000,)
    assert raw[at + 152 : at + 160] == bytes(8)


def test_a_redirection_has_the_bytes_that_change() -> None:
    raw = encode(ORDER)
    (at,) = struct.unpack_from("<I", raw, 80)
    (listed,) = struct.unpack_from("<I", raw, at + 112)
    assert struct.unpack_from("<4I", raw, listed) == (0, 1, 0x1010, 7)
    assert raw[listed + 16 : listed + 24] == b"\xcc" * 5 + b"\x8b\xff\0"
    assert raw[listed + 24 : listed + 32] == JUMP + b"\xeb\xf9\0"
    entry = dataclasses.replace(
        pad_jump(0x1010), kind="entry-jump", window=Interval(0x1010, 0x1015), old=b"\x90" * 5, new=JUMP
    )
    raw = encode(with_module(redirections=(entry,)))
    (at,) = struct.unpack_from("<I", raw, 80)
    (listed,) = struct.unpack_from("<I", raw, at + 112)
    assert struct.unpack_from("<4I", raw, listed) == (0, 2, 0x1010, 5)
    assert raw[listed + 24 : listed + 32] == JUMP + bytes(3)


def test_names_and_expected_ranges() -> None:
    raw = encode(ORDER)
    (at,) = struct.unpack_from("<I", raw, 80)
    (names,) = struct.unpack_from("<I", raw, at + 120)
    assert blob(raw, names) == b"first"
    listed, count = struct.unpack_from("<2I", raw, at + 128)
    assert count == 2
    rva, size, offset = struct.unpack_from("<3I", raw, listed + 12)
    assert (rva, raw[offset : offset + size]) == (0x2000, b"xyz")


def test_an_empty_product_is_that_of_the_package() -> None:
    assert blob(encode(dataclasses.replace(ORDER, product="")), 72) == b"ID-1"


def test_orders_that_cannot_be_written() -> None:
    assert refused(dataclasses.replace(ORDER, modules=())) == "0 modules"
    assert refused(dataclasses.replace(ORDER, modules=(MODULE,) * 257)) == "257 modules"
    assert "bytes of text" in refused(dataclasses.replace(ORDER, id=""))
    assert "bytes of text" in refused(with_module(name="x" * (MAX_TEXT + 1)))
    assert "does not fit" in refused(dataclasses.replace(ORDER, sequence=1 << 32))
    assert "does not fit" in refused(with_module(base=-1))


def test_redirections_that_cannot_be_written() -> None:
    short = dataclasses.replace(pad_jump(0x1010), window=Interval(0x1010, 0x1014), old=b"1234", new=b"1234")
    assert "does not hold" in refused(with_module(redirections=(short,)))
    unknown = dataclasses.replace(pad_jump(0x1010), kind="jump")
    assert "no kind" in refused(with_module(redirections=(unknown,)))


def test_expected_ranges_ascend_and_cut_no_field() -> None:
    first, second = MODULE.expected
    assert "overlap or are out of order" in refused(with_module(expected=(second, first)))
    assert "crosses the edge" in refused(with_module(sites=(0xFFC,)))
    assert "crosses the edge" in refused(with_module(sites=(0x100C,)))
    for site in (0xFF8, 0x1000, 0x1008, 0x1010):
        encode(with_module(sites=(site,)))
