import dataclasses
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hpbuild.codes import manifest as codes
from hpbuild.errors import Code
from hpbuild.manifest.consistency import MAX_FINDINGS, check
from hpbuild.manifest.model import Fixups, Manifest, Module
from hpbuild.values import Digest, Interval, Rva


def at(items: tuple[Any, ...], index: int, **fields: object) -> tuple[Any, ...]:
    """``items`` with fields of one element replaced."""
    return (*items[:index], replace(items[index], **fields), *items[index + 1 :])


def function(index: int, **fields: object) -> Callable[[Module], Module]:
    return lambda module: replace(module, functions=at(module.functions, index, **fields))


def datum(index: int, **fields: object) -> Callable[[Module], Module]:
    return lambda module: replace(module, data=at(module.data, index, **fields))


def redirection(index: int, **fields: object) -> Callable[[Module], Module]:
    return lambda module: replace(module, redirections=at(module.redirections, index, **fields))


def pin(name: str, **fields: object) -> Callable[[Module], Module]:
    return lambda module: replace(module, **{name: replace(getattr(module, name), **fields)})


def fixups(**fields: tuple[int, ...]) -> Callable[[Module], Module]:
    empty: dict[str, Any] = {"addr64": (), "rel32": (), "addr32nb": ()}
    return lambda module: replace(module, fixups=Fixups(**{**empty, **fields}))


def field(name: str, change: Callable[[Any], object]) -> Callable[[Module], Module]:
    return lambda module: replace(module, **{name: change(getattr(module, name))})


def sections_overlap(module: Module) -> Module:
    sections = at(module.fixed.sections, 1, rva=Rva(0x3FFF))
    return replace(module, fixed=replace(module.fixed, sections=sections))


