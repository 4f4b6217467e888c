"""Functions by name and address, as people write them."""

from dataclasses import replace

import pytest

from hpbuild.codes import match as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.match.comparison import Comparison
from hpbuild.match.lookup import Found, close_names, find
from tests.comparing import compared


@pytest.fixture(scope="module")
def codec() -> Comparison:
    return compared("codec", "auto")


def starts(comparison: Comparison, found: Found) -> tuple[int, int]:
    """Entries of both sides, -1 for none."""
    fixed, baseline = comparison.fixed.program.fragments.start, comparison.baseline.program.fragments.start
    return (
        int(fixed[found.fixed]) if found.fixed >= 0 else -1,
        int(baseline[found.baseline]) if found.baseline >= 0 else -1,
    )


def refused(comparison: Comparison, text: str) -> tuple[Code, str]:
    with pytest.raises(HpbuildError) as caught:
        find(comparison, text)
    assert caught.value.finding.place == text[:200]
    return caught.value.code, caught.value.finding.cause


def test_a_function_has_one_place_on_each_side(codec: Comparison) -> None:
    by_name = find(codec, "runlength_decode")
    fixed, baseline = starts(codec, by_name)
    assert fixed != baseline
    assert min(fixed, baseline) > 0
    assert find(codec, f"{fixed:#x}") == by_name
    assert find(codec, f"0x{fixed + 5:X}") == by_name
    assert find(codec, f"baseline:{baseline:#x}") == by_name
    assert find(codec, "baseline:runlength_decode") == by_name


def test_a_bare_address_is_one_of_the_fixed_image(codec: Comparison) -> None:
    fixed, baseline = starts(codec, find(codec, "codec_status_text"))
    assert find(codec, f"{baseline:#x}") != find(codec, "codec_status_text")
    assert find(codec, f"baseline:{fixed:#x}") != find(codec, "codec_status_text")


def test_new_and_gone_functions_have_one_side() -> None:
    assert find(compared("codec", "auto"), "tail_status").baseline == -1
    removed = compared("variants/removed", "none")
    gone = {fact.partner for fact in removed.functions}
    (root,) = [root for root in removed.baseline_functions if root not in gone]
    name = removed.baseline.program.name_of(root)
    assert find(removed, f"baseline:{name}") == Found(-1, root)


def test_names_without_symbols_are_those_of_reports() -> None:
    plain = compared("codec", "none")
    assert find(plain, "sub_1150") == find(plain, "0x1150")
    assert find(plain, "codec_find") == find(plain, f"{starts(plain, find(plain, 'codec_find'))[0]:#x}")
    code, _ = refused(plain, "sub_1151")
    assert code is codes.UNKNOWN_FUNCTION


def test_a_mangled_name_is_a_name() -> None:
    throwing = compared("throwing", "auto")
    symbols = [s for s in throwing.fixed.program.symbols.items if s.linkage_name and s.linkage_name != s.name]
    known = {int(start) for start in throwing.fixed.program.fragments.start}
    symbol = next(s for s in symbols if s.kind.value == "function" and int(s.rva) in known)
    assert starts(throwing, find(throwing, symbol.linkage_name))[0] == int(symbol.rva)


@pytest.mark.parametrize("text", ["codec_statustext", "CODEC_STATUS_TEXT", "status_text"])
def test_an_unknown_name_is_told_with_close_ones(codec: Comparison, text: str) -> None:
    code, cause = refused(codec, text)
    assert code is codes.UNKNOWN_FUNCTION
    assert "codec_status_text" in cause
    assert close_names(codec, text)[0] == "codec_status_text"


@pytest.mark.parametrize(
    "text",
    ["", "0x", "0x0", "0x10", "0xffffffffffffffff", "baseline:", "baseline:0x10", "\x1b[2J", "x" * 9999],
)
def test_what_names_nothing_is_refused(codec: Comparison, text: str) -> None:
    code, cause = refused(codec, text)
    assert code is codes.UNKNOWN_FUNCTION
    assert len(cause) < 1000


def test_data_and_imports_are_no_functions(codec: Comparison) -> None:
    names = set(codec.fixed.atoms.names.values())
    for name in sorted(names)[:20]:
        assert refused(codec, name)[0] is codes.UNKNOWN_FUNCTION


def test_a_name_of_two_functions_is_told_with_their_places() -> None:
    codec = compared("codec", "auto")
    program = codec.fixed.program
    first, second = (starts(codec, find(codec, name))[0] for name in ("codec_find", "codec_encode"))
    twins = tuple(
        replace(symbol, name="twin", linkage_name="") if int(symbol.rva) in (first, second) else symbol
        for symbol in program.symbols.items
    )
    symbols = replace(program.symbols, items=twins)
    double = replace(codec, fixed=replace(codec.fixed, program=replace(program, symbols=symbols)))
    code, cause = refused(double, "twin")
    assert code is codes.AMBIGUOUS_FUNCTION
    assert f"{first:#x}" in cause
    assert f"{second:#x}" in cause
    assert find(double, f"{first:#x}") == find(codec, "codec_find")
