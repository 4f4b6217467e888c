"""Classes of bytes: gaps, overlaps, filler."""

from collections.abc import Callable

import pytest

from hpbuild.codes import prove as codes
from hpbuild.pe.metadata import metadata_runs
from hpbuild.pe.reader import parse_image
from hpbuild.prove.coverage import account, coverage
from hpbuild.values import Interval

from .conftest import Story

Tell = Callable[..., Story]


def _codes(story: Story) -> set[str]:
    check = coverage(story.claims(), story.module(), story.fixed, metadata_runs(story.fixed), ())
    return {finding.code.id for finding in check.findings}


def test_true_claims(tell: Tell) -> None:
    story = tell()
    check = coverage(story.claims(), story.module(), story.fixed, metadata_runs(story.fixed), ())
    assert check.findings == ()
    assert check.examined == sum(section.virtual_size for section in story.fixed.sections)


@pytest.mark.parametrize(
    ("filler", "good"),
    [
        ("cccccccccccccccc", True),
        ("9090909090909090", True),
        ("0f1f840000000000", True),
        ("660f1f4400009090", True),
        ("cc90cc0f1f440000", True),
        ("cccccc9090cc6690", True),
        ("0f1f0000000000cc", False),
        ("cccccccc9090f390", False),
        ("cccccccccccc0f1f", False),
        ("cccccccccc9031c0", False),
        ("90909090909031c0", False),
        ("c3cccccccccccccc", False),
        ("f30f1efacccccccc", False),
    ],
)
def test_filler_in_code(tell: Tell, symbols: dict[str, Interval], filler: str, good: bool) -> None:
    at = symbols["codec_lookups"].start
    story = tell(both=((at, bytes.fromhex(filler)),))
    start, end, _ = row = next(row for row in story.rows["code"] if row[0] == at)
    story.rows["code"].remove(row)
    story.rows["code"].append((start + 8, end, start + 8))
    story.rows["padding"].append((start, start + 8))
    assert (codes.FALSE_PADDING.id not in _codes(story)) is good


def test_filler_across_a_section(tell: Tell) -> None:
    story = tell()
    end = story.fixed.sections[0].range.end
    story.rows["padding"] = [row for row in story.rows["padding"] if row[1] != end] + [(end - 4, end + 4)]
    assert codes.FALSE_PADDING.id in _codes(story)


def test_filler_that_looks_right_across_a_section(tell: Tell) -> None:
    """On both sides of the border are filler bytes; the row is still none that any section has."""
    end = tell().fixed.sections[0].range.end
    story = tell(both=((end - 4, b"\xcc" * 4),))
    assert set(story.fixed.memory[end : end + 4].tolist()) <= {0xCC, 0x00}
    story.rows["padding"] = [row for row in story.rows["padding"] if row[1] != end] + [(end - 4, end + 4)]
    assert codes.FALSE_PADDING.id in _codes(story)


def test_last_byte_of_every_section(tell: Tell) -> None:
    for section in tell().fixed.sections:
        story, end = tell(), section.range.end
        shortened = 0
        for name, rows in story.rows.items():
            if name not in ("fields", "opaque"):
                touching = [row for row in rows if row[0] < end <= row[1]]
                shortened += len(touching)
                kept = [row for row in rows if row not in touching]
                story.rows[name] = kept + [
                    (row[0], end - 1, *row[2:]) for row in touching if row[0] < end - 1
                ]
        assert shortened
        found = coverage(story.claims(), story.module(), story.fixed, metadata_runs(story.fixed), ()).findings
        assert [finding.place for finding in found if finding.code == codes.UNCOVERED_BYTES] == [
            f"{section.name} {Interval(end - 1, end)}"
        ]


def test_metadata_over_code(tell: Tell) -> None:
    story = tell()
    story.rows["metadata"].append(story.rows["code"][0][:2])
    assert _codes(story) == {codes.CONTRADICTORY_CLASSES.id, codes.FALSE_METADATA.id}


def test_bytes_behind_a_section(tell: Tell, codec: bytes) -> None:
    """Mapped bytes behind the section's end, which no class covers."""
    story = tell()
    section = next(s for s in story.fixed.sections if s.raw_size > s.virtual_size and not s.executable)
    lie = (section.range.end, b"\x01")
    story = tell()
    at = section.raw_offset + section.virtual_size
    story.fixed = parse_image(codec[:at] + lie[1] + codec[at + 1 :], "codec.dll")
    assert codes.UNCOVERED_BYTES.id in _codes(story)


def test_compared_unwind_data_counts(tell_throwing: Tell) -> None:
    """Without the unwind step's runs the carried scope table is in no class."""
    assert _codes(tell_throwing()) == {codes.UNCOVERED_BYTES.id}


def test_account(tell: Tell) -> None:
    story = tell()
    sizes = {row.klass: row.size for row in account(story.claims(), story.module())}
    carried = sum(len(part) for function in story.functions for part in function.fixed)
    assert sizes["carried code"] == carried
    assert sizes["identical code"] == sum(end - start for start, end, _ in story.rows["code"])
    assert list(sizes) == sorted(sizes)


@pytest.mark.parametrize(("missing", "covered"), [(0, True), (1, True), (3, True), (4, False)])
def test_zeros_behind_compared_unwind_data(tell_throwing: Tell, missing: int, covered: bool) -> None:
    """Up to the next record's alignment they belong to it."""
    story = tell_throwing()
    chunk = story.plan.chunks[1]
    end = chunk.source.end
    zeros = tell_throwing((end - 4, bytes(4)))
    run = Interval(end - 20, end - missing)
    check = coverage(story.claims(), story.module(), zeros.fixed, metadata_runs(zeros.fixed), [run])
    assert (check.failures == 0) is covered
