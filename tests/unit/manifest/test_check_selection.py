"""Packages of chosen functions: wire form and consistency of the list and what it leaves out."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hpbuild.codes import manifest as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest.codec import decode, encode, to_document
from hpbuild.manifest.consistency import check
from hpbuild.manifest.left_out import LeftOut
from hpbuild.manifest.model import SCHEMA_ID, Manifest, Module
from hpbuild.manifest.schema import validate
from hpbuild.manifest.strict_json import canonical

OLD, NEW = (0x1400, 0x1440), (0x1500, 0x1550)
LEFT = LeftOut(
    what="function", change="changed", ranges=1, kept=1, fixed=NEW, baseline=OLD, names=("codec_encode",)
)


@pytest.fixture
def limited(sample_module: Module) -> Module:
    """The sample module as a package of its two changed functions that leaves one out."""
    return replace(sample_module, only=("0x1130", "codec_decode"), left_out=(LEFT,))


@pytest.fixture
def manifest(sample_manifest: Manifest, limited: Module) -> Manifest:
    return replace(sample_manifest, modules=(limited,), left_out=("bin/third.dll",))


def found(manifest: Manifest, module: Module) -> list[tuple[Code, str]]:
    return [(item.code, item.place) for item in check(replace(manifest, modules=(module,)))]


def test_a_limited_package_is_consistent(manifest: Manifest) -> None:
    assert check(manifest) == ()
    assert manifest.modules[0].left_out == (LEFT,)


def test_it_is_written_and_read_back(manifest: Manifest) -> None:
    data = encode(manifest)
    assert decode(data) == manifest
    validate(json.loads(data), SCHEMA_ID, "manifest")
    assert json.loads(data)["left_out"] == ["bin/third.dll"]
    module = json.loads(data)["modules"][0]
    assert module["only"] == ["0x1130", "codec_decode"]
    assert module["left_out"] == [
        {
            "what": "function", "change": "changed", "ranges": 1, "kept": 1, "fixed": [0x1500, 0x50],
            "moves": [1, -0x100, -0x10], "names": ["codec_encode"],
        }
    ]  # fmt: skip


def test_a_whole_package_has_none_of_it(sample_manifest: Manifest) -> None:
    document: Any = to_document(sample_manifest)
    assert "left_out" not in document
    assert not {"only", "left_out"} & document["modules"][0].keys()
    assert set(document["modules"][0]["exclusions"][0]) == {"klass", "place", "cause"}


def change_module(change: Callable[[dict[str, Any]], object]) -> Callable[[Any], object]:
    return lambda document: change(document["modules"][0])


WIRE: list[tuple[str, Callable[[Any], object], Code]] = [
    ("empty list", change_module(lambda m: m.update(only=[])), codes.OUT_OF_RANGE),
    ("empty entry", change_module(lambda m: m.update(only=[""])), codes.BAD_TEXT),
    ("number in the list", change_module(lambda m: m.update(only=[0x1130])), codes.WRONG_TYPE),
    ("no list", change_module(lambda m: m.update(only="codec_decode")), codes.WRONG_TYPE),
    ("no files", lambda d: d.update(left_out=[]), codes.OUT_OF_RANGE),
    ("file without a name", lambda d: d.update(left_out=[""]), codes.BAD_TEXT),
    ("nothing left out", change_module(lambda m: m.update(left_out=[])), codes.OUT_OF_RANGE),
    (
        "left out by an exclusion",
        change_module(lambda m: m["exclusions"][0].update(klass="not-selected")),
        codes.OUT_OF_RANGE,
    ),
    (
        "other class with ranges",
        change_module(lambda m: m["exclusions"][0].update(fixed=[])),
        codes.UNKNOWN_KEY,
    ),
    ("unknown key", change_module(lambda m: m["exclusions"][0].update(patch=[])), codes.UNKNOWN_KEY),
]


@pytest.mark.parametrize(("change", "code"), [row[1:] for row in WIRE], ids=[row[0] for row in WIRE])
def test_another_form_is_refused(manifest: Manifest, change: Callable[[Any], object], code: Code) -> None:
    document: Any = json.loads(encode(manifest))
    change(document)
    data = canonical(document, "manifest.json")
    with pytest.raises(HpbuildError) as caught:
        decode(data)
    assert caught.value.code is code
    with pytest.raises(HpbuildError):
        validate(document, SCHEMA_ID, "manifest")


def listed(*only: str) -> Callable[[Module], Module]:
    return lambda module: replace(module, only=only)


CASES: list[tuple[str, Callable[[Module], Module], Code, str]] = [
    ("a carried function is not listed", listed("codec_decode"), codes.BAD_SELECTION, ".functions[2]"),
    ("a listed one is not carried", listed("0x1130", "codec_decode", "x"), codes.BAD_SELECTION, ".only[2]"),
    ("another address", listed("0x1131", "codec_decode"), codes.BAD_SELECTION, ".only[0]"),
    ("no list at all", listed(), codes.BAD_SELECTION, ".left_out[0]"),
    ("not ascending", listed("codec_decode", "0x1130"), codes.NOT_SORTED, ".only"),
    ("twice", listed("0x1130", "codec_decode", "codec_decode"), codes.NOT_SORTED, ".only"),
]


@pytest.mark.parametrize(("change", "code", "place"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_contradiction_is_found(
    manifest: Manifest, limited: Module, change: Callable[[Module], Module], code: Code, place: str
) -> None:
    module = change(limited)
    if not module.only:
        manifest = replace(manifest, left_out=())
    findings = found(manifest, module)
    assert any(item is code and where.endswith(place) for item, where in findings), findings


def test_files_are_left_out_by_a_list_alone(sample_manifest: Manifest) -> None:
    findings = check(replace(sample_manifest, left_out=("bin/third.dll",)))
    assert [item.code for item in findings] == [codes.BAD_SELECTION]


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        (("b.dll", "a.dll"), codes.NOT_SORTED),
        (("../a.dll",), codes.BAD_PATH),
        (("bin/OTHER.dll",), codes.PATH_TWIN),
        (("bin/Codec.dll",), codes.PATH_TWIN),
    ],
)
def test_files_that_are_left_out_are_named_once(
    manifest: Manifest, paths: tuple[str, ...], code: Code
) -> None:
    assert code in {item.code for item in check(replace(manifest, left_out=paths))}
