"""The words in front of virtual tables, of both families of compilers."""

import struct

import pytest

from hpbuild.match.vtables import table_heads
from tests.assembled import RET, Dll, datum, diff, function
from tests.comparing import assert_same, changed

CODE = (
    function("makes", ("lea", "table"), RET),
    function("virtual", b"\x31\xc0", RET),
    function("says", ("lea", "text"), RET),
)


def itanium(text: bytes, typeinfo: str = "type", name: bytes = b"3Foo", top: int = 0) -> Dll:
    return Dll(
        code=CODE,
        constants=(
            datum("text", text, align=1),
            datum("head", struct.pack("<q", top), ("pointer", typeinfo)),
            datum("table", ("pointer", "virtual")),
            datum("type", ("pointer", "table"), ("pointer", "name")),
            datum("other", ("pointer", "table"), ("pointer", "name"), ("pointer", "type")),
            datum("name", name + b"\0", align=1),
        ),
    )


def msvc(text: bytes, locator: str = "locator") -> Dll:
    """The type descriptor and the hierarchy are missing; the locator holds the RVA of itself."""

    def made(at: int, second: int) -> Dll:
        return Dll(
            code=CODE,
            constants=(
                datum("text", text, align=1),
                datum("head", ("pointer", locator)),
                datum("table", ("pointer", "virtual")),
                datum("locator", struct.pack("<IIIIII", 1, 0, 0, 0, 0, at)),
                datum("second", struct.pack("<IIIIII", 1, 8, 0, 0, 0, second)),
            ),
        )

    labels = made(0, 0).labels()
    return made(labels["locator"], labels["second"])


@pytest.mark.parametrize(("dll", "size"), [(itanium(b"text\0"), 16), (msvc(b"text\0"), 8)])
def test_head_ends_where_the_table_begins(dll: Dll, size: int) -> None:
    start, end, _ = table_heads(dll.program())
    table = dll.labels()["table"]
    assert (start.tolist(), end.tolist()) == ([table - size], [table])
    side = dll.side()
    assert side.atoms.start[side.atoms.heads].tolist() == [table - size]


@pytest.mark.parametrize("top", [0, -16, (1 << 31) - 1])
def test_offset_to_top(top: int) -> None:
    assert len(table_heads(itanium(b"text\0", top=top).program())[0]) == 1


@pytest.mark.parametrize("dll", [itanium(b"t\0", top=1 << 40), itanium(b"t\0", name=b"?x")])
def test_other_pointers_to_pairs_of_pointers(dll: Dll) -> None:
    assert len(table_heads(dll.program())[0]) == 0


@pytest.mark.parametrize("make", [itanium, msvc])
def test_head_is_no_part_of_what_lies_before_it(make: object) -> None:
    """The text grows into the filler: whoever names it did not change with the table's place."""
    assert callable(make)
    assert_same(diff(make(b"text\0"), make(b"text\0")))
    assert changed(diff(make(b"text\0\0\0\0\0\0"), make(b"text\0"))) == []


@pytest.mark.parametrize(
    ("baseline", "fixed"),
    [
        (itanium(b"text\0"), itanium(b"text\0", typeinfo="other")),
        (itanium(b"text\0"), itanium(b"text\0", top=-8)),
        (msvc(b"text\0"), msvc(b"text\0", locator="second")),
    ],
)
def test_head_testifies_with_its_table(baseline: Dll, fixed: Dll) -> None:
    assert changed(diff(baseline, fixed)) == ["makes"]