CASES: list[tuple[str, Callable[[Module], Module], Code, str]] = [
    ("climbing path", field("path", lambda _: "../a.dll"), codes.BAD_PATH, ".path"),
    ("twin of an unchanged file", field("path", lambda _: "BIN/Other.dll"), codes.PATH_TWIN, "unchanged[0]"),
    ("member elsewhere", pin("image", member="attachments/a"), codes.BAD_MEMBER, ".image.member"),
    ("member with a bad name", pin("image", member="images/A"), codes.BAD_MEMBER, ".image.member"),
    ("no function", field("functions", lambda _: ()), codes.EMPTY, ".functions"),
    ("one file twice", pin("fixed", sha256=Digest.of(b"baseline")), codes.PIN_MISMATCH, ".fixed.sha256"),
    ("another machine", pin("fixed", machine=0xAA64), codes.PIN_MISMATCH, ".fixed.machine"),
    ("section outside", pin("baseline", size_of_image=0x4400), codes.BAD_RANGE, ".baseline.sections[1]"),
    (
        "patch below the baseline's end",
        pin("baseline", size_of_image=0x10001),
        codes.BAD_RANGE,
        ".image.range",
    ),
    ("patch off a page", pin("image", range=Interval(0xFF00, 0x12000)), codes.BAD_RANGE, ".image.range"),
    ("patch beyond 2 GiB", pin("image", range=Interval(0x10000, 2**31 + 1)), codes.BAD_RANGE, ".image.range"),
    (
        "base at the end of memory",
        pin("baseline", image_base=2**64 - 0x10000),
        codes.BAD_RANGE,
        ".image.range",
    ),
    ("empty range", function(0, fixed=(Interval(5, 5),)), codes.BAD_RANGE, "functions[0].fixed[0]"),
    (
        "range outside",
        function(0, fixed=(Interval(0x8FFF, 0x9001),)),
        codes.BAD_RANGE,
        "functions[0].fixed[0]",
    ),
    (
        "patch range outside the patch",
        function(1, patch=(Interval(0xFFF0, 0x10010),)),
        codes.BAD_RANGE,
        "functions[1].patch[0]",
    ),
    (
        "ranges of a function overlap",
        function(0, baseline=(Interval(0x1010, 0x1040), Interval(0x103F, 0x1050))),
        codes.OVERLAP,
        "functions[0].baseline",
    ),
    (
        "functions overlap in the patch",
        function(1, patch=(Interval(0x10030, 0x10050),)),
        codes.OVERLAP,
        ".image",
    ),
    ("data over code in the patch", datum(0, patch=Interval(0x10000, 0x10010)), codes.OVERLAP, ".image"),
    ("added with a place", function(0, reason="added"), codes.BAD_FUNCTION, "functions[0].baseline"),
    (
        "changed without a digest",
        function(0, baseline_sha256=None),
        codes.BAD_FUNCTION,
        "functions[0].baseline",
    ),
    ("changed without a place", function(0, baseline=()), codes.BAD_FUNCTION, "functions[0].baseline"),
    ("no fixed range", function(1, fixed=(), patch=()), codes.BAD_FUNCTION, "functions[1].fixed"),
    ("other sizes", function(1, fixed=(Interval(0x1060, 0x1081),)), codes.BAD_FUNCTION, "functions[1].patch"),
    ("added datum with a place", datum(0, reason="added"), codes.BAD_DATUM, "data[0].baseline"),
    ("changed datum without a place", datum(0, baseline=None), codes.BAD_DATUM, "data[0].baseline"),
    ("datum of another size", datum(0, fixed=Interval(0x3020, 0x3021)), codes.BAD_DATUM, "data[0].patch"),
    ("datum outside", datum(0, baseline=Interval(0x7FFF, 0x8001)), codes.BAD_RANGE, "data[0].baseline"),
    ("fixups not ascending", fixups(rel32=(0x10010, 0x10002)), codes.NOT_SORTED, ".fixups.rel32[1]"),
    ("fixup twice", fixups(rel32=(0x10010, 0x10010)), codes.NOT_SORTED, ".fixups.rel32[1]"),
    ("fixup leaves the patch", fixups(addr64=(0x11FF9,)), codes.BAD_FIXUP, ".fixups.addr64[0]"),
    ("fixups overlap", fixups(addr64=(0x10010,), rel32=(0x10014,)), codes.BAD_FIXUP, ".fixups"),
    ("references not sorted", field("references", lambda r: r[::-1]), codes.NOT_SORTED, ".references[1]"),
    ("reference twice", field("references", lambda r: (r[0], r[0])), codes.NOT_SORTED, ".references[1]"),
    (
        "reference outside",
        field("references", lambda r: at(r, 1, range=Interval(0x7FFF, 0x8001))),
        codes.BAD_RANGE,
        ".references[1]",
    ),
    (
        "refusing finding",
        field("findings", lambda f: at(f, 0, severity="refuse")),
        codes.REFUSING_FINDING,
        ".findings[0]",
    ),
    ("class counted twice", field("account", lambda a: (*a, a[0])), codes.OVERLAP, ".account"),
    ("sections overlap", sections_overlap, codes.OVERLAP, ".fixed.sections[1]"),
    (
        "window outside",
        redirection(0, window=Interval(0x7FFF, 0x8007)),
        codes.BAD_RANGE,
        "redirections[0].window",
    ),
    ("no such function", redirection(0, function=3), codes.BAD_REDIRECTION, "redirections[0].function"),
    ("not the entry", redirection(0, entry=Rva(0x1011)), codes.BAD_REDIRECTION, "redirections[0].entry"),
    ("entry of another", redirection(0, function=2), codes.BAD_REDIRECTION, "redirections[0].entry"),
    (
        "window too late",
        redirection(0, window=Interval(0x1011, 0x1019)),
        codes.BAD_WINDOW,
        "redirections[0].window",
    ),
    (
        "window of the other kind",
        redirection(1, window=Interval(0x1110, 0x1117)),
        codes.BAD_WINDOW,
        "redirections[1].window",
    ),
    (
        "window too small",
        redirection(0, window=Interval(0x1010, 0x1014)),
        codes.BAD_WINDOW,
        "redirections[0].window",
    ),
    ("old bytes too few", redirection(0, old=bytes(7)), codes.BAD_WINDOW, "redirections[0].old"),
    ("new bytes too many", redirection(0, new=bytes(9)), codes.BAD_WINDOW, "redirections[0].new"),
    (
        "jump elsewhere",
        redirection(0, new=bytes.fromhex("e9ecef0000e5cc90")),
        codes.BAD_REDIRECTION,
        "redirections[0].new",
    ),
    (
        "jump of the other kind",
        redirection(1, new=bytes.fromhex("e950ef00008bff")),
        codes.BAD_REDIRECTION,
        "redirections[1].new",
    ),
    (
        "bytes after the jump",
        redirection(0, new=bytes.fromhex("e9ebef0000e5cc91")),
        codes.BAD_WINDOW,
        "redirections[0].new",
    ),
    (
        "redirected already",
        redirection(0, old=bytes.fromhex("e9ebef0000e5cc90")),
        codes.BAD_WINDOW,
        "redirections[0].old",
    ),
    ("redirection missing", field("redirections", lambda r: r[:1]), codes.REDIRECTION_COUNT, "functions[2]"),
    (
        "redirection twice",
        field("redirections", lambda r: (*r, r[0])),
        codes.REDIRECTION_COUNT,
        "functions[0]",
    ),
    ("windows overlap", field("redirections", lambda r: (*r, r[0])), codes.OVERLAP, ".redirections"),
]


