import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.codes import manifest as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.manifest import model
from hpbuild.manifest.codec import decode, encode, to_document
from hpbuild.manifest.schema import validate
from hpbuild.manifest.strict_json import canonical
from hpbuild.values import Digest, Interval, Rva

TEXT = st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=20)
RVAS = st.integers(0, 2**31 - 1).map(Rva)
INTERVALS = st.tuples(st.integers(0, 2**30), st.integers(0, 2**30)).map(
    lambda pair: Interval(pair[0], sum(pair))
)
DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
CLASSES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)


def pins() -> st.SearchStrategy[model.Pin]:
    """Any pin of a file."""
    return st.builds(
        model.Pin,
        file_name=TEXT.filter(bool),
        size=st.integers(1, 2**32 - 1),
        sha256=DIGESTS,
        authenticode=st.none() | DIGESTS,
        sections=st.lists(
            st.builds(model.SectionPin, name=TEXT, rva=RVAS, size=RVAS, sha256=DIGESTS), max_size=2
        ).map(tuple),
        machine=st.integers(0, 0xFFFF),
        time_date_stamp=st.integers(0, 2**32 - 1),
        checksum=st.integers(0, 2**32 - 1),
        size_of_image=st.integers(1, 2**31 - 1),
        image_base=st.integers(0, 2**64 - 1),
        pdb_guid=st.just("") | st.binary(min_size=16, max_size=16).map(bytes.hex),
        pdb_age=st.integers(0, 2**32 - 1),
        version=st.sampled_from(["", "0.0.0.0", "1.22.333.65535"]),
    )


def modules() -> st.SearchStrategy[model.Module]:
    """Any module whose fields are in range."""
    ranges = st.lists(INTERVALS, max_size=3).map(tuple)
    functions = st.builds(
        model.Function,
        name=TEXT,
        reason=st.sampled_from(["changed", "added", "referrer"]),
        level=TEXT,
        cause=TEXT,
        baseline=ranges,
        fixed=ranges,
        patch=ranges,
        baseline_sha256=st.none() | DIGESTS,
        fixed_sha256=DIGESTS,
    )
    data = st.builds(
        model.Datum,
        name=TEXT,
        reason=st.sampled_from(["changed", "added", "referrer"]),
        kind=st.sampled_from(["rodata", "data", "bss"]),
        cause=TEXT,
        baseline=st.none() | INTERVALS,
        fixed=INTERVALS,
        patch=INTERVALS,
    )
    redirections = st.builds(
        model.Redirection,
        function=st.integers(0, 1000),
        kind=st.sampled_from(["pad-jump", "entry-jump"]),
        entry=RVAS,
        window=INTERVALS,
        old=st.binary(max_size=9),
        new=st.binary(max_size=9),
    )
    sites = st.lists(RVAS, max_size=3).map(tuple)
    references = st.builds(model.BaselineReference, range=INTERVALS, sha256=st.none() | DIGESTS)
    findings = st.builds(
        model.ManifestFinding,
        code=st.sampled_from(["HP1000", "HP9999"]),
        severity=st.sampled_from(["refuse", "warn", "note"]),
        place=TEXT,
        cause=TEXT,
    )
    return st.builds(
        model.Module,
        path=TEXT.filter(bool),
        baseline=pins(),
        fixed=pins(),
        image=st.builds(
            model.PatchImagePin,
            member=TEXT.filter(bool),
            size=st.integers(1, 9),
            sha256=DIGESTS,
            range=INTERVALS,
        ),
        functions=st.lists(functions, max_size=2).map(tuple),
        data=st.lists(data, max_size=2).map(tuple),
        redirections=st.lists(redirections, max_size=2).map(tuple),
        pages=st.lists(st.builds(model.PagePin, rva=RVAS, sha256=DIGESTS), max_size=2).map(tuple),
        fixups=st.builds(model.Fixups, addr64=sites, rel32=sites, addr32nb=sites),
        references=st.lists(references, max_size=2).map(tuple),
        exclusions=st.lists(
            st.builds(model.Exclusion, klass=CLASSES, place=TEXT, cause=TEXT), max_size=2
        ).map(tuple),
        findings=st.lists(findings, max_size=1).map(tuple),
        account=st.lists(st.builds(model.ByteClass, klass=CLASSES, size=st.integers(0, 9)), max_size=2).map(
            tuple
        ),
    )


@st.composite
def manifests(draw: st.DrawFn) -> model.Manifest:
    """Any manifest whose fields are in range, however little they fit together."""
    return model.Manifest(
        id=draw(st.sampled_from(["a", "Z-1.2_3+4"])),
        product=draw(TEXT),
        sequence=draw(st.integers(1, 2**32 - 1)),
        advisories=tuple(draw(st.lists(TEXT.filter(bool), unique=True, max_size=2))),
        created=draw(st.sampled_from(["", "2025-01-31T12:00:00Z"])),
        tool=draw(TEXT),
        modules=tuple(draw(st.lists(modules(), max_size=2))),
        unchanged=tuple(draw(st.lists(TEXT.filter(bool), max_size=2))),
    )


@given(manifests())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_read_back(manifest: model.Manifest) -> None:
    data = encode(manifest)
    assert decode(data) == manifest
    assert encode(decode(data)) == data


def test_wire_form_meets_the_schema(sample_manifest: model.Manifest) -> None:
    document = json.loads(encode(sample_manifest))
    assert document == to_document(sample_manifest)
    validate(document, model.SCHEMA_ID, "manifest.json")


