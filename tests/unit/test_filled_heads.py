"""Functions whose unwind row begins with filler in front of the entry: nothing changes when they do not, and
hpbuild does not carry one, for its prolog would be counted from another place."""

from hpbuild.assembly.certificate import certificate
from hpbuild.assembly.modules import module_entry
from hpbuild.codes import plan as codes
from hpbuild.match.facts import describe
from hpbuild.patchimage.link import link
from hpbuild.plan.planner import make_plan
from hpbuild.prove.proof import prove_module
from tests.assembled import RET, Dll, against, function

FRAME = bytes.fromhex("0104020504030150")
"""UNWIND_INFO of push rbp; mov rbp, rsp."""


def dll(inner: bytes, outer: bytes, filler: bytes = b"\xcc" * 4) -> Dll:
    body = bytes.fromhex("55 4889e5") + inner + bytes.fromhex("5d") + RET
    return Dll(
        code=(
            function("outer", outer, ("call", f"inner+{len(filler)}"), b"\x31\xc9", RET),
            function("inner", filler + body, exported=False),
        ),
        records={"inner": (FRAME,)},
    )


def test_a_package_for_another_function_is_proved() -> None:
    old, new = dll(b"\x31\xc0", b"\x31\xd2\x90"), dll(b"\x31\xc0", b"\x31\xf6\x90")
    compared = against(old, new)
    plan = make_plan(compared)
    assert not plan.refused
    assert [item.name for item in plan.functions] == ["outer"]
    baseline, fixed = compared.baseline.program.image, compared.fixed.program.image
    linked = link(plan, baseline, 1)
    entry = module_entry("tiny.dll", baseline, fixed, plan, linked, describe(compared).account)
    proof = prove_module(
        certificate(compared, plan, entry), entry, linked.data, baseline, fixed, lambda *_: None
    )
    assert [str(finding) for finding in proof.findings] == []
    assert proof.ok


def test_the_entry_is_the_functions_start() -> None:
    compared = against(dll(b"\x31\xc0", b"\x31\xd2"), dll(b"\x31\xf6", b"\x31\xd2"))
    start = compared.baseline.program.image.directories[3].start
    row = compared.baseline.program.image.u32(start)
    (change,) = describe(compared).functions
    assert change.fixed[0].start == row + 4
    plan = make_plan(compared)
    assert [site.entry for site in plan.redirections] == [row + 4]


def test_fail_such_a_function_is_not_carried() -> None:
    plan = make_plan(against(dll(b"\x31\xc0", b"\x31\xd2"), dll(b"\x31\xf6", b"\x31\xd2")))
    assert plan.refused
    (finding,) = [finding for finding in plan.findings if finding.code is codes.EXCEPTION_DATA]
    assert "begins before its entry" in finding.cause
