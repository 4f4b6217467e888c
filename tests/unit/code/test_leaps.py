"""Bytes that could be jumps to some place."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hpbuild.code.leaps import may_lead
from hpbuild.pe.image import Image

TEXT, LOW, HIGH = 0x1000, 0x1100, 0x1200


@pytest.fixture(scope="module")
def blank(build: Callable[..., Image]) -> Image:
    return build(text=bytes(0x1000))


def found(image: Image, *codes: str) -> list[bool]:
    """Of runs at every 64 bytes, whether they may lead into [LOW, HIGH)."""
    memory, start = image.memory.copy(), TEXT + 64 * np.arange(len(codes))
    octets = [bytes.fromhex(code) for code in codes]
    for place, code in zip(start.tolist(), octets, strict=True):
        memory[place : place + len(code)] = np.frombuffer(code, dtype=np.uint8)
    end = start + np.array([len(code) for code in octets], dtype=np.int64)
    bounds = np.full_like(start, LOW), np.full_like(start, HIGH)
    result: list[bool] = may_lead(replace(image, memory=memory), start, end, *bounds).tolist()
    return result


@pytest.mark.parametrize(
    ("code", "leads"),
    [
        ("e9 fb000000", True),
        ("e9 fa000000", False),
        ("e9 fa010000", True),
        ("e9 fb010000", False),
        ("90 0f84 f9000000", True),
        ("0f8f f9010000", True),
        ("0f8f fa010000", False),
        ("b8 e9fa000000", True),  # no borders of instructions are known
        ("0f1f fa000000", False),
        ("e8 fb000000", False),
        ("c7f8 00000000", True),  # perhaps
        ("", False),
    ],
)
def test_one_run(blank: Image, code: str, leads: bool) -> None:
    assert found(blank, code) == [leads]


def test_each_run_by_itself(blank: Image) -> None:
    assert found(blank, "90", "e9 bb000000", "", "e9 fb010000") == [False, True, False, False]
    assert found(blank) == []
