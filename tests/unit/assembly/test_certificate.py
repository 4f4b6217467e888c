"""The certificate: one class for every byte of the fixed image, and only true rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
from iced_x86 import Mnemonic

from hpbuild.code.decode import instructions
from hpbuild.pe.relocations import relocation_sites
from hpbuild.plan.model import ChunkKind
from hpbuild.prove.claims import END32NB, TABLE32, check_claims


def _count(each: Any, rows: Any, count: Any) -> None:
    for row in rows:
        count[int(row[0]) : int(row[1])] += 1


def _carried(each: Any) -> list[tuple[int, int]]:
    """Code and data. Unwind records are metadata, carried or not."""
    chunks = [chunk for chunk in each.plan.chunks if chunk.kind is not ChunkKind.UNWIND]
    return [(chunk.source.start, chunk.source.end) for chunk in chunks]


def test_it_is_well_formed(each: Any) -> None:
    fixed, baseline = each.comparison.fixed.program.image, each.comparison.baseline.program.image
    check_claims(each.claims, fixed, baseline)


def test_every_byte_has_one_class(each: Any) -> None:
    """Metadata may lie in what corresponds or is left out: nothing else may overlap, nothing is missing."""
    image, claims = each.comparison.fixed.program.image, each.claims
    exclusive = np.zeros(image.size_of_image, dtype=np.int64)
    for rows in (claims.code, claims.data, claims.padding, claims.excluded, _carried(each)):
        _count(each, rows, exclusive)
    assert exclusive.max() == 1
    metadata = np.zeros(image.size_of_image, dtype=np.int64)
    _count(each, claims.metadata, metadata)
    assert metadata.max() == 1
    strict = np.zeros(image.size_of_image, dtype=np.int64)
    for rows in (claims.code, claims.padding, _carried(each)):
        _count(each, rows, strict)
    assert not np.any((strict > 0) & (metadata > 0))
    records = np.zeros(image.size_of_image, dtype=np.int64)
    _count(each, [(chunk.source.start, chunk.source.end) for chunk in each.plan.chunks], records)
    for section in image.sections:
        run = slice(section.range.start, section.range.end)
        assert np.all(exclusive[run] + metadata[run] + records[run] >= 1)


def test_identical_code_is_identical_but_for_its_fields(each: Any) -> None:
    fixed, baseline = each.comparison.fixed.program, each.comparison.baseline.program
    ours, theirs = fixed.image.memory, baseline.image.memory
    masked = np.zeros(fixed.image.size_of_image, dtype=np.bool_)
    references = fixed.references
    for site, width in zip(references.site.tolist(), references.width.tolist(), strict=True):
        masked[site : site + width] = True
    assert len(each.claims.code)
    for start, end, other in each.claims.code.astype(np.int64).tolist():
        same = ours[start:end] == theirs[other : other + end - start]
        assert np.all(same | masked[start:end])


def test_corresponding_data_is_the_same_but_for_its_fields(each: Any) -> None:
    fixed, baseline = each.comparison.fixed.program, each.comparison.baseline.program
    masked = np.zeros(fixed.image.size_of_image, dtype=np.bool_)
    for site, _width, _, _ in each.claims.fields.astype(np.int64).tolist():
        masked[site : site + 4] = True
    for site in relocation_sites(fixed.image).tolist():
        masked[site : site + 8] = True
    for start, end, other in each.claims.data.astype(np.int64).tolist():
        same = fixed.image.memory[start:end] == baseline.image.memory[other : other + end - start]
        assert np.all(same | masked[start:end])


def test_filler_is_filler(each: Any) -> None:
    image = each.comparison.fixed.program.image
    for start, end in each.claims.padding.astype(np.int64).tolist():
        section = image.section_at(start)
        run = bytes(image.memory[start:end]).rstrip(b"\0")
        if run:
            assert section.executable
            code = instructions(run.ljust(end - start, b"\0"), start)
            padding = [insn for insn in code if insn.ip < start + len(run)]
            assert {insn.mnemonic for insn in padding} <= {Mnemonic.NOP, Mnemonic.INT3}


def test_fields_have_their_kind(each: Any) -> None:
    image = each.comparison.fixed.program.image
    for site, width, kind, origin in each.claims.fields.astype(np.int64).tolist():
        assert width == 4
        value = int.from_bytes(image.read(site, 4), "little", signed=kind == TABLE32)
        target = value + origin if kind == TABLE32 else value - (kind == END32NB)
        assert not value or image.section_at(target) is not None


def test_nothing_is_left_out_where_everything_is_carried(case: Callable[..., Any]) -> None:
    for folder, name in (("variants/static_var", "gadget"), ("variants/constant_table", "gadget")):
        assert len(case(folder, name, "auto").claims.excluded) == 0


def test_what_is_left_out_is_declared(case: Callable[..., Any]) -> None:
    found = case("variants/new_export", "gadget", "none")
    declared = {
        int(item.place, 16) for item in found.plan.exclusions if item.klass.startswith("unreferenced-")
    }
    left_out = {int(row[0]) for row in found.claims.excluded}
    assert left_out
    assert left_out <= declared


def test_carried_code_is_not_claimed_identical(case: Callable[..., Any]) -> None:
    found = case(".", "codec", "auto")
    claimed = {int(row[0]) for row in found.claims.code}
    carried = {chunk.source.start for chunk in found.plan.chunks if chunk.kind is ChunkKind.CODE}
    assert carried
    assert not claimed & carried
