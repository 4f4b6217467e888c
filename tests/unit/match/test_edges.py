"""Where one thing ends and the next begins: section ends, aligned pointers, names of sections."""

import pytest

from hpbuild.match.model import Change
from tests.assembled import RET, Dll, datum, diff, function

PAGE = 0x1000


def ends_at(size: int, target: str = "end of .rdata") -> Dll:
    """Constants of ``size`` bytes; a pointer at their end, as linkers make for lists that may be empty."""
    return Dll(
        code=(function("user", ("lea", "bound"), RET), function("other", ("lea", "first"), RET)),
        constants=(datum("first", b"\x07" * (size - 8)), datum("bound", ("pointer", target))),
        variables=(datum("variable", b"\x05" * 8, exported=True),),
    )


@pytest.mark.parametrize("sizes", [(PAGE, PAGE - 32), (PAGE - 32, PAGE), (PAGE, PAGE), (64, 64)])
def test_the_end_of_a_section_may_be_the_start_of_the_next(sizes: tuple[int, int]) -> None:
    """At a multiple of the page size both have one address."""
    baseline, fixed = (ends_at(size) for size in sizes)
    found = {item.name for item in diff(baseline, fixed).functions}
    assert "user" not in found


def test_a_pointer_to_the_next_section_is_another_target_fails() -> None:
    """Only on one side do the two addresses coincide; on the other they differ."""
    found = diff(ends_at(64), ends_at(64, "variable"))
    assert [(item.name, item.change) for item in found.functions] == [("user", Change.CHANGED)]


def text_and_table(text: bytes, entry: str, shift: int) -> Dll:
    """A text at an odd address; behind it, aligned, a pointer that nothing names."""
    return Dll(
        code=(
            function("reader", ("lea", "text"), RET),
            function("one", b"\xb8\1\0\0\0", RET),
            function("two", b"\xb8\2\0\0\0", RET),
        ),
        constants=(
            datum("front", b"\x09" * (5 + shift), align=1),
            datum("text", text + b"\0", align=1),
            datum("hidden", ("pointer", entry)),
        ),
    )


def test_what_lies_behind_a_text_is_no_part_of_it() -> None:
    """Its distance is filler, and what it points at is not the text's affair."""
    found = diff(text_and_table(b"hello", "one", 0), text_and_table(b"hello", "one", 1))
    assert found.functions == ()
    found = diff(text_and_table(b"hello", "one", 0), text_and_table(b"hello", "two", 0))
    assert [item.name for item in found.functions] == []
    assert found.data, "but it is told"


def test_the_text_itself_is() -> None:
    found = diff(text_and_table(b"hello", "one", 0), text_and_table(b"jello", "one", 0))
    assert [item.name for item in found.functions] == ["reader"]
