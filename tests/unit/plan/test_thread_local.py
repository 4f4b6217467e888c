"""Thread-local data: running threads have it in the baseline's layout."""

import struct
from collections.abc import Callable
from typing import Any

import pytest

from hpbuild.codes import plan as codes
from hpbuild.codes import traps
from hpbuild.pe.tls import tls

Pair = Callable[..., Any]


def test_fail_another_template(pair: Pair) -> None:
    found = pair("variants/tls", "gadget")
    assert found.finding(codes.THREAD_LOCAL).place == "gadget_enter"
    assert found.plan.refused


def test_fail_variables_that_changed_their_places_in_an_equal_template(pair: Pair) -> None:
    """Both are zero at first, so that the template is the same: the compiler lays them out by first use."""
    found = pair("traps/thread_swap", "snare")
    finding = found.finding(traps.THREAD_OFFSETS)
    assert (finding.place, finding.cause) == ("snare_fail", "offset 0x8 became 0x4")
    assert found.plan.refused


def test_one_more_use_of_a_variable_is_no_other_place(pair: Pair) -> None:
    found = pair("traps/thread_use", "snare")
    assert found.names() == {"snare_visit": "changed"}
    assert found.plan.findings == ()


class TestAddressInTheTemplate:
    """A thread-local variable that starts with an address: that of snare_inner, which the fix moves."""

    @pytest.fixture
    def sides(self, dll: Callable[[str], Any]) -> tuple[Any, Any]:
        baseline, fixed = (dll(f"traps/thread_use/{side}/snare.dll") for side in ("baseline", "fixed"))
        return baseline, fixed

    @staticmethod
    def word(made: Any) -> tuple[int, int]:
        """Address and value of the word in the template."""
        image = made.program().image
        local = tls(image)
        assert local is not None
        at = local.template.start + 0x10
        return at, image.u64(at)

    def test_the_same_function_elsewhere_is_no_difference(
        self, sides: tuple[Any, Any], planned: Callable[..., Any]
    ) -> None:
        assert self.word(sides[0])[1] != self.word(sides[1])[1]
        assert planned(*(side.program() for side in sides)).plan.findings == ()

    def test_fail_another_function(self, sides: tuple[Any, Any], planned: Callable[..., Any]) -> None:
        program = sides[1].program()
        outer = next(index for index, name in program.exported if name == "snare_outer")
        at, value = self.word(sides[1])
        base = program.image.image_base
        sides[1].write(at, struct.pack("<Q", base + int(program.fragments.start[outer])))
        assert self.word(sides[1])[1] != value
        found = planned(*(side.program() for side in sides))
        assert found.finding(codes.THREAD_LOCAL).place == "snare_visit"
        assert ("thread-local", ".tls") in [(item.klass, item.place) for item in found.plan.exclusions]


def test_fail_the_first_thread_local_data_of_an_image(
    dll: Callable[[str], Any], planned: Callable[..., Any]
) -> None:
    """The baseline has no thread-local directory: its threads have no block to read."""
    baseline = dll("traps/thread_use/baseline/snare.dll").drop_directory(9)
    found = planned(baseline.program(), dll("traps/thread_use/fixed/snare.dll").program())
    assert found.finding(codes.THREAD_LOCAL).place == "snare_visit"
    assert found.plan.refused
