"""Arrays that one function indexes while others read an element: who must have the new ones."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hpbuild.pipeline import BuildRequest, build
from tests.assembled import RET, Dll, Part, datum, function

Plans = Callable[..., Any]
OLD = (3, 1, 4, 1, 5, 9, 2, 6)
INDEX = b"\x8b\x04\x88"
"""mov eax,[rax+rcx*4]."""


def dll(values: Sequence[int], *more: Part) -> Dll:
    """One function indexes eight numbers, two read the fifth and the sixth; ``more`` is data behind."""
    return Dll(
        code=(
            function("indexes", ("lea", "numbers"), INDEX, RET),
            function("fifth", ("load", "numbers+16"), b"\x90", RET),
            function("sixth", ("load", "numbers+20"), b"\x90\x90", RET),
        ),
        constants=(datum("numbers", struct.pack(f"<{len(values)}I", *values), *more),),
    )


@pytest.mark.parametrize("index", range(8))
def test_whoever_indexes_an_array_gets_every_changed_element(planned: Plans, index: int) -> None:
    """Also an element behind those that other functions name; and the array comes along as a whole, so with
    all that read it."""
    new = list(OLD)
    new[index] += 1
    found = planned(dll(OLD).program(), dll(new).program())
    changed = {4: "fifth", 5: "sixth", 6: "sixth", 7: "sixth"}.get(index, "indexes")
    reasons = dict.fromkeys(("indexes", "fifth", "sixth"), "referrer")
    assert found.names() == reasons | {changed: "changed"}
    (array,) = found.plan.data
    assert found.plan.chunks[array.chunk].content[:32] == struct.pack("<8I", *new)
    assert found.plan.findings == ()


def test_elements_that_changed_places(planned: Plans) -> None:
    """Both are there in the baseline, but not where the array is indexed."""
    one, two = (0x1111111122222222, 0x3333333344444444)
    code = (
        function("indexes", ("lea", "numbers"), INDEX, RET),
        function("first", ("hold", "numbers+8"), b"\x90", RET),
        function("second", ("hold", "numbers+16"), b"\x90\x90", RET),
    )
    sides = [
        Dll(code=code, constants=(datum("numbers", struct.pack("<3Q", 7, *values)),)).program()
        for values in ((one, two), (two, one))
    ]
    found = planned(*sides)
    assert "indexes" in found.names()
    assert struct.pack("<3Q", 7, two, one) in [chunk.content[:24] for chunk in found.plan.chunks]


def test_a_pointer_in_an_array_that_is_read_directly(planned: Plans) -> None:
    """Whoever indexes names and the pointers behind them gets the new text."""

    def made(text: bytes) -> Dll:
        code = (
            function("indexes", ("lea", "rows"), INDEX, RET),
            function("reads", ("hold", "rows+8"), b"\x90", RET),
        )
        rows = datum("rows", struct.pack("<Q", 5), ("pointer", "text"))
        return Dll(code=code, constants=(rows, datum("text", text)))

    found = planned(made(b"some text\0").program(), made(b"same text\0").program())
    assert found.names().keys() == {"indexes", "reads"}


def test_nothing_is_carried_when_only_what_lies_behind_moves(planned: Plans) -> None:
    def made(*front: bytes) -> Dll:
        items = tuple(datum(f"front {number}", part) for number, part in enumerate(front))
        base = dll(OLD)
        extra = tuple(function(f"says{n}", ("lea", f"front {n}"), RET) for n in range(len(front)))
        return Dll(code=(*base.code, *extra), constants=(*items, *base.constants))

    found = planned(made().program(), made(b"one more text\0").program())
    assert found.names() == {}


def test_a_new_name_for_the_end_of_a_text_takes_along_who_names_the_text(planned: Plans) -> None:
    """The text is carried as one, so nobody may be left behind who names it."""

    def made(*code: Part) -> Dll:
        functions = (function("says", ("lea", "text"), RET), function("other", *code, RET))
        return Dll(code=functions, constants=(datum("text", b"some words\0"),))

    found = planned(made(b"\x31\xc0").program(), made(("lea", "text+5")).program())
    assert found.names() == {"other": "changed", "says": "referrer"}


def grown(count: int, *loops: Part) -> Dll:
    """A function indexes ``count`` numbers that end where the address of a text is taken; the last one may be
    read by another."""
    numbers = struct.pack(f"<{count}Q", *range(7, 7 + count))
    reads = (("hold", "numbers+16"), b"\x90", RET) if count > 2 else (b"\x31\xc0", b"\x90" * 6, RET)
    return Dll(
        code=(
            function("indexes", ("lea", "numbers"), *loops, INDEX, RET),
            function("says", ("lea", "behind"), b"\x90\x90", RET),
            function("reads", *reads),
        ),
        constants=(datum("numbers", numbers), datum("behind", b"\x07\1\2\3\4\5\6\7" * 2)),
    )


def test_what_is_put_behind_an_array_takes_nobody_along(planned: Plans) -> None:
    """Code that is the same reaches no further than the array of the baseline goes."""
    found = planned(grown(2).program(), grown(3).program())
    assert found.names() == {"reads": "changed"}


def test_an_array_that_grew_with_the_code_that_indexes_it(planned: Plans) -> None:
    """It begins as in the baseline, and goes on as something else."""
    found = planned(grown(2, b"\x83\xf9\x02").program(), grown(3, b"\x83\xf9\x03").program())
    assert found.names() == {"indexes": "changed", "reads": "changed"}
    assert [len(datum.fixed) for datum in found.plan.data] == [24]


def test_a_zero_is_no_address(planned: Plans) -> None:
    """An element that was an address and is nothing now."""

    def made(element: Part) -> Dll:
        code = (
            function("indexes", ("lea", "rows"), INDEX, RET),
            function("reads", ("hold", "rows+8"), b"\x90", RET),
        )
        return Dll(code=code, constants=(datum("rows", bytes(8), element), datum("text", b"words\0")))

    found = planned(made(("pointer", "text")).program(), made(bytes(8)).program())
    assert found.names().keys() == {"indexes", "reads"}


@pytest.mark.parametrize("index", [1, 4, 7])
def test_a_package_with_an_array_is_proved(tmp_path: Path, index: int) -> None:
    """From the two files to the patch image: it has the whole array, and the proof holds."""
    new = list(OLD)
    new[index] += 1
    for folder, values in (("baseline", OLD), ("fixed", new)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tiny.dll").write_bytes(dll(values).file())
    request = BuildRequest(
        baseline=tmp_path / "baseline/tiny.dll", fixed=tmp_path / "fixed/tiny.dll", id="array", sequence=1,
        product="product", advisories=(), created="", symbols="none",
    )  # fmt: skip
    result = build(request, lambda *progress: None)
    (proof,) = result.proofs
    assert proof.ok, proof.findings
    (module,) = result.manifest.modules
    assert {item.name for item in module.functions} == {"indexes", "fifth", "sixth"}
    (image,) = result.members.values()
    assert struct.pack("<8I", *new) in image


def test_a_text_that_begins_with_something_new_has_the_old_place_of_its_rest(planned: Plans) -> None:
    """Linkers share the ends of texts: the new one ends with one that the baseline has, where that lies."""
    sides = [
        Dll(
            code=(function("keeps", ("lea", end), b"\x90", RET), function("takes", start, RET)),
            constants=(datum("text", text),),
        ).program()
        for end, start, text in (
            ("text", b"\x33\xc0", b"of a text\0"),
            ("text+9", ("lea", "text"), b"the rest of a text\0"),
        )
    ]
    found = planned(*sides)
    assert found.names() == {"takes": "changed", "keeps": "referrer"}
    (text,) = found.plan.data
    assert found.plan.chunks[text.chunk].content == b"the rest of a text\0"
    assert (text.reason.value, text.baseline is None) == ("changed", False)
