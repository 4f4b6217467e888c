"""Work in a process of its own: same result, same errors, and nothing left behind."""

import os
import signal
import threading
import time
from multiprocessing import active_children

import pytest

from hpbuild.codes import prove as codes
from hpbuild.errors import HpbuildError
from hpbuild.prove.aside import aside


@pytest.mark.parametrize("worth", [True, False])
def test_result(worth: bool) -> None:
    here = os.getpid()
    with aside(lambda: (os.getpid(), [1, 2, 3]), worth) as result:
        process, values = result()
    assert values == [1, 2, 3]
    assert (process != here) == (worth and hasattr(os, "fork"))


@pytest.mark.parametrize("worth", [True, False])
def test_refusal(worth: bool) -> None:
    def refuse() -> int:
        raise HpbuildError(codes.WRONG_IMAGES, "there", "because")

    with aside(refuse, worth) as result, pytest.raises(HpbuildError) as caught:
        result()
    assert str(caught.value) == f"{codes.WRONG_IMAGES.id} there: because"


def test_process_that_dies() -> None:
    """The work is done here then."""
    here = os.getpid()

    def work() -> str:
        if os.getpid() != here:
            os._exit(9)
        return "done"

    with aside(work, True) as result:
        assert result() == "done"


def test_process_that_dies_in_the_middle_of_its_answer() -> None:
    """The answer is larger than a pipe holds: its sender is killed while it waits."""
    here, large = os.getpid(), bytes(1 << 24)
    before = set(active_children())

    class Answer:
        def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return bytes, (large,)

    with aside(lambda: "done" if os.getpid() == here else Answer(), True) as result:
        end = time.monotonic() + 300
        while not set(active_children()) <= before:  # until the sender is dead, its first bytes in the pipe
            assert time.monotonic() < end, "the sender goes on"
            time.sleep(0.05)
        assert result() == "done"


def test_nothing_is_left_when_the_block_fails() -> None:
    before = set(active_children())

    def fail() -> None:
        with aside(lambda: 1, True):
            raise KeyError("here")

    with pytest.raises(KeyError):
        fail()
    assert set(active_children()) <= before  # one that another test has left may end meanwhile
