"""A carried function with a stack cookie: the cookie's place in the frame goes along as it is, even when the
number looks like an address in the function; and the proof believes no claim that it is one."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from hpbuild.assembly.certificate import certificate
from hpbuild.assembly.modules import module_entry
from hpbuild.codes import plan as plan_codes
from hpbuild.codes import prove as codes
from hpbuild.match.comparison import Comparison
from hpbuild.match.facts import describe
from hpbuild.patchimage.link import link
from hpbuild.patchimage.read import read_patch_image
from hpbuild.plan.model import ChunkKind, Field, FieldKind, Plan, Target
from hpbuild.plan.planner import make_plan
from hpbuild.prove.claims import ADDR32NB
from hpbuild.prove.proof import Proof, prove_module
from hpbuild.values import Digest
from tests.assembled import RET, Dll, Part, against, function

PLACE = 0x1060
"""Offset of the cookie in its frame of 0x1800 bytes; taken for an address, it lies in the function."""
WIDE = bytes.fromhex("4881ec00180000"), bytes.fromhex("4881c400180000") + RET
NARROW = bytes.fromhex("4883ec28 31c0 4883c428") + RET


def handled(codes_: str, *words: int) -> tuple[Part, ...]:
    """Unwind record of a prolog with these codes, and the cookie handler with its data."""
    octets = bytes.fromhex(codes_)
    head = bytes((1 | 3 << 3, 7, len(octets) // 2, 0))
    data = struct.pack(f"<{len(words)}I", *words)
    return head, octets.ljust((len(octets) + 3) & ~3, b"\0"), ("rva", "check"), data


def dll(work: bytes, *place: int, moved: int = 0, others: tuple[str, ...] = ("narrow",)) -> Dll:
    """``wide`` does ``work``, behind ``moved`` functions more; ``narrow`` has a small frame."""
    made = (
        function("check", b"\x31\xc0\x90" + RET),
        function("narrow", NARROW),
        *(function(f"new{number}", b"\xb0" + bytes((number,)) + RET) for number in range(moved)),
        function("wide", WIDE[0] + work * 40 + WIDE[1]),
    )
    records = {"narrow": handled("0442", 0x20)} if "narrow" in others else {}
    return Dll(code=made, records={**records, "wide": handled("07010003", *place)})


def comparison(*place: int, others: tuple[str, ...] = ("narrow",)) -> Comparison:
    old = dll(b"\x31\xc9\x90", *place, others=others)
    return against(old, dll(b"\x31\xd2\x90", *place, moved=2, others=others))


def proved(compared: Comparison, plan: Plan) -> tuple[Proof, bytes]:
    """The proof of the plan, and the language data that the patch image has behind its only record."""
    baseline, fixed = compared.baseline.program.image, compared.fixed.program.image
    linked = link(plan, baseline, 1)
    entry = module_entry("tiny.dll", baseline, fixed, plan, linked, describe(compared).account)
    claims = certificate(compared, plan, entry)
    for number, chunk in enumerate(plan.chunks):
        if chunk.kind is ChunkKind.UNWIND:  # claimed as a builder would that relocates it
            rows = [(chunk.source.start + f.offset, 4, ADDR32NB, 0) for f in chunk.fields if f.offset > 8]
            both = np.array([*claims.fields.tolist(), *rows], dtype=np.uint32).reshape(-1, 4)
            claims = replace(claims, fields=np.unique(both, axis=0))
            place, size = linked.chunk_rvas[number], chunk.size
    proof = prove_module(claims, entry, linked.data, baseline, fixed, lambda *_: None)
    image = read_patch_image(linked.data, "tiny.dll").image
    assert Digest.of(linked.data) == entry.image.sha256
    return proof, image.read(place, size)[12:]


@pytest.mark.parametrize("place", [(PLACE,), (PLACE | 4, 0x60, 0x40), (0x20,)])
def test_the_place_goes_along_as_it_is(place: tuple[int, ...]) -> None:
    compared = comparison(*place)
    wide = compared.fixed.program.fragment_at(PLACE)
    assert compared.fixed.program.name_of(wide) == "wide"
    plan = make_plan(compared)
    assert not plan.refused
    assert [item.name for item in plan.functions] == ["wide"]
    proof, data = proved(compared, plan)
    assert data == struct.pack(f"<{len(place)}I", *place)
    assert [str(finding) for finding in proof.findings] == []
    assert proof.ok


def test_fail_no_other_record_tells_what_the_word_is() -> None:
    plan = make_plan(comparison(PLACE, others=()))
    assert plan.refused
    assert plan_codes.EXCEPTION_DATA in {finding.code for finding in plan.findings}


@pytest.mark.parametrize("claimed", [0, 1, 2])
def test_fail_proof_of_a_place_that_was_taken_for_an_address(claimed: int) -> None:
    """The builder relocates the word and claims that it is a field: every other step of the proof agrees."""
    words = (PLACE | 4, 0x60, 0x40)
    compared = comparison(*words)
    plan = make_plan(compared)
    number, chunk = next((n, c) for n, c in enumerate(plan.chunks) if c.kind is ChunkKind.UNWIND)
    code = plan.functions[0].chunks[0]
    start = plan.chunks[code].source.start
    goal = Target(code, words[claimed] - start) if claimed == 0 else Target(None, 0x1000 + claimed)
    wrong = Field(12 + 4 * claimed, FieldKind.ADDR32NB, goal)
    chunks = list(plan.chunks)
    chunks[number] = replace(chunk, fields=(*chunk.fields, wrong))
    proof, data = proved(compared, replace(plan, chunks=tuple(chunks)))
    assert data != struct.pack("<3I", *words)
    assert codes.UNWIND_DIFFERS in {finding.code for finding in proof.findings}
    assert not proof.ok
