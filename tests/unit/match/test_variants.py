"""Every committed pair: which functions and data differ, with symbols where there are any and without."""

import pytest

from hpbuild.match.model import Change, Difference
from hpbuild.values import Interval
from tests.comparing import (
    PAIRS,
    assert_complete,
    assert_same,
    difference,
    example,
    function_at,
    program,
    referrers,
)

UNCHANGED = ("variants/identical", "variants/rebased")
CHANGED, ADDED, REMOVED = Change.CHANGED, Change.ADDED, Change.REMOVED
FUNCTIONS: dict[str, dict[str, Change]] = {
    "codec": {
        "base64_decode": CHANGED,
        "codec_status_text": CHANGED,
        "codec_transform": CHANGED,
        "runlength_decode": CHANGED,
        "tail_status": ADDED,
    },
    "variants/constant_table": {},
    "variants/data_init": {},
    "variants/folded": {"gadget_lower_right": ADDED},
    "variants/identical": {},
    "variants/initialiser": {"DllMain": CHANGED},
    "variants/line_only": {"failed": CHANGED},
    "variants/new_export": {"gadget_budget": ADDED},
    "variants/new_import": {"gadget_report": CHANGED, "GetCurrentProcessId": ADDED},
    "variants/pad_jump": {"gadget_lower_left": CHANGED},
    "variants/rebased": {},
    "variants/removed": {"gadget_measure": CHANGED, "scaled": REMOVED},
    "variants/static_var": {"gadget_measure": CHANGED},
    "variants/tls": {"gadget_enter": CHANGED},
    "variants/type_layout": {"gadget_measure": CHANGED},
}
"""Names as in the sources, also of what has no name in the image: ``named`` finds those by their callers."""


def named(pair: str, found: Difference) -> dict[str, Change]:
    """Facts by the name in the sources. What has no symbol and no export is known by its place: the entry
    point, or by who calls it (all of them are called by one exported function)."""
    result = {}
    for item in found.functions:
        side, runs = ("fixed", item.fixed) if item.fixed else ("baseline", item.baseline)
        result[_source_name(pair, side, item.name, runs)] = item.change
    return result


def _source_name(pair: str, side: str, name: str, runs: tuple[Interval, ...]) -> str:
    if not name.startswith("sub_"):
        return name
    analysed = program(example(pair, side), "none")
    if runs[0].start == analysed.image.entry_point:
        return "DllMain"
    with_names = program(example(pair, side), "auto")
    if with_names.symbols.source == "pdb":
        return function_at(with_names, runs[0].start)
    slots = [analysed.slots[t] for t in analysed.references.target.tolist() if t in analysed.slots]
    own = [
        analysed.slots[target]
        for site, target in zip(
            analysed.references.site.tolist(), analysed.references.target.tolist(), strict=True
        )
        if target in analysed.slots and runs[0].start <= site < runs[0].end and len(runs[0]) <= 8
    ]
    assert slots
    if own:
        return own[0].rpartition("!")[2]
    callers = referrers(analysed, runs[0]) - {name}
    return {"gadget_report": "failed", "gadget_measure": "scaled"}[callers.pop()]


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("pair", FUNCTIONS)
def test_functions(pair: str, symbols: str) -> None:
    expected = dict(FUNCTIONS[pair])
    if (pair, symbols) == ("variants/constant_table", "none"):
        # Without a name nothing says that the table is the same one, so its reader names another.
        expected["gadget_weigh"] = CHANGED
    found = difference(pair, symbols)
    assert named(pair, found) == expected
    summary = found.summary
    assert (summary.changed, summary.added, summary.removed) == tuple(
        list(expected.values()).count(change) for change in (CHANGED, ADDED, REMOVED)
    )
    assert summary.identical + summary.changed + summary.added == summary.functions_fixed
    assert summary.identical + summary.changed + summary.removed == summary.functions_baseline


