"""Types that the two builds lay out differently."""

from pathlib import Path

import pytest

from hpbuild.match.type_layouts import LayoutChange, layout_changes
from hpbuild.pe.pdb.msf import open_msf
from hpbuild.pe.pdb.type_records import TypeStream, read_types
from hpbuild.pe.pdb.types import TypeKind
from tests.type_streams import (
    CHAR,
    INT,
    LONGLONG,
    VOID,
    enumeration,
    enumerator,
    field_list,
    member,
    method,
    pointer,
    record,
    structure,
    types,
)


def load(path: Path) -> TypeStream:
    found = read_types(open_msf(path.read_bytes(), path.name))
    assert found is not None
    return found


def changes(old: list[bytes], new: list[bytes]) -> tuple[LayoutChange, ...]:
    return layout_changes(types(*old), types(*new))


def details(old: list[bytes], new: list[bytes]) -> tuple[str, ...]:
    (change,) = changes(old, new)
    return change.details


def plain(*members: bytes, size: int = 16, name: str = "s") -> list[bytes]:
    return [field_list(*members), structure(name, 0x1000, size)]


def test_a_field_that_a_fix_adds(binaries: Path) -> None:
    folder = binaries / "variants" / "type_layout"
    sides = (load(folder / side / "gadget.pdb") for side in ("baseline", "fixed"))
    assert layout_changes(*sides) == (
        LayoutChange(
            name="reading",
            kind=TypeKind.RECORD,
            details=("size 8 -> 12 bytes", "field scale is new at offset 8"),
        ),
    )


@pytest.mark.parametrize("pair", ["codec", "throwing", "variants/static_var", "variants/constant_table"])
def test_fixes_that_change_no_type(binaries: Path, pair: str) -> None:
    names = [f"{side}/{pair}.pdb" for side in ("baseline", "fixed")]
    if "/" in pair:
        names = [f"{pair}/{side}/gadget.pdb" for side in ("baseline", "fixed")]
    assert layout_changes(*(load(binaries / name) for name in names)) == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([member("a", INT, 0)], [member("a", INT, 4)], "field a moved from offset 0 to 4"),
        ([member("a", INT, 0)], [member("a", CHAR, 0)], "field a was int, is char"),
        ([member("a", INT, 0)], [member("b", INT, 0)], "field b is new at offset 0"),
        ([member("a", INT, 0), member("b", INT, 4)], [member("a", INT, 0)], "field b is gone from offset 4"),
    ],
)
def test_what_makes_a_change(old: list[bytes], new: list[bytes], expected: str) -> None:
    assert expected in details(plain(*old), plain(*new))


def test_a_virtual_method_that_a_fix_adds() -> None:
    def shape(*slots: bytes) -> list[bytes]:
        return [
            record(0x1201, b"\0\0\0\0"),
            record(0x1009, bytes([VOID, 0, 0, 0]) + bytes(14) + b"\0\0" + b"\0\x10\0\0" + bytes(4)),
            field_list(member("a", INT, 8), *slots),
            structure("s", 0x1002, 16, kind=0x1504),
        ]

    first, second = method("first", 0x1001, 0), method("second", 0x1001, 8)
    assert details(shape(first), shape(first, second)) == ("virtual method second is new at offset 8",)
    assert changes(shape(first, second), shape(second, first)) == ()


def test_other_indices_are_no_change() -> None:
    old = [pointer(CHAR), field_list(member("a", 0x1000, 0)), structure("s", 0x1001, 8)]
    new = [pointer(INT), pointer(CHAR), field_list(member("a", 0x1001, 0)), structure("s", 0x1002, 8)]
    assert changes(old, new) == ()


def test_const_is_no_change() -> None:
    const = record(0x1001, CHAR.to_bytes(4, "little") + b"\1\0\0\0")
    old = [pointer(CHAR), field_list(member("a", 0x1000, 0)), structure("s", 0x1001, 8)]
    new = [const, pointer(0x1000), field_list(member("a", 0x1001, 0)), structure("s", 0x1002, 8)]
    assert changes(old, new) == ()


def test_types_of_one_build_are_no_change() -> None:
    assert changes(plain(member("a", INT, 0), name="old"), plain(member("a", INT, 0), name="new")) == ()


def test_members_of_an_anonymous_union_are_a_change() -> None:
    def nested(target: int) -> list[bytes]:
        return [
            field_list(member("a", target, 0)),
            structure("s::<unnamed-tag>", 0x1000, 8, kind=0x1506),
            field_list(member("u", 0x1001, 0)),
            structure("s", 0x1002, 8),
        ]

    assert details(nested(INT), nested(LONGLONG)) == (
        "field u was union {a int @0} of 8 bytes, is union {a long long @0} of 8 bytes",
    )


def test_several_types_of_one_name_are_compared_together() -> None:
    one, other = member("a", INT, 0), member("b", CHAR, 0)
    both = [field_list(one), structure("s", 0x1000, 4), field_list(other), structure("s", 0x1002, 1)]
    turned = [field_list(other), structure("s", 0x1000, 1), field_list(one), structure("s", 0x1002, 4)]
    assert changes(both, turned) == ()
    third = [field_list(one), structure("s", 0x1000, 4), field_list(other), structure("s", 0x1002, 2)]
    assert details(both, third) == ("1 of its definitions are gone, 1 are new", "size 1 -> 2 bytes")
    assert details(both, plain(one, size=4)) == ("1 of its definitions are gone, 0 are new",)
    assert details(plain(one, size=4), both) == ("0 of its definitions are gone, 1 are new",)


def test_enumerations() -> None:
    def values(*rows: tuple[str, int], base: int = INT) -> list[bytes]:
        return [field_list(*(enumerator(*row) for row in rows)), enumeration("e", 0x1000, base)]

    old = values(("a", 0), ("b", 1), ("count", 2))
    assert changes(old, values(("a", 0), ("b", 1), ("count", 2), ("c", 3))) == ()
    (moved,) = changes(old, values(("a", 0), ("b", 1), ("c", 2), ("count", 3)))
    assert (moved.details, moved.last_value_only) == (("count 2 -> 3",), True)
    (shifted,) = changes(old, values(("c", 0), ("a", 1), ("b", 2), ("count", 3)))
    assert (len(shifted.details), shifted.last_value_only) == (3, False)
    (wider,) = changes(old, values(("a", 0), ("b", 1), ("count", 2), base=LONGLONG))
    assert (wider.details, wider.last_value_only) == (("4 -> 8 bytes",), False)
