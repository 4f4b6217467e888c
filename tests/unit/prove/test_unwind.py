"""Unwind records with handlers and scope tables: identical ones, and one that the package carries."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hpbuild.codes import prove as codes
from hpbuild.pe.unwind import UnwindInfo, runtime_functions, unwind_info
from hpbuild.prove.claims import Claims
from hpbuild.prove.compare import Runs
from hpbuild.prove.correspond import Correspondence
from hpbuild.prove.ownership import Ownership, Slots
from hpbuild.prove.records import read_record
from hpbuild.prove.space import Space, image_space
from hpbuild.prove.unwind import Scene, unwind

from .conftest import Story, failed

Tell = Callable[..., Story]
_NO_SITES = np.zeros(0, dtype=np.int64)


def _records(story: Story) -> list[UnwindInfo]:
    return [
        unwind_info(story.fixed, rva) for rva in sorted(set(runtime_functions(story.fixed).unwind.tolist()))
    ]


def _scoped(story: Story, *, carried: bool) -> UnwindInfo:
    """The record of a function with one scope; read_or's or, when carried, copy_counted's."""
    mine = story.plan.chunks[1].source.start
    found = [r for r in _records(story) if r.handler_data and story.fixed.u32(r.handler_data) == 1]
    return next(record for record in found if (record.rva == mine) == carried)


def test_records_agree_with_the_other_reader(tell_throwing: Tell, tell: Tell) -> None:
    for story in (tell(), tell_throwing()):
        space = image_space(story.fixed, _NO_SITES)
        for info in _records(story):
            record = read_record(space, info.rva)
            assert record is not None
            assert (record.codes, record.size, record.chained) == (info.codes, info.size, info.chained)
            assert (record.handler, record.data) == (info.handler or 0, info.handler_data or 0)
            assert record.head[0] == info.version | info.flags << 3


def test_record_outside_the_space(tell: Tell) -> None:
    space = image_space(tell().fixed, _NO_SITES)
    assert read_record(space, space.end - 2) is None
    assert read_record(space, space.end + 0x1000) is None


def test_carried_scope_table(tell_throwing: Tell) -> None:
    proof = tell_throwing().prove()
    assert [str(finding) for finding in proof.findings] == []
    assert proof.ok


def test_other_handler(tell_throwing: Tell) -> None:
    story = tell_throwing()
    record = _scoped(story, carried=False)
    other = next(r.handler for r in _records(story) if r.handler and r.handler != record.handler)
    story = tell_throwing((record.rva + record.size - 4, other.to_bytes(4, "little")))
    assert failed(story.prove()) == {codes.UNWIND_REFERENCE.id}


def test_other_codes(tell_throwing: Tell) -> None:
    story = tell_throwing()
    record = _scoped(story, carried=False)
    story = tell_throwing((record.rva + 5, bytes([record.codes[1] ^ 0x10])))
    assert failed(story.prove()) == {codes.UNWIND_DIFFERS.id}


def test_other_scope_though_no_claim_names_it(tell_throwing: Tell) -> None:
    story = tell_throwing()
    data = _scoped(story, carried=False).handler_data
    assert data is not None
    begin = story.fixed.u32(data + 4)
    story = tell_throwing((data + 4, (begin + 1).to_bytes(4, "little")))
    assert failed(story.prove()) == {codes.DATA_DIFFERS.id, codes.UNWIND_REFERENCE.id}


def test_carried_scope_leads_to_the_old_code(tell_throwing: Tell) -> None:
    story = tell_throwing()
    chunk = story.plan.chunks[1]
    part = story.functions[0].fixed[0]
    scopes = [field for field in chunk.fields if field.target.chunk == 0]
    assert scopes
    old = replace(
        scopes[0], target=replace(scopes[0].target, chunk=None, offset=part.start + scopes[0].target.offset)
    )
    fields = tuple(old if field is scopes[0] else field for field in chunk.fields)
    story.plan = replace(story.plan, chunks=(story.plan.chunks[0], replace(chunk, fields=fields)))
    story.link()
    assert failed(story.prove()) == {codes.UNWIND_REFERENCE.id}


def test_carried_scope_table_differs(tell_throwing: Tell) -> None:
    story = tell_throwing()
    chunk = story.plan.chunks[1]
    at = _scoped(story, carried=True).size
    content = bytearray(chunk.content)
    content[at] = 0
    story.plan = replace(story.plan, chunks=(story.plan.chunks[0], replace(chunk, content=bytes(content))))
    story.link()
    assert failed(story.prove()) == {codes.UNWIND_DIFFERS.id}


_NOTHING_CLAIMED = Correspondence(
    Ownership(**dict.fromkeys(("start", "end", "owner", "baseline", "patch", "entry", "number"), _NO_SITES)),
    Slots(_NO_SITES, _NO_SITES, _NO_SITES, _NO_SITES, ()),
)


def _with_table(opaque: list[tuple[int, ...]], end: int) -> list[str]:
    """Codes when a carried function at 0x1000, 0x30 bytes of code, has a row up to 0x1040 in the fixed image
    and one up to ``end`` in the patch image, which lies 0x10000 above."""
    record = bytes([1, 0, 0, 0])
    spaces = [
        Space(
            name=name,
            memory=np.frombuffer(bytes(0x2000) + record + bytes(12), dtype=np.uint8),
            start=start,
            image_base=0,
            relocated=_NO_SITES,
        )
        for name, start in (("fixed", 0), ("patch", 0x10000))
    ]
    columns = [np.array([value], dtype=np.int64) for value in (0x1000, 0x1040, 0x2000, 0x11000, end, 0x12000)]
    scene = Scene(
        Runs.of([(0x1000, 0x1030, 0x11000, "one")]),
        (columns[0], columns[1], columns[2]),
        (columns[3], columns[4], columns[5]),
        spaces[0],
        (spaces[1],),
        _NOTHING_CLAIMED,
        True,
        frozenset(),
    )
    return [finding.code.id for finding in unwind((scene,), Runs.of([]), Claims.of(opaque=opaque)).findings]


def test_row_of_the_copy_ends_before_a_jump_table() -> None:
    assert _with_table([(0x1030, 0x103C), (0x103C, 0x1040)], 0x11030) == []
    assert _with_table([(0x1030, 0x1050)], 0x11030) == []
    assert _with_table([], 0x11040) == []


@pytest.mark.parametrize(
    "opaque",
    [[], [(0x1030, 0x1038)], [(0x1034, 0x1040)], [(0x1000, 0x1030)], [(0x1030, 0x1034), (0x1038, 0x1040)]],
)
def test_row_of_the_copy_ends_before_code(opaque: list[tuple[int, ...]]) -> None:
    assert set(_with_table(opaque, 0x11030)) == {codes.UNWIND_DIFFERS.id}


def test_row_of_the_copy_ends_inside_the_code() -> None:
    assert set(_with_table([(0x1030, 0x1040)], 0x11020)) == {codes.UNWIND_DIFFERS.id}


def test_end_of_scope_belongs_to_the_byte_before(tell_throwing: Tell) -> None:
    story = tell_throwing()
    assert any(row[2] == 3 for row in story.rows["fields"])
