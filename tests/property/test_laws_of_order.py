"""Laws of link order over small DLLs drawn at random, and over one source linked in two orders."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.match.comparison import compare
from hpbuild.match.facts import describe
from tests.assembled import RET, Dll, Item, Part, datum, diff, function
from tests.comparing import assert_same, example, program
from tests.property.specimens import FULL

SETTINGS = settings(
    deadline=None,
    max_examples=400 if FULL else 25,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not FULL,
)
MOVES = {"mov eax": b"\xb8", "mov ecx": b"\xb9", "mov edx": b"\xba", "add eax": b"\x05", "cmp eax": b"\x3d"}


@st.composite
def dlls(draw: st.DrawFn) -> Dll:
    """A DLL of up to twelve exported functions that call each other and name constants, tables of pointers
    and variables; one more names all of them. Constants differ from each other; functions may be equal."""
    count = draw(st.integers(2, 12))
    labels = [f"function{number}" for number in range(count)]
    letters = st.text("abcdefgh", min_size=3, max_size=12)
    texts = draw(st.lists(letters, min_size=1, max_size=6, unique=True))
    constants = [datum(f"text{number}", text.encode() + b"\0") for number, text in enumerate(texts)]
    pointed = draw(st.lists(st.sampled_from(labels), max_size=5))
    if pointed:
        constants.append(datum("table", *(("pointer", label) for label in pointed)))
    variables = [datum(f"variable{number}", bytes([number + 1] * 8)) for number in range(3)]
    names = [item.label for item in constants]
    code = [function(label, *draw(bodies(labels, names)), RET) for label in labels]
    everything: list[Part] = [("lea", name) for name in names]
    everything += [("load", item.label) for item in variables]
    code.append(function("all", *everything, RET))
    return Dll(code=tuple(code), constants=tuple(constants), variables=tuple(variables))


@st.composite
def bodies(draw: st.DrawFn, labels: list[str], names: list[str]) -> list[Part]:
    """Instructions of one function."""
    variables = [f"variable{number}" for number in range(3)]
    kinds: list[st.SearchStrategy[Part]] = [
        st.tuples(st.just("call"), st.sampled_from(labels)),
        st.tuples(st.sampled_from(["lea", "lea rcx", "lea rdx", "lea r8"]), st.sampled_from(names)),
        st.tuples(st.sampled_from(["load", "store"]), st.sampled_from(variables)),
        st.builds(
            lambda opcode, value: opcode + value.to_bytes(4, "little"),
            st.sampled_from(sorted(MOVES.values())),
            st.integers(0, 0xFFFFFFFF),
        ),
    ]
    return draw(st.lists(st.one_of(kinds), min_size=1, max_size=8))


def reordered(draw: st.DataObject, dll: Dll) -> Dll:
    """Code, constants and variables in another order."""

    def other(items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(draw.draw(st.permutations(items)))

    return replace(dll, code=other(dll.code), constants=other(dll.constants), variables=other(dll.variables))


@SETTINGS
@given(dll=dlls(), choice=st.data())
def test_order_is_no_change(dll: Dll, choice: st.DataObject) -> None:
    assert_same(diff(dll, reordered(choice, dll)))


@SETTINGS
@given(dll=dlls(), base=st.integers(1, 0x7000))
def test_base_is_no_change(dll: Dll, base: int) -> None:
    assert_same(diff(dll, replace(dll, base=base << 16)))


@SETTINGS
@given(dll=dlls(), gaps=st.lists(st.sampled_from([16, 32, 64, 128]), min_size=13, max_size=13))
def test_padding_between_functions_is_no_change(dll: Dll, gaps: list[int]) -> None:
    code = tuple(replace(item, align=gap) for item, gap in zip(dll.code, gaps, strict=False))
    assert_same(diff(dll, replace(dll, code=code)))


@SETTINGS
@given(dll=dlls(), choice=st.data())
def test_order_hides_no_change(dll: Dll, choice: st.DataObject) -> None:
    """The law above can fail: with one constant in the code of one function changed, in another order, that
    function is changed, and no other."""
    index = choice.draw(st.integers(0, len(dll.code) - 1), label="function")
    item = dll.code[index]
    changed = replace(item, parts=(b"\xb8\x78\x56\x34\x12\x90", *item.parts))
    other = replace(dll, code=(*dll.code[:index], changed, *dll.code[index + 1 :]))
    found = diff(dll, reordered(choice, other))
    assert [fact.name for fact in found.functions] == [item.label]


@SETTINGS
@given(content=st.binary(min_size=1, max_size=40), variable=st.binary(max_size=40))
def test_data_that_nothing_names_is_no_change(content: bytes, variable: bytes) -> None:
    """Nothing in the whole image names any data."""
    variables = (datum("variable", variable),) if variable else ()
    dll = Dll(code=(function("one", RET),), constants=(datum("constant", content),), variables=variables)
    assert_same(diff(dll, dll))
    assert_same(diff(dll, replace(dll, base=0x7FF0_0000)))


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_one_source_in_two_orders_is_no_change(symbols: str) -> None:
    baseline, fixed = (example("variants/identical", side) for side in ("baseline", "fixed"))
    assert baseline.read_bytes() != fixed.read_bytes()
    assert_same(describe(compare(program(baseline, symbols), program(fixed, symbols))))
