"""Work in a second process while this one goes on."""

import os
import sys
from collections.abc import Callable
from functools import partial

import pytest

from hpbuild.assembly.aside import aside
from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError
from tests.children import children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")


def test_the_result_comes_from_another_process() -> None:
    begin = partial(aside, "a.dll")
    with begin(lambda told: os.getpid()) as (_, result):
        assert result() != os.getpid()
    assert not children()


def test_what_it_asks_for_may_be_told_later() -> None:
    with aside("a.dll", lambda told: (os.getpid(), sum(told()))) as (tell, result):
        tell([20, 22])
        process, found = result()
    assert (process != os.getpid(), found) == (True, 42)


def test_nobody_has_to_ask_for_it() -> None:
    with aside("a.dll", lambda told: told()):
        pass
    assert not children()


def test_fail_work_that_refuses() -> None:
    def work(told: Callable[[], int]) -> int:
        raise HpbuildError(codes.WORKER_LOST, "there", f"for a test: {told()}")

    with aside("a.dll", work) as (tell, result):
        tell(7)
        with pytest.raises(HpbuildError) as error:
            result()
    assert (error.value.finding.place, error.value.finding.cause) == ("there", "for a test: 7")


def test_fail_work_that_dies() -> None:
    with pytest.raises(HpbuildError) as error, aside("a.dll", lambda told: os._exit(3)) as (_, result):
        result()
    assert (error.value.finding.code, error.value.finding.place) == (codes.WORKER_LOST, "a.dll")
