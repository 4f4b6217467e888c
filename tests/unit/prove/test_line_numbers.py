"""Line numbers that the manifest declares: they may differ, and nothing else may hide behind them."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import iced_x86
import pytest

from hpbuild.codes import prove as codes
from hpbuild.manifest.model import LINE_ONLY, Exclusion
from hpbuild.prove.checks import State
from hpbuild.values import Interval

from .conftest import Story, failed

Tell = Callable[..., Story]


def immediates(story: Story, mnemonic: int, width: int = 4) -> Iterator[int]:
    """RVAs of the immediates of instructions in code that the claims call identical."""
    for start, end, _ in story.rows["code"]:
        decoder = iced_x86.Decoder(64, story.fixed.read(start, end - start), ip=start)
        for insn in decoder:
            offsets = decoder.get_constant_offsets(insn)
            if insn.mnemonic == mnemonic and offsets.immediate_size == width:
                yield insn.ip + offsets.immediate_offset


@pytest.fixture
def site(tell: Tell) -> int:
    """The constant of a MOV in a function that stays."""
    return next(immediates(tell(), iced_x86.Mnemonic.MOV))


def lines(*pairs: tuple[int, int], size: int = 4) -> Exclusion:
    return Exclusion(
        klass=LINE_ONLY,
        place="function",
        cause="line numbers",
        fixed=tuple(Interval(ours, ours + size) for ours, _ in pairs),
        baseline=tuple(Interval(theirs, theirs + size) for _, theirs in pairs),
    )


def told(tell: Tell, site: int, *more: tuple[int, bytes], old: int = 100, new: int = 106) -> Story:
    """A story in which the constant at ``site`` is ``old`` in the baseline and ``new`` in the fixed image."""
    return tell((site, new.to_bytes(4, "little")), *more, both=((site, old.to_bytes(4, "little")),))


def test_a_declared_line_number_may_differ(tell: Tell, site: int) -> None:
    proof = told(tell, site).prove(exclusions=(lines((site, site)),))
    assert [str(finding) for finding in proof.findings] == []
    assert proof.ok
    (step,) = [check for check in proof.checks if check.id == "P11"]
    assert (step.state, step.examined) == (State.PASSED, 1)


def test_an_undeclared_one_may_not_fail(tell: Tell, site: int) -> None:
    proof = told(tell, site).prove()
    assert not proof.ok
    assert failed(proof) == {codes.CODE_DIFFERS.id}
    assert all(check.id != "P11" for check in proof.checks)


def test_a_byte_beside_a_declared_one_fails(tell: Tell, site: int) -> None:
    """The masked field covers four bytes and no more."""
    story = told(tell, site)
    other = next(at for at in immediates(story, iced_x86.Mnemonic.MOV) if at != site)
    proof = told(tell, site, (other, b"\x7e")).prove(exclusions=(lines((site, site)),))
    assert failed(proof) == {codes.CODE_DIFFERS.id}


@pytest.mark.parametrize("distance", [-4, -1, 1, 4])
def test_a_place_that_is_no_constant_fails(tell: Tell, site: int, distance: int) -> None:
    at = site + distance
    proof = told(tell, site).prove(exclusions=(lines((at, at)),))
    assert codes.LINE_NUMBER_FALSE.id in failed(proof)
    assert not proof.ok


@pytest.mark.parametrize("mnemonic", ["CMP", "AND", "IMUL"])
def test_a_constant_of_another_instruction_fails(tell: Tell, mnemonic: str) -> None:
    """A bound that is compared with is the very thing that a fix changes."""
    at = next(immediates(tell(), getattr(iced_x86.Mnemonic, mnemonic)))
    proof = told(tell, at).prove(exclusions=(lines((at, at)),))
    assert {codes.LINE_NUMBER_FALSE.id, codes.CODE_DIFFERS.id} <= failed(proof)


def test_the_place_of_another_function_fails(tell: Tell, site: int) -> None:
    """In the baseline the line must be at the counterpart of its place."""
    proof = told(tell, site).prove(exclusions=(lines((site, site + 1)),))
    assert {codes.LINE_NUMBER_FALSE.id, codes.CODE_DIFFERS.id} <= failed(proof)


@pytest.mark.parametrize(("old", "new"), [(0, 6), (6, 0), (0xFFFFFFFF, 6), (6, 1_000_000)])
def test_values_that_are_no_lines_fail(tell: Tell, site: int, old: int, new: int) -> None:
    proof = told(tell, site, old=old, new=new).prove(exclusions=(lines((site, site)),))
    assert codes.LINE_NUMBER_FALSE.id in failed(proof)


def test_a_line_number_in_carried_code_fails(tell: Tell, symbols: dict[str, Interval]) -> None:
    at = symbols["codec_encode"].start
    proof = tell().prove(exclusions=(lines((at, at)),))
    assert codes.LINE_NUMBER_FALSE.id in failed(proof)


def test_a_line_number_in_data_fails(tell: Tell, symbols: dict[str, Interval]) -> None:
    at = symbols["base64"].start
    proof = tell((at, b"\x01")).prove(exclusions=(lines((at, at)),))
    assert codes.LINE_NUMBER_FALSE.id in failed(proof)
    assert not proof.ok


def test_a_line_number_in_data_inside_code_fails(tell: Tell, site: int) -> None:
    """What is claimed to be data in code is compared as data, and nothing in it is an instruction."""
    story = told(tell, site)
    story.rows.setdefault("opaque", []).append((site, site + 4))
    proof = story.prove(exclusions=(lines((site, site)),))
    assert codes.LINE_NUMBER_FALSE.id in failed(proof)


@pytest.mark.parametrize("shape", ["empty", "uneven", "wide", "twice"])
def test_a_declaration_of_the_wrong_shape_fails(tell: Tell, site: int, shape: str) -> None:
    good = lines((site, site))
    wrong = {
        "empty": (replace(good, fixed=(), baseline=()),),
        "uneven": (replace(good, baseline=()),),
        "wide": (lines((site, site), size=8),),
        "twice": (good, good),
    }[shape]
    proof = told(tell, site).prove(exclusions=wrong)
    assert codes.LINE_NUMBER_FALSE.id in failed(proof)
    assert not proof.ok
