"""The whole proof: a true story passes, and every lie has its own code."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hpbuild.codes import prove as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest import model
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image
from hpbuild.plan.model import Chunk, Field, FieldKind, Target
from hpbuild.prove.checks import State
from hpbuild.prove.proof import Proof, prove_module
from hpbuild.values import Digest, Interval, Rva

from .conftest import Story, edit, failed, rewrite

Tell = Callable[..., Story]
Symbols = dict[str, Interval]


def _with_chunk(story: Story, index: int, **changes: object) -> None:
    """Replace chunk ``index`` of the plan and link again."""
    chunks = list(story.plan.chunks)
    chunks[index] = replace(chunks[index], **changes)
    story.plan = replace(story.plan, chunks=tuple(chunks))
    story.link()


def _with_field(story: Story, index: int, old: Target, new: Target) -> None:
    """Let every field of chunk ``index`` that points at ``old`` point at ``new``."""
    fields = story.plan.chunks[index].fields
    assert any(field.target == old for field in fields)
    _with_chunk(story, index, fields=tuple(replace(f, target=new) if f.target == old else f for f in fields))


def _row(story: Story, name: str, rva: int) -> tuple[int, ...]:
    return next(row for row in story.rows[name] if row[0] <= rva < row[1])


def test_true_story_passes(tell: Tell) -> None:
    proof = tell().prove()
    assert [str(finding) for finding in proof.findings] == []
    assert proof.ok
    assert [check.state for check in proof.checks] == [State.PASSED] * 9
    assert proof.summary.carried_functions == 2
    assert proof.summary.delta % 0x10000 == 0
    assert proof.summary.delta > 0
    mapped = sum(section.virtual_size for section in tell().fixed.sections)
    assert sum(row.size for row in proof.summary.account) == mapped


def test_proof_is_repeatable(tell: Tell) -> None:
    assert tell().prove() == tell().prove()


def test_p1_other_patch_image(tell: Tell) -> None:
    story = tell()
    data = story.link().data
    proof = story.prove(patch=data[:-1] + b"\x01")
    assert failed(proof) == {codes.PATCH_IMAGE_NOT_PINNED.id}
    assert not proof.ok
    assert {check.state for check in proof.checks[1:]} == {State.NOT_RUN}


def test_p1_unreadable_patch_image(tell: Tell) -> None:
    story = tell()
    patch = b"MZ" + bytes(4096)
    pin = replace(story.module().image, size=len(patch), sha256=Digest.of(patch))
    assert failed(story.prove(patch=patch, image=pin)) == {codes.PATCH_IMAGE_UNUSABLE.id}


def test_p1_fixup_outside_the_patch_image(tell: Tell) -> None:
    story = tell()
    fixups = replace(story.module().fixups, rel32=(Rva(0x10),))
    assert failed(story.prove(fixups=fixups)) == {codes.PATCH_IMAGE_UNUSABLE.id}


def test_malformed_claims(tell: Tell) -> None:
    story = tell()
    code = story.claims().code
    claims = replace(story.claims(), code=code[::-1].copy())
    assert story.linked is not None
    with pytest.raises(HpbuildError) as caught:
        prove_module(claims, story.module(), story.linked.data, story.baseline, story.fixed, lambda *_: None)
    assert caught.value.code is codes.MALFORMED_CLAIMS


def test_wrong_images(tell: Tell) -> None:
    story = tell()
    module = story.module()
    assert story.linked is not None
    with pytest.raises(HpbuildError) as caught:
        prove_module(story.claims(), module, story.linked.data, story.fixed, story.fixed, lambda *_: None)
    assert caught.value.code is codes.WRONG_IMAGES


def _prove_pinned(story: Story, **changes: Any) -> Proof:
    """The proof as ``build`` asks for it; ``changes`` as in ``Story.prove``."""
    linked = story.linked or story.link()
    patch = changes.pop("patch", linked.data)
    module = replace(story.module(), **changes)
    return prove_module(
        story.claims(), module, patch, story.baseline, story.fixed, lambda *_: None, pinned=True
    )


class TestPinnedJustNow:
    """The files are not hashed again when their maker has just done so; nothing else is believed."""

    def test_the_proof_is_the_same(self, tell: Tell) -> None:
        assert _prove_pinned(tell()) == tell().prove()

    def test_the_file_is_not_hashed_again(self, tell: Tell) -> None:
        story = tell()
        other = replace(story.module().fixed, sha256=Digest.of(b"another file"))
        assert _prove_pinned(story, fixed=other).ok
        with pytest.raises(HpbuildError) as caught:
            story.prove(fixed=other)
        assert caught.value.code is codes.WRONG_IMAGES

    def test_fail_native_table_of_another_baseline(self, tell: Tell) -> None:
        story = tell()
        other = replace(story.module().baseline, sha256=Digest.of(b"another file"))
        assert failed(_prove_pinned(story, baseline=other)) == {codes.NATIVE_TABLE_DISAGREES.id}

    @pytest.mark.parametrize("what", ["baseline", "fixed"])
    def test_fail_other_code(self, tell: Tell, symbols: Symbols, what: str) -> None:
        """A byte of code that stays as it is, in one of the images."""
        story = tell()
        last = symbols["codec_decode"].end - 1
        image: Image = getattr(story, what)
        data = edit(image.data.whole(), image, last, b"\xf4")
        assert data != image.data
        setattr(story, what, parse_image(data, image.name))
        assert codes.CODE_DIFFERS.id in failed(_prove_pinned(story))

    def test_fail_the_images_exchanged(self, tell: Tell) -> None:
        story = tell()
        story.baseline, story.fixed = story.fixed, story.baseline
        wrong = {codes.CARRIED_CODE_DIFFERS.id, codes.NATIVE_TABLE_DISAGREES.id}
        assert wrong <= failed(_prove_pinned(story))

    def test_fail_other_patch_image(self, tell: Tell) -> None:
        story = tell()
        proof = _prove_pinned(story, patch=story.link().data[:-1] + b"\x01")
        assert failed(proof) == {codes.PATCH_IMAGE_NOT_PINNED.id}


def test_p2_uncovered(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    row = _row(story, "data", symbols["crc_table"].start)
    middle = symbols["crc_table"]
    rewrite(story, "data", row, (row[0], middle.start, row[2]), (middle.end, row[1], middle.end))
    assert codes.UNCOVERED_BYTES.id in failed(story.prove())


def test_p2_two_classes(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    part = symbols["codec_find"]
    story.rows["code"].append((part.start, part.end, part.start))
    assert codes.CONTRADICTORY_CLASSES.id in failed(story.prove())


def test_p2_code_called_padding(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    part = symbols["codec_lookups"]
    rewrite(story, "code", (part.start, part.end, part.start))
    story.rows["padding"].append((part.start, part.end))
    assert codes.FALSE_PADDING.id in failed(story.prove())


def test_p2_data_called_padding(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    part = symbols["codec_default"]
    row = _row(story, "data", part.start)
    rewrite(story, "data", row, (row[0], part.start, row[2]), (part.end, row[1], part.end))
    story.rows["padding"].append((part.start, part.end))
    assert codes.FALSE_PADDING.id in failed(story.prove())


def test_p2_data_called_metadata(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    row = _row(story, "data", symbols["crc_table"].start)
    rewrite(story, "data", row)
    story.rows["metadata"].append(row[:2])
    assert codes.FALSE_METADATA.id in failed(story.prove())


def test_p3_undecodable(tell: Tell, symbols: Symbols) -> None:
    at = symbols["codec_lookups"].start
    story = tell(both=((at, b"\x06"),))
    assert failed(story.prove()) == {codes.UNDECODABLE.id}


def test_p3_other_bytes(tell: Tell, symbols: Symbols) -> None:
    at = symbols["codec_count"].start + 5
    story = tell((at, b"\x99"))
    assert failed(story.prove()) == {codes.CODE_DIFFERS.id}


def test_p3_other_call_target(tell: Tell, symbols: Symbols) -> None:
    call = symbols["codec_decode"].start + 0x3A  # call count
    distance = symbols["codec_lookups"].start - (call + 5)
    story = tell((call + 1, distance.to_bytes(4, "little", signed=True)))
    assert failed(story.prove()) == {codes.CODE_REFERENCE.id}


def test_p3_other_string(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    rva = symbols["codec_lookups"].start + 6
    assert story.fixed.u32(rva) == symbols["lookups"].start - (rva + 4)
    other = symbols["attached"].start - (rva + 4)
    story = tell((rva, other.to_bytes(4, "little")))
    assert failed(story.prove()) == {codes.CODE_REFERENCE.id}


def test_p3_equal_bytes_but_a_moved_target(tell: Tell, symbols: Symbols) -> None:
    """The claims say that the variable corresponds to another one: equal code is not identical then."""
    story = tell()
    part, other = symbols["longest_run"], symbols["attached"].start
    row = _row(story, "data", part.start)
    assert part.end == row[1]
    rewrite(story, "data", row, (row[0], part.start, row[2]), (part.start, part.end, other))
    assert failed(story.prove()) == {codes.CODE_REFERENCE.id, codes.SHARED_VARIABLE.id}


def test_p3_identical_code_refers_to_a_carried_constant(tell: Tell, symbols: Symbols) -> None:
    """codec_find has to come along, because it refers to the changed constant."""
    story = tell()
    part = symbols["codec_find"]
    story.rows["code"].append((part.start, part.end, part.start))
    story.functions = story.functions[:1]
    story.plan = replace(
        story.plan, functions=story.plan.functions[:1], redirections=story.plan.redirections[:1]
    )
    story.link()
    assert codes.CODE_REFERENCE.id in failed(story.prove())


def test_p3_lost_relocation(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    table = story.fixed.directories[5]
    entries = range(table.start + 8, table.end, 2)
    last = next(at for at in entries if story.fixed.read(at, 2) == b"\x08\xa0")  # codec_default
    story = tell((last, b"\x08\x00"))
    assert codes.RELOCATIONS_DIFFER.id in failed(story.prove())


def test_p4_carried_code_differs(tell: Tell) -> None:
    story = tell()
    content = bytearray(story.plan.chunks[0].content)
    content[0x30] ^= 1
    _with_chunk(story, 0, content=bytes(content))
    assert failed(story.prove()) == {codes.CARRIED_CODE_DIFFERS.id}


def test_p4_call_of_the_old_function(tell: Tell, symbols: Symbols) -> None:
    """New code calls new code directly, never through the redirection."""
    story = tell()
    _with_field(story, 0, Target(1, 0), Target(None, symbols["codec_find"].start))
    assert failed(story.prove()) == {codes.CARRIED_CODE_REFERENCE.id}


def test_p4_old_constant(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    _with_field(story, 1, Target(2, 0), Target(None, symbols["hex"].start))
    assert failed(story.prove()) == {codes.CARRIED_CODE_REFERENCE.id}


def test_p4_missing_fixup(tell: Tell) -> None:
    story = tell()
    fixups = story.module().fixups
    proof = story.prove(fixups=replace(fixups, rel32=fixups.rel32[1:]))
    wrong = [finding for finding in proof.findings if finding.code is codes.CARRIED_CODE_REFERENCE]
    assert len(wrong) == 1


def test_p4_lengths(tell: Tell) -> None:
    story = tell()
    first = story.functions[0]
    story.functions[0] = replace(first, patch=(Interval(first.patch[0].start, first.patch[0].end + 1),))
    assert codes.MANIFEST_RANGES.id in failed(story.prove())


def test_p4_reference_that_is_not_listed(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    kept = tuple(item for item in story.module().references if item.range.start != symbols["lookups"].start)
    proof = story.prove(references=kept)
    assert failed(proof) == {codes.REFERENCE_NOT_PINNED.id}
    assert proof.checks[3].failures == 1


def test_p4_no_reference_is_listed(tell: Tell) -> None:
    assert failed(tell().prove(references=())) == {codes.REFERENCE_NOT_PINNED.id}


def test_p7_other_digest_of_a_reference(tell: Tell) -> None:
    story = tell()
    first, *others = story.module().references
    proof = story.prove(references=(replace(first, sha256=Digest.of(b"other")), *others))
    assert failed(proof) == {codes.MANIFEST_DIGEST.id}


def test_p7_reference_outside_the_baseline(tell: Tell) -> None:
    story = tell()
    far = model.BaselineReference(range=Interval(0x1000, 0xFFFFFFFF), sha256=None)
    assert failed(story.prove(references=(*story.module().references, far))) == {codes.MANIFEST_RANGES.id}


def test_p5_other_constant(tell: Tell, symbols: Symbols) -> None:
    story = tell((symbols["crc_table"].start + 7, b"\x5a"))
    assert failed(story.prove()) == {codes.DATA_DIFFERS.id}


def test_p5_other_pointer(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    pointer = story.fixed.image_base + symbols["crc_table"].start
    story = tell((symbols["codec_default"].start, pointer.to_bytes(8, "little")))
    assert failed(story.prove()) == {codes.DATA_REFERENCE.id}


def test_p5_code_claimed_to_be_data(tell: Tell, symbols: Symbols) -> None:
    """Counterparts in sections of another protection."""
    story = tell()
    part = symbols["tracing"]
    row = _row(story, "data", part.start)
    at = symbols["codec_lookups"].start
    rewrite(story, "data", row, (part.start, part.end, at), (part.end, row[1], part.end))
    assert codes.DATA_DIFFERS.id in failed(story.prove())


def test_p5_carried_data_differs(tell: Tell) -> None:
    story = tell()
    _with_chunk(story, 3, content=b"hux\0")
    assert failed(story.prove()) == {codes.CARRIED_DATA_DIFFERS.id}


def test_p5_carried_lengths(tell: Tell) -> None:
    story = tell()
    datum = story.data[1]
    story.data[1] = replace(datum, patch=Interval(datum.patch.start, datum.patch.end - 1))
    assert codes.MANIFEST_RANGES.id in failed(story.prove())


def test_p5_carried_pointer(tell: Tell, symbols: Symbols) -> None:
    story = tell()
    _with_field(
        story, 2, Target(None, symbols["hex_encode"].start), Target(None, symbols["hex_decode"].start)
    )
    assert failed(story.prove()) == {codes.CARRIED_DATA_REFERENCE.id}


def test_p6_no_unwind_record(tell: Tell) -> None:
    story = tell()
    chunks = (*story.plan.chunks[:4], story.plan.chunks[5])
    second = replace(story.plan.unwind[1], unwind=Target(4, 0))
    story.plan = replace(story.plan, unwind=(second,), chunks=chunks)
    story.link()
    assert failed(story.prove()) == {codes.UNWIND_MISSING.id}


def test_p6_other_unwind_codes(tell: Tell) -> None:
    story = tell()
    chunk = story.plan.chunks[4]
    content = bytearray(chunk.content)
    content[5] ^= 0x10
    _with_chunk(story, 4, content=bytes(content))
    assert failed(story.prove()) == {codes.UNWIND_DIFFERS.id}


def test_every_kept_finding_is_counted(tell: Tell) -> None:
    story = tell()
    story.rows["code"] = []
    check = story.prove().checks[1]
    assert check.failures >= len(check.findings) > 0
    assert len(check.findings) <= 20


def test_field_kinds_of_the_story(tell: Tell) -> None:
    """The story would prove little without absolute and relative fields, into baseline and patch."""
    kinds = {
        (field.kind, field.target.chunk is None) for chunk in tell().plan.chunks for field in _fields(chunk)
    }
    assert kinds >= {(FieldKind.REL32, True), (FieldKind.REL32, False), (FieldKind.ADDR64, True)}


def _fields(chunk: Chunk) -> tuple[Field, ...]:
    return chunk.fields


def test_a_displacement_before_the_first_section_is_no_address(tell: Tell, symbols: Symbols) -> None:
    """MSVC reads fields of large structures through any register: nothing lies at such an address."""
    start = symbols["codec_rotate"].start
    base = b"\x48\x8d\x05" + (-(start + 7)).to_bytes(4, "little", signed=True)
    code = base + bytes.fromhex("8b840802040000c3") + b"\x90" * 7
    assert len(code) == len(symbols["codec_rotate"])
    proof = tell(both=((start, code),)).prove()
    assert [str(finding) for finding in proof.findings] == []
    assert proof.ok
