"""Judging what a program did."""

import pytest

from hpbuild.apply.rehearse.judging import contains, described, first_difference, judge
from hpbuild.apply.rehearse.model import End, Ending, Expectation
from hpbuild.codes import rehearse as codes
from hpbuild.errors import Code, HpbuildError

NOTHING = Expectation()
RUNNING = Ending(end=End.BY_REHEARSAL, status=None)


def ended(status: int) -> Ending:
    return Ending(end=End.BY_ITSELF, status=status)


def found(
    wanted: Expectation, ending: Ending, output: bytes = b"", reference: bytes | None = None
) -> list[Code]:
    return [item.code for item in judge(wanted, ending, output, reference, "program")]


def test_without_expectations() -> None:
    assert not found(NOTHING, ended(0))
    assert not found(NOTHING, RUNNING)
    assert found(NOTHING, ended(5)) == [codes.WRONG_EXIT]
    assert found(NOTHING, ended(-11)) == [codes.WRONG_EXIT]


def test_an_exit_status() -> None:
    assert not found(Expectation(exit_status=7), ended(7))
    assert not found(Expectation(exit_status=300), ended(44))  # what Wine passes on
    assert not found(Expectation(exit_status=300), ended(300))
    assert found(Expectation(exit_status=44), ended(300)) == [codes.WRONG_EXIT]
    assert found(Expectation(exit_status=7), ended(0)) == [codes.WRONG_EXIT]
    assert found(Expectation(exit_status=0), RUNNING) == [codes.STILL_RUNNING]
    assert found(Expectation(exit_status=245), ended(-11)) == [codes.WRONG_EXIT]


def test_output() -> None:
    wanted = Expectation(pattern="^all .* right$")
    assert not found(wanted, ended(0), b"x\r\nall results right\r\n")
    assert not found(wanted, RUNNING, b"all results right")
    assert found(wanted, ended(0), b"all results right now") == [codes.OUTPUT_LACKS]
    assert found(wanted, ended(1), b"") == [codes.WRONG_EXIT, codes.OUTPUT_LACKS]
    assert contains("a.b", b"\xff a\xffb")


def test_the_same_output() -> None:
    wanted = Expectation(same_output=True)
    assert not found(wanted, ended(0), b"abc", b"abc")
    assert found(wanted, ended(0), b"abc", b"abd") == [codes.OUTPUT_DIFFERS]
    assert found(wanted, ended(0), b"abc", b"") == [codes.OUTPUT_DIFFERS]
    assert found(wanted, RUNNING, b"abc", b"abc") == [codes.STILL_RUNNING]
    assert "byte 4, line 3" in first_difference(b"a\nb\nc", b"a\nb\nd")
    assert "3 bytes" in first_difference(b"abc", b"abcd")


def test_a_pattern_that_is_none() -> None:
    with pytest.raises(HpbuildError) as caught:
        contains("(", b"")
    assert caught.value.code is codes.BAD_PATTERN


def test_words() -> None:
    assert described(3) == "status 3"
    assert described(-9) == "signal 9"
    assert described(None) == "none"
