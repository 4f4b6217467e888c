"""Exclusions of class line-only: every rule about the places they name has its negative case."""

from dataclasses import replace

import pytest

from hpbuild.codes import manifest as codes
from hpbuild.errors import Code
from hpbuild.manifest import codec
from hpbuild.manifest.check_lines import line_findings
from hpbuild.manifest.consistency import check
from hpbuild.manifest.model import LINE_ONLY, Exclusion, Manifest, Module
from hpbuild.values import Interval


def exclusion(fixed: tuple[int, ...], baseline: tuple[int, ...], size: int = 4) -> Exclusion:
    return Exclusion(
        klass=LINE_ONLY,
        place="codec_log",
        cause="line numbers",
        fixed=tuple(Interval(at, at + size) for at in fixed),
        baseline=tuple(Interval(at, at + size) for at in baseline),
    )


def found(module: Module, *items: Exclusion) -> list[Code]:
    changed = replace(module, exclusions=(*module.exclusions, *items))
    return [finding.code for finding in line_findings(changed, "modules[0]")]


def test_sound_places(sample_module: Module) -> None:
    assert found(sample_module, exclusion((0x3000, 0x3010), (0x3004, 0x3014))) == []
    assert found(sample_module) == []


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (exclusion((), ()), codes.BAD_LINES),
        (exclusion((0x3000,), ()), codes.BAD_LINES),
        (exclusion((0x3000,), (0x3000, 0x3004)), codes.BAD_LINES),
        (exclusion((0x3000,), (0x3000,), size=8), codes.BAD_LINES),
        (exclusion((0x3004, 0x3000), (0x3000, 0x3004)), codes.BAD_LINES),
        (exclusion((0x3000, 0x3002), (0x3000, 0x3004)), codes.BAD_LINES),
        (exclusion((0x3000, 0x3004), (0x3004, 0x3000)), codes.BAD_LINES),
        (exclusion((0x1024,), (0x3000,)), codes.BAD_LINES),
        (exclusion((0x9000,), (0x3000,)), codes.BAD_RANGE),
        (exclusion((0x3000,), (0x7FFE,)), codes.BAD_RANGE),
    ],
    ids=[
        "none", "no baseline", "uneven", "too wide", "not ascending", "overlapping", "baseline not ascending",
        "in carried code", "outside fixed", "outside baseline",
    ],
)  # fmt: skip
def test_unsound_places_fail(sample_module: Module, item: Exclusion, code: Code) -> None:
    assert code in found(sample_module, item)


def test_a_place_declared_twice_fails(sample_module: Module) -> None:
    item = exclusion((0x3000,), (0x3000,))
    assert found(sample_module, item, item) == [codes.BAD_LINES]


def test_places_of_two_functions_that_overlap_fail(sample_module: Module) -> None:
    items = exclusion((0x3000,), (0x3000,)), exclusion((0x3002,), (0x3002,))
    assert found(sample_module, *items) == [codes.BAD_LINES]


def test_places_survive_the_wire_and_are_checked_there(sample_manifest: Manifest) -> None:
    good = exclusion((0x3000,), (0x3004,))
    first, *rest = sample_manifest.modules
    items = tuple(sorted((*first.exclusions, good), key=lambda item: (item.klass, item.place, item.cause)))
    manifest = replace(sample_manifest, modules=(replace(first, exclusions=items), *rest))
    assert codec.decode(codec.encode(manifest)) == manifest
    assert check(manifest) == ()
    bad = replace(first, exclusions=(exclusion((0x3000,), ()),))
    assert codes.BAD_LINES in {each.code for each in check(replace(manifest, modules=(bad, *rest)))}
