"""The bytes that send a baseline entry to its new code (design, section 6). Values only.

Intel 64 manual, volume 2, "JMP": ``E9 rel32`` counts from the end of its 5 bytes, ``EB rel8`` of its 2.
"""

from typing import Final

from hpbuild.values import Interval

PAD_JUMP: Final = "pad-jump"
ENTRY_JUMP: Final = "entry-jump"

_NEAR_JUMP: Final = 0xE9
_NEAR_JUMP_SIZE: Final = 5
_SHORT_JUMP_BACK: Final = b"\xeb\xf9"
"""jmp to the near jump that ends where this one begins: 2 bytes forward, 7 back."""


def written_range(kind: str, entry: int) -> Interval:
    """The bytes that a redirection of ``kind`` changes, as RVAs. ValueError for an unknown kind or
    an entry too near to RVA 0."""
    if kind == PAD_JUMP:
        return Interval(entry - _NEAR_JUMP_SIZE, entry + len(_SHORT_JUMP_BACK))
    if kind == ENTRY_JUMP:
        return Interval(entry, entry + _NEAR_JUMP_SIZE)
    raise ValueError(f"unknown kind of redirection {kind!r}")


def redirected(kind: str, entry: int, window: Interval, old: bytes, target: int) -> bytes:
    """The bytes of ``window`` with the redirection to RVA ``target`` written over ``old``.

    ValueError when the window is not as long as ``old`` or does not hold the written range, or when a
    near jump does not reach.
    """
    written = written_range(kind, entry)
    if len(old) != len(window) or not window.covers(written):
        raise ValueError(f"the window {window} with {len(old)} old bytes does not hold {written}")
    distance = target - (written.start + _NEAR_JUMP_SIZE)
    if not -(1 << 31) <= distance < 1 << 31:
        raise ValueError(f"a near jump does not reach from {entry:#x} to {target:#x}")
    jump = bytes([_NEAR_JUMP]) + distance.to_bytes(4, "little", signed=True)
    if kind == PAD_JUMP:
        jump += _SHORT_JUMP_BACK
    begin = written.start - window.start
    return old[:begin] + jump + old[begin + len(jump) :]
