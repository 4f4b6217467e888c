"""Work in a second process while this one goes on."""

import os
import sys
from functools import partial
from multiprocessing import active_children

import pytest

from hpbuild.assembly.aside import aside
from hpbuild.codes import work as codes
from hpbuild.errors import HpbuildError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks soundly")


def test_the_result_comes_from_another_process() -> None:
    begin = partial(aside, "a.dll")
    with begin(os.getpid) as result:
        assert result() != os.getpid()
    assert not active_children()


def test_nobody_has_to_ask_for_it() -> None:
    with aside("a.dll", os.getpid):
        pass
    assert not active_children()


def test_fail_work_that_refuses() -> None:
    def work() -> int:
        raise HpbuildError(codes.WORKER_LOST, "there", "for a test")

    with pytest.raises(HpbuildError) as error, aside("a.dll", work) as result:
        result()
    assert error.value.finding.place == "there"


def test_fail_work_that_dies() -> None:
    with pytest.raises(HpbuildError) as error, aside("a.dll", partial(os._exit, 3)) as result:
        result()
    assert (error.value.finding.code, error.value.finding.place) == (codes.WORKER_LOST, "a.dll")