def with_module(manifest: Manifest, change: Callable[[Module], Module]) -> Manifest:
    return replace(manifest, modules=(change(manifest.modules[0]),))


@pytest.mark.parametrize(
    ("change", "code", "place"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_contradiction_fails(
    sample_manifest: Manifest, change: Callable[[Module], Module], code: Code, place: str
) -> None:
    findings = check(with_module(sample_manifest, change))
    assert any(item.code is code and item.place.endswith(place) for item in findings), [
        str(f) for f in findings
    ]


def test_consistent_manifest_has_no_finding(sample_manifest: Manifest) -> None:
    assert check(sample_manifest) == ()


def test_package_without_module_fails(sample_manifest: Manifest) -> None:
    assert [item.code for item in check(replace(sample_manifest, modules=()))] == [codes.EMPTY]


def test_unsorted_paths_fail(sample_manifest: Manifest) -> None:
    findings = check(replace(sample_manifest, unchanged=("b", "a")))
    assert [(item.code, item.place) for item in findings] == [(codes.NOT_SORTED, "manifest.json: unchanged")]


def test_patch_image_of_two_modules_fails(sample_manifest: Manifest) -> None:
    module = sample_manifest.modules[0]
    findings = check(replace(sample_manifest, modules=(module, replace(module, path="bin/d.dll"))))
    assert [item.code for item in findings] == [codes.BAD_MEMBER]


def test_functions_may_share_a_whole_range(sample_manifest: Manifest) -> None:
    shared = function(1, patch=(Interval(0x10060, 0x10070),), fixed=(Interval(0x1130, 0x1140),))
    assert check(with_module(sample_manifest, shared)) == ()


def test_number_of_findings_is_bounded(sample_manifest: Manifest) -> None:
    outside = fixups(rel32=tuple(range(0x20000, 0x20000 + 8 * 5000, 8)))
    assert len(check(with_module(sample_manifest, outside))) == MAX_FINDINGS


def test_jump_backwards_is_understood(sample_manifest: Manifest) -> None:
    """A pad jump goes back five bytes and from there to the new code."""
    module = sample_manifest.modules[0]
    jump = module.redirections[1]
    begin = int.from_bytes(jump.new[1:5], "little", signed=True) + jump.entry
    assert begin == module.functions[2].patch[0].start
    assert dataclasses.astuple(jump.window) == (jump.entry - 5, jump.entry + 2)
