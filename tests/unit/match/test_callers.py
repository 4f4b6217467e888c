"""Pairs of functions that changed beyond likeness, by who calls them."""

import pytest

from hpbuild.match.model import Change
from hpbuild.match.pairing import Level
from tests.assembled import RET, Dll, Item, Part, diff, function

NOTHING = b"\x90" * 12


def named(label: str, *parts: Part) -> Item:
    return function(label, *parts, RET, NOTHING)


def program(new: bool, *, users: tuple[str, ...] = ("first", "second"), shared: int = 2) -> Dll:
    """``grown``, which is not exported, is called by ``users``, which change too, and calls helpers. Nothing
    but its calls is alike in its two versions."""
    helpers = [named(f"helper{number}", bytes([0xB8, number, 7, 7, 7])) for number in range(3)]
    calls: list[Part] = [("call", f"helper{number}") for number in range(shared)]
    if new:
        # xor, and, shl, imul, ror, bswap and others between: no two instructions in a row are the old ones.
        body: list[Part] = [b"\x48\x31\xc8\x48\x21\xd1\x48\xc1\xe0\x05\x48\x0f\xaf\xc1\x48\xc1\xc8\x07"]
        for call in [*calls, ("call", "helper2")]:
            body += [
                b"\x48\x0f\xc8\x48\xf7\xd1\x48\x19\xd1",
                call,
                b"\x48\x87\xd1\x48\xd1\xe9\x48\x0f\xbd\xc1",
            ]
    else:
        body = [b"\x53", *calls, b"\x5b"]
    return Dll(
        code=(
            *helpers,
            *(
                named(user, bytes([0xB8, number, 1, 1, 1]), b"\x48\x01\xc1" * new, ("call", "grown"))
                for number, user in enumerate(("first", "second"))
                if user in users
            ),
            function("grown", *body, RET, exported=False),
        )
    )


def changes(baseline: Dll, fixed: Dll) -> dict[Change, list[str]]:
    found: dict[Change, list[str]] = {}
    for item in diff(baseline, fixed).functions:
        found.setdefault(item.change, []).append(item.level)
    return found


def test_the_same_callers_and_what_it_calls() -> None:
    found = changes(program(False), program(True))
    assert sorted(found) == [Change.CHANGED]
    assert Level.CALLERS.label in found[Change.CHANGED]


@pytest.mark.parametrize(
    ("old", "shared"), [(("first",), 2), (("first", "second"), 1)], ids=["other callers", "little in common"]
)
def test_without_either_they_stay_apart_fails(old: tuple[str, ...], shared: int) -> None:
    found = changes(program(False, users=old, shared=shared), program(True, shared=shared))
    assert Change.ADDED in found
    assert Change.REMOVED in found
    assert Level.CALLERS.label not in found.get(Change.CHANGED, [])


def between(user: str, other: str, constant: int) -> Dll:
    """``hidden`` lies between two exported functions; ``user`` calls it, ``other`` calls a third one."""
    calls = {user: "hidden", other: "third"}
    return Dll(
        code=(
            named("before", b"\xb8\1\2\3\4"),
            function("hidden", b"\xb8\x10\0\0\0\x01\xc8", bytes([0x83, 0xC0, constant]), RET, exported=False),
            named("behind", b"\xb8\5\6\7\x08"),
            named("third", b"\xb8\x20\0\0\0"),
            named("one", b"\xb8\x31\0\0\0", ("call", calls["one"])),
            named("two", b"\xb8\x32\0\0\0", ("call", calls["two"])),
        )
    )


def test_place_and_likeness_make_a_pair() -> None:
    found = changes(between("one", "two", 5), between("one", "two", 6))
    assert sorted(found) == [Change.CHANGED]


def test_a_pair_that_its_callers_deny_is_none_fails() -> None:
    """The same place, and alike; but it is another function that calls it now: it is not the old one."""
    found = diff(between("one", "two", 5), between("two", "one", 6))
    changed = {(item.name, item.change) for item in found.functions}
    assert {change for name, change in changed if name.startswith("sub_")} == {Change.ADDED, Change.REMOVED}
    assert {name for name, change in changed if change is Change.CHANGED} == {"one", "two"}


HALF = (b"\x48\x31\xc8", b"\x48\x01\xd1", b"\x48\xc1\xe0\x05", b"\x48\xf7\xd1")
"""xor rax, rcx; add rcx, rdx; shl rax, 5; not rcx"""
OTHER = (b"\x48\x0f\xc8", b"\x48\x19\xd1", b"\x48\xc1\xc8\x07", b"\x48\xd1\xe9")
"""bswap rax; sbb rcx, rdx; ror rax, 7; shr rcx, 1"""


def half_alike(new: bool, users: tuple[str, ...]) -> Dll:
    """``hidden`` between two exported functions; less than half of its code stays. ``users`` call it, the
    others of four, which all change, call a third one."""
    body = (
        (*HALF, *HALF, *OTHER) if not new else (*HALF, *HALF, *OTHER[::-1], *OTHER[::-1], b"\x48\x0f\xaf\xc1")
    )
    names = ("one", "two", "three", "four")
    return Dll(
        code=(
            named("before", b"\xb8\1\2\3\4"),
            function("hidden", *body, RET, exported=False),
            named("behind", b"\xb8\5\6\7\x08"),
            named("third", b"\xb8\x20\0\0\0"),
            *(
                named(
                    name, bytes([0xB8, number, new, 0, 0]), ("call", "hidden" if name in users else "third")
                )
                for number, name in enumerate(names)
            ),
        )
    )


def test_what_is_hardly_alike_needs_its_callers() -> None:
    found = changes(half_alike(False, ("one", "two")), half_alike(True, ("one", "two")))
    assert sorted(found) == [Change.CHANGED]
    found = changes(half_alike(False, ("one", "two")), half_alike(True, ("one", "two", "three", "four")))
    assert Change.ADDED in found
    assert Change.REMOVED in found


def test_a_new_call_alone_denies_nothing() -> None:
    """Nobody calls the hidden function in one of the two: the call is new, or gone."""

    def calling(target: str, constant: int) -> Dll:
        return Dll(
            code=(
                named("before", b"\xb8\1\2\3\4"),
                function(
                    "hidden", b"\xb8\x10\0\0\0\x01\xc8", bytes([0x83, 0xC0, constant]), RET, exported=False
                ),
                named("behind", b"\xb8\5\6\7\x08"),
                named("third", b"\xb8\x20\0\0\0"),
                named("one", b"\xb8\x31\0\0\0", ("call", target)),
                named("end", b"\xb8\x33\0\0\0"),
            )
        )

    one, two = calling("third", 1), calling("hidden", 2)
    for baseline, fixed in ((one, two), (two, one)):
        assert sorted(changes(baseline, fixed)) == [Change.CHANGED]
