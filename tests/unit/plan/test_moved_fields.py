"""The warning about a structure that seems to have changed, without types."""

import pytest

from hpbuild.codes import builds as codes
from hpbuild.errors import Finding
from hpbuild.plan.planner import make_plan
from tests.assembled import RET, Dll, against, function


def reader(place: int, register: int) -> bytes:
    """mov rax, [rcx+place]; mov REGISTER, rax; nine bytes of filler."""
    return b"\x48\x8b\x41" + bytes([place]) + b"\x48\x89" + bytes([0xC0 + register]) + b"\x90" * 9


def findings(old: tuple[int, ...], new: tuple[int, ...]) -> list[Finding]:
    def dll(places: tuple[int, ...]) -> Dll:
        return Dll(
            code=tuple(
                function(f"get{number}", reader(place, number), RET) for number, place in enumerate(places)
            )
        )

    plan = make_plan(against(dll(old), dll(new)))
    assert len(plan.functions) == sum(a != b for a, b in zip(old, new, strict=True))
    return [finding for finding in plan.findings if finding.code is codes.FIELDS_MOVED]


def test_three_functions_that_moved_alike() -> None:
    (found,) = findings((0x10, 0x20, 0x30, 0x40), (0x18, 0x28, 0x38, 0x40))
    assert "3 functions" in found.cause
    assert "+8" in found.cause


@pytest.mark.parametrize(
    "new",
    [(0x18, 0x28, 0x30, 0x40), (0x18, 0x28, 0x34, 0x40), (0x08, 0x28, 0x38, 0x40)],
    ids=["two", "another distance", "the other direction"],
)
def test_fewer_are_no_sign(new: tuple[int, ...]) -> None:
    assert findings((0x10, 0x20, 0x30, 0x40), new) == []


def test_fields_may_be_gone() -> None:
    (found,) = findings((0x18, 0x28, 0x38), (0x10, 0x20, 0x30))
    assert "-8" in found.cause
