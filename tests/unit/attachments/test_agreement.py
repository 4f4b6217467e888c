"""Attachments against the manifest: each one changed in one place."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.attachments.agreement import findings
from hpbuild.attachments.record import PROVENANCE, SBOM, VEX, Record
from hpbuild.attachments.writer import attachments
from hpbuild.codes import attachments as codes
from hpbuild.errors import Code, Finding

OTHER = "00" * 32
Changed = Callable[[bytes, Callable[[Any], object]], bytes]


def build(document: Any) -> Any:
    return document["predicate"]["buildDefinition"]


def component(document: Any) -> Any:
    return document["components"][0]


def statement(document: Any) -> Any:
    return document["statements"][0]


def duplicate(items: list[Any]) -> None:
    items.append(items[0])


CASES: tuple[tuple[str, str, Callable[[Any], object], Code], ...] = (
    ("type", PROVENANCE, lambda d: d.update(_type="https://in-toto.io/Statement/v0.1"), codes.WRONG_KIND),
    ("predicate", PROVENANCE, lambda d: d.update(predicateType="urn:x"), codes.WRONG_KIND),
    ("build type", PROVENANCE, lambda d: build(d).update(buildType="urn:x"), codes.WRONG_KIND),
    ("id", PROVENANCE, lambda d: build(d)["externalParameters"].update(id="x"), codes.OTHER_PACKAGE),
    (
        "product",
        PROVENANCE,
        lambda d: build(d)["externalParameters"].update(product="x"),
        codes.OTHER_PACKAGE,
    ),
    (
        "sequence",
        PROVENANCE,
        lambda d: build(d)["externalParameters"].update(sequence=9),
        codes.OTHER_PACKAGE,
    ),
    (
        "advisory",
        PROVENANCE,
        lambda d: build(d)["externalParameters"]["advisories"].append("CVE-1"),
        codes.OTHER_ADVISORIES,
    ),
    ("subject", PROVENANCE, lambda d: d["subject"][0]["digest"].update(sha256=OTHER), codes.OTHER_FILES),
    ("no subject", PROVENANCE, lambda d: d["subject"].pop(), codes.OTHER_FILES),
    ("subject twice", PROVENANCE, lambda d: duplicate(d["subject"]), codes.OTHER_FILES),
    (
        "input",
        PROVENANCE,
        lambda d: build(d)["resolvedDependencies"][0]["digest"].update(sha256=OTHER),
        codes.OTHER_FILES,
    ),
    ("input gone", PROVENANCE, lambda d: build(d)["resolvedDependencies"].pop(), codes.OTHER_FILES),
    ("no builder", PROVENANCE, lambda d: d["predicate"]["runDetails"].pop("builder"), codes.MALFORMED),
    ("not an object", PROVENANCE, lambda d: d.update(predicate=[]), codes.MALFORMED),
    ("format", SBOM, lambda d: d.update(bomFormat="SPDX"), codes.WRONG_KIND),
    ("version", SBOM, lambda d: d.update(specVersion="1.5"), codes.WRONG_KIND),
    ("package", SBOM, lambda d: d["metadata"]["component"].update(name="x"), codes.OTHER_PACKAGE),
    ("sequence", SBOM, lambda d: d["metadata"]["component"].update(version="03"), codes.OTHER_PACKAGE),
    ("fixed", SBOM, lambda d: component(d)["hashes"][0].update(content=OTHER), codes.OTHER_FILES),
    (
        "baseline",
        SBOM,
        lambda d: component(d)["pedigree"]["ancestors"][0]["hashes"][0].update(content=OTHER),
        codes.OTHER_FILES,
    ),
    ("no ancestor", SBOM, lambda d: component(d)["pedigree"]["ancestors"].clear(), codes.OTHER_FILES),
    ("no module", SBOM, lambda d: d["components"].clear(), codes.OTHER_FILES),
    ("module twice", SBOM, lambda d: duplicate(d["components"]), codes.OTHER_FILES),
    ("other module", SBOM, lambda d: component(d).update({"bom-ref": "module:x"}), codes.OTHER_FILES),
    ("two digests", SBOM, lambda d: duplicate(component(d)["hashes"]), codes.MALFORMED),
    (
        "resolves",
        SBOM,
        lambda d: component(d)["pedigree"]["patches"][0]["resolves"][0].update(id="CVE-1"),
        codes.OTHER_ADVISORIES,
    ),
    ("no patch", SBOM, lambda d: component(d)["pedigree"]["patches"].clear(), codes.OTHER_ADVISORIES),
    ("context", VEX, lambda d: d.update({"@context": "https://openvex.dev/ns/v0.0.1"}), codes.WRONG_KIND),
    ("vulnerability", VEX, lambda d: statement(d)["vulnerability"].update(name="x"), codes.OTHER_ADVISORIES),
    ("status", VEX, lambda d: statement(d).update(status="affected"), codes.OTHER_ADVISORIES),
    ("statement twice", VEX, lambda d: duplicate(d["statements"]), codes.OTHER_ADVISORIES),
    ("no statement", VEX, lambda d: d["statements"].clear(), codes.OTHER_ADVISORIES),
    ("product", VEX, lambda d: statement(d)["products"][0].update({"@id": "urn:x:y"}), codes.OTHER_FILES),
    (
        "digest of the baseline",
        VEX,
        lambda d: statement(d)["products"][0].update(hashes={"sha-256": OTHER}),
        codes.OTHER_FILES,
    ),
    ("digest gone", VEX, lambda d: statement(d)["products"][1].pop("hashes"), codes.OTHER_FILES),
    ("products", VEX, lambda d: statement(d).update(products={}), codes.MALFORMED),
)


def found(record: Record, name: str, data: bytes) -> list[Finding]:
    return list(findings(name, data, record.manifest, record.manifest_bytes))


class TestFindings:
    def test_none_about_what_was_written(self, record: Record) -> None:
        for name, data in attachments(record).items():
            assert found(record, name, data) == []

    @pytest.mark.parametrize(
        ("name", "change", "code"), [case[1:] for case in CASES], ids=[f"{c[1][12:16]}-{c[0]}" for c in CASES]
    )
    def test_fail_one_place_changed(
        self, record: Record, changed: Changed, name: str, change: Callable[[Any], object], code: Code
    ) -> None:
        items = found(record, name, changed(attachments(record)[name], change))
        assert {item.code for item in items} == {code}
        assert all(item.place.startswith(name) for item in items)

    def test_other_keys_and_components_are_nobodys_business(self, record: Record, changed: Changed) -> None:
        def more(document: Any) -> None:
            document["components"].append({"type": "library", "name": "zlib", "bom-ref": "zlib"})
            document["components"].append({"type": "library", "name": "no reference"})
            document["x-more"] = {"a": 1}

        assert found(record, SBOM, changed(attachments(record)[SBOM], more)) == []

    def test_other_inputs_are_nobodys_business(self, record: Record, changed: Changed) -> None:
        def more(document: Any) -> None:
            build(document)["resolvedDependencies"].append({"name": "codec.pdb", "digest": {"sha256": OTHER}})

        assert found(record, PROVENANCE, changed(attachments(record)[PROVENANCE], more)) == []

    @pytest.mark.parametrize("name", [PROVENANCE, SBOM, VEX])
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"null",
            b"[]",
            b"{",
            b"\xff",
            b'{"a":1,"a":2}',
            b'{"a":NaN}',
            b'{"a":1.5}',
            b'{"a": 1}',
            b"{}",
            b'"text"',
        ],
    )
    def test_fail_other_bytes(self, record: Record, name: str, data: bytes) -> None:
        assert [item.code for item in found(record, name, data)] == [codes.MALFORMED]

    def test_fail_a_fraction_where_a_number_belongs(self, record: Record) -> None:
        data = attachments(record)[PROVENANCE].replace(b'"sequence":3', b'"sequence":3.0')
        assert [item.code for item in found(record, PROVENANCE, data)] == [codes.MALFORMED]

    @pytest.mark.parametrize(
        "data",
        [b"[" * 10_000, b'"' + b"a" * 70_000 + b'"', b" " * (33 << 20)],
        ids=["deep", "long text", "large"],
    )
    def test_fail_beyond_a_limit(self, record: Record, data: bytes) -> None:
        assert [item.code for item in found(record, SBOM, data)] == [codes.LIMIT]

    def test_what_a_stranger_wrote_is_cut(self, record: Record, changed: Changed) -> None:
        long = "x" * 60_000
        data = changed(attachments(record)[SBOM], lambda d: d["metadata"]["component"].update(name=long))
        (item,) = found(record, SBOM, data)
        assert len(item.cause) < 500


def test_every_place_that_is_read_is_needed(record: Record, changed: Changed) -> None:
    """Without any one of the keys that hold what is compared, nothing passes."""
    for name, data in attachments(record).items():
        read = [key for key in json.loads(data) if key not in ("serialNumber", "version", "tooling")]
        for key in read:
            broken = changed(data, lambda document, key=key: document.pop(key))
            assert [item.code for item in found(record, name, broken)] == [codes.MALFORMED], (name, key)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text("abc"), children, max_size=3),
    max_leaves=5,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with one of its keys."""
    found: list[tuple[Any, Any]] = []
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found += [(value, key), *places(value[key])]
    return found


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_document_brings_anything_but_findings(
    record: Record, changed: Changed, data: st.DataObject
) -> None:
    """Any value in any place: nothing is raised, and what is read is compared."""
    documents = attachments(record)
    name = data.draw(st.sampled_from(sorted(documents)))

    def change(document: Any) -> None:
        container, key = data.draw(st.sampled_from(places(document)))
        container[key] = data.draw(JSON)

    assert all(item.code in codes.ROWS for item in found(record, name, changed(documents[name], change)))


@given(at=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_bytes_bring_anything_but_findings(record: Record, at: int, bit: int) -> None:
    for name, data in attachments(record).items():
        broken = bytearray(data)
        broken[at % len(data)] ^= 1 << bit
        assert all(item.code in codes.ROWS for item in found(record, name, bytes(broken)))