def test_every_pair_is_examined() -> None:
    assert {*FUNCTIONS, "throwing"} == set(PAIRS)


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_throwing(symbols: str) -> None:
    found = difference("throwing", symbols)
    expected = {"parse": CHANGED, "number_or_status": CHANGED, "read_or": CHANGED}
    facts = named("throwing", found)
    unnamed = {name: facts.pop(name) for name in list(facts) if name.startswith("sub_")}
    assert facts == expected
    # The handlers of number_or_status: two changed, the third is new. The PDB gives them no names.
    assert sorted(unnamed.values()) == [ADDED, CHANGED, CHANGED]
    handlers = program(example("throwing", "fixed"), symbols).exceptions.funclets
    assert all(item.fixed[0].start in handlers for item in found.functions if item.name in unnamed)


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("pair", UNCHANGED)
def test_moved_code_is_no_change(pair: str, symbols: str) -> None:
    assert example(pair, "baseline").read_bytes() != example(pair, "fixed").read_bytes()
    assert_same(difference(pair, symbols))


@pytest.mark.parametrize("symbols", ["auto", "none"])
@pytest.mark.parametrize("pair", PAIRS)
def test_account_is_complete(pair: str, symbols: str) -> None:
    assert_complete(difference(pair, symbols))


def data(pair: str, symbols: str) -> list[tuple[Change, str, str]]:
    return sorted((item.change, item.kind, item.name) for item in difference(pair, symbols).data)


def content(pair: str, side: str, run: Interval | None) -> bytes:
    assert run is not None
    return program(example(pair, side), "none").image.read(run.start, len(run))


@pytest.mark.parametrize(
    ("pair", "symbols", "expected"),
    [
        ("variants/constant_table", "auto", [(CHANGED, "rodata", "weights")]),
        ("variants/constant_table", "none", [(CHANGED, "rodata", "")]),
        ("variants/data_init", "none", [(CHANGED, "data", "")]),
        ("variants/static_var", "auto", [(ADDED, "data", "calls"), (ADDED, "data", "smallest")]),
        ("variants/static_var", "none", [(ADDED, "data", ""), (ADDED, "data", "")]),
        ("variants/type_layout", "auto", []),
        ("variants/type_layout", "none", []),
        ("variants/folded", "none", []),
        ("variants/initialiser", "none", []),
        ("variants/line_only", "none", []),
        ("variants/pad_jump", "none", []),
    ],
)
def test_data(pair: str, symbols: str, expected: list[tuple[Change, str, str]]) -> None:
    assert data(pair, symbols) == sorted(expected)


def test_thread_local_template_is_data() -> None:
    first = next(item for item in difference("variants/tls", "none").data if item.change is CHANGED)
    assert first.kind == "data"
    assert b"\5\0\0\0" in content("variants/tls", "fixed", first.fixed)
    assert b"\5\0\0\0" not in content("variants/tls", "baseline", first.baseline)


@pytest.mark.parametrize("symbols", ["auto", "none"])
def test_new_strings_and_tables_of_codec(symbols: str) -> None:
    added = [
        content("codec", "fixed", item.fixed)
        for item in difference("codec", symbols).data
        if item.change is ADDED and item.kind == "rodata"
    ]
    assert b"unknown status\0" in added
    assert b"codec: run does not fit into the output buffer\0" in added
    assert any(item.startswith(bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0])) for item in added), "operands"


def test_names_of_new_data_come_from_the_symbols() -> None:
    assert {(ADDED, "rodata", "status_texts"), (ADDED, "rodata", "operands")} <= set(data("codec", "auto"))


def test_new_type_descriptor_is_writable_data() -> None:
    assert (ADDED, "data", "??_R0H@8") in data("throwing", "auto")


def test_levels_with_and_without_symbols() -> None:
    assert dict(difference("codec", "auto").summary.levels) == {"symbol": 39}
    without = dict(difference("codec", "none").summary.levels)
    assert "symbol" not in without
    assert without["export"] == 15
    assert sum(without.values()) == 39
