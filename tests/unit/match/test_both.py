"""Two pieces of work at once."""

from collections.abc import Callable
from functools import partial
from threading import current_thread

import pytest

from hpbuild.codes import match as codes
from hpbuild.errors import HpbuildError
from hpbuild.match import both as module
from hpbuild.match.both import LARGE, both
from hpbuild.match.comparison import compare
from hpbuild.match.facts import describe
from tests.comparing import PAIRS, difference, example, program


def _refused(place: str) -> str:
    raise HpbuildError(codes.UNKNOWN_FUNCTION, place, "no function has this name")


@pytest.mark.parametrize("rows", [0, LARGE - 1, LARGE])
def test_each_gives_its_own_answer(rows: int) -> None:
    assert both(lambda: "first", lambda: 2, rows) == ("first", 2)


def test_only_large_work_is_worth_a_thread() -> None:
    here = current_thread()

    def where() -> bool:
        return current_thread() is here

    assert both(where, where, LARGE - 1) == (True, True)
    assert both(where, where, LARGE) == (True, False)


@pytest.mark.parametrize("rows", [0, LARGE])
@pytest.mark.parametrize(
    ("first", "second", "place"),
    [
        (partial(_refused, "one"), str, "one"),
        (str, partial(_refused, "two"), "two"),
        (partial(_refused, "one"), partial(_refused, "two"), "one"),
    ],
)
def test_a_refusal_of_either_comes_out(
    first: Callable[[], str], second: Callable[[], str], place: str, rows: int
) -> None:
    with pytest.raises(HpbuildError) as caught:
        both(first, second, rows)
    assert caught.value.code == codes.UNKNOWN_FUNCTION
    assert caught.value.finding.place == place


@pytest.mark.parametrize("rows", [0, LARGE])
def test_what_nobody_foresaw_comes_out_as_it_is(rows: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        both(str, lambda: 1 // 0, rows)
    assert capsys.readouterr().err == "", "no traceback of a thread"


@pytest.mark.parametrize("pair", PAIRS)
def test_a_comparison_in_threads_is_the_same(pair: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = difference(pair, "none")
    monkeypatch.setattr(module, "LARGE", 1)
    sides = (program(example(pair, side), "none") for side in ("baseline", "fixed"))
    assert describe(compare(*sides)) == alone