def test_long_lists_are_flat(sample_manifest: model.Manifest) -> None:
    module = json.loads(encode(sample_manifest))["modules"][0]
    assert module["fixups"] == {"addr64": [0x11008], "rel32": [0x10002, 0x10010], "addr32nb": [0x11020]}
    assert module["references"][1] == [0x4010, 8, None]
    assert module["baseline"]["image_base"] == "0x180000000"


Change = Callable[[Any], object]


def changed(manifest: model.Manifest, change: Change) -> bytes:
    document = json.loads(encode(manifest))
    change(document)
    return canonical(document, "test")


REFUSALS: list[tuple[Change, Code, str]] = [
    (lambda d: d.update(extra=1), codes.UNKNOWN_KEY, ""),
    (lambda d: d.pop("id"), codes.MISSING_KEY, ""),
    (lambda d: d.update(schema="urn:hpbuild:schema:manifest:2"), codes.UNKNOWN_SCHEMA, "schema"),
    (lambda d: d.update(sequence=0), codes.OUT_OF_RANGE, "sequence"),
    (lambda d: d.update(sequence=2**32), codes.OUT_OF_RANGE, "sequence"),
    (lambda d: d.update(created="yesterday"), codes.BAD_DATE, "created"),
    (lambda d: d.update(id="a b"), codes.BAD_TEXT, "id"),
    (lambda d: d.update(modules={}), codes.WRONG_TYPE, "modules"),
    (
        lambda d: d["modules"][0]["baseline"].update(image_base=5),
        codes.WRONG_TYPE,
        "modules[0].baseline.image_base",
    ),
    (
        lambda d: d["modules"][0]["baseline"].update(image_base="0x0180000000"),
        codes.BAD_TEXT,
        "modules[0].baseline.image_base",
    ),
    (
        lambda d: d["modules"][0]["baseline"].update(pdb_guid="0"),
        codes.BAD_TEXT,
        "modules[0].baseline.pdb_guid",
    ),
    (lambda d: d["modules"][0]["fixed"].update(version="1.2"), codes.BAD_TEXT, "modules[0].fixed.version"),
    (
        lambda d: d["modules"][0]["functions"][1]["patch"][0].update(rva=2**31),
        codes.OUT_OF_RANGE,
        "modules[0].functions[1].patch[0].rva",
    ),
    (
        lambda d: d["modules"][0]["functions"][0].update(fixed_sha256="00"),
        codes.BAD_HEX,
        "modules[0].functions[0].fixed_sha256",
    ),
    (
        lambda d: d["modules"][0]["functions"][0].update(reason="because"),
        codes.OUT_OF_RANGE,
        "modules[0].functions[0].reason",
    ),
    (
        lambda d: d["modules"][0]["fixups"]["rel32"].append(-1),
        codes.OUT_OF_RANGE,
        "modules[0].fixups.rel32[2]",
    ),
    (
        lambda d: d["modules"][0]["fixups"]["rel32"].append(True),
        codes.WRONG_TYPE,
        "modules[0].fixups.rel32[2]",
    ),
    (lambda d: d["modules"][0]["references"][0].pop(), codes.OUT_OF_RANGE, "modules[0].references[0]"),
    (
        lambda d: d["modules"][0]["redirections"][0].update(old="0"),
        codes.BAD_HEX,
        "modules[0].redirections[0].old",
    ),
    (
        lambda d: d["modules"][0]["findings"][0].update(code="HP1"),
        codes.BAD_TEXT,
        "modules[0].findings[0].code",
    ),
    (
        lambda d: d["modules"][0]["account"][0].update(klass="A"),
        codes.BAD_TEXT,
        "modules[0].account[0].klass",
    ),
]


@pytest.mark.parametrize(("change", "code", "path"), REFUSALS)
def test_wrong_field_fails_with_its_path(
    sample_manifest: model.Manifest, change: Change, code: Code, path: str
) -> None:
    with pytest.raises(HpbuildError) as caught:
        decode(changed(sample_manifest, change))
    assert caught.value.code is code
    assert caught.value.finding.place == (f"manifest.json: {path}" if path else "manifest.json")


def test_other_spelling_fails(sample_manifest: model.Manifest) -> None:
    data = encode(sample_manifest)
    with pytest.raises(HpbuildError) as caught:
        decode(data.replace(b'"created":', b'"created": '))
    assert caught.value.code is codes.NOT_CANONICAL


def test_every_proper_prefix_fails(sample_manifest: model.Manifest) -> None:
    data = encode(sample_manifest)
    for size in range(0, len(data), 37):
        with pytest.raises(HpbuildError) as caught:
            decode(data[:size])
        assert caught.value.code is codes.NOT_JSON


def test_value_that_would_be_refused_is_not_written(sample_manifest: model.Manifest) -> None:
    with pytest.raises(HpbuildError) as caught:
        encode(dataclasses.replace(sample_manifest, product="a\nb"))
    assert caught.value.code is codes.BAD_TEXT


def test_value_that_changes_on_the_way_is_not_written(sample_manifest: model.Manifest) -> None:
    lists = dataclasses.replace(sample_manifest, advisories=["CVE-1"])  # type: ignore[arg-type]
    with pytest.raises(HpbuildError) as caught:
        encode(lists)
    assert caught.value.code is codes.UNENCODABLE
