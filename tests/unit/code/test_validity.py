"""What tells without the decoder that instructions are some, against the decoder."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from iced_x86 import Decoder

from hpbuild.code.model import I64, U8
from hpbuild.code.validity import READ_AHEAD, doubtful, invalid

PREFIXES = tuple(map(bytes.fromhex, ("", "66", "48", "664f", "4f66", "666641", "f2", "f3", "f248", "f34f")))


def columns(code: bytes) -> tuple[U8, I64, U8]:
    """What the decoder makes of ``code``, and the bytes behind it."""
    found = [(insn.ip, insn.len) for insn in Decoder(64, code)]
    at, length = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return np.frombuffer(code + bytes(READ_AHEAD), dtype=np.uint8), at, length.astype(np.uint8)


def wrong(code: bytes) -> list[int]:
    return [row for row, insn in enumerate(Decoder(64, code)) if not insn]


def found(code: bytes) -> list[int]:
    octets, at, length = columns(code)
    last = np.arange(len(at))[-1:]  # lacks bytes, perhaps
    rows = np.unique(np.concatenate([doubtful(octets, at), last]))
    result: list[int] = invalid(octets, at, length, rows).tolist()
    return result


def test_what_is_not_doubted_is_an_instruction() -> None:
    """Every opcode with every ModRM byte behind it."""
    size = 16
    for prefix in PREFIXES:
        for sib in (0x00, 0x25, 0xE4):
            heads = [bytes((first, second)) for first in range(256) for second in range(256)]
            heads += [bytes((0x0F, first, second)) for first in range(256) for second in range(256)]
            code = b"".join((prefix + head + bytes((sib,))).ljust(size, b"\0") for head in heads)
            at = np.arange(0, len(code), size)
            octets = np.frombuffer(code + bytes(READ_AHEAD), dtype=np.uint8)
            certain = np.ones(len(at), dtype=np.bool_)
            certain[doubtful(octets, at)] = False
            assert 3000 < np.count_nonzero(certain) < len(at)
            tried = [code[place : place + size] for place in at[certain].tolist()]
            assert all(Decoder(64, octets).decode() for octets in tried)


@given(st.binary(max_size=200))
def test_any_bytes(code: bytes) -> None:
    assert found(code) == wrong(code)


@given(
    st.lists(
        st.sampled_from(("06", "660f38", "c5f8", "62f1", "f0", "8f", "d9", "0fc7", "90", "0f0f")), max_size=30
    )
)
def test_chosen_bytes(parts: list[str]) -> None:
    code = bytes.fromhex("".join(parts))
    assert found(code) == wrong(code)


def test_common_instructions_are_not_doubted() -> None:
    code = bytes.fromhex(
        "488b05 00100000 4889c8 e8 00000000 0fb6c0 488d0d 00000000 0f84 00000000 ff15 00000000 fec8"
        "f20f1005 00000000 f3480f2ac0 f3440f5ec1 c3"
    )
    octets, at, _ = columns(code)
    assert doubtful(octets, at).tolist() == []
    octets, at, _ = columns(bytes.fromhex("8dc0 c7f8 00000000 fed0 f20f28c0"))
    assert doubtful(octets, at).tolist() == list(range(len(at)))
