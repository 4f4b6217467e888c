"""Manifest entries: what they say is what the images, the plan and the linked patch image hold."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpbuild.assembly.modules import module_entry, pin
from hpbuild.patchimage.link import link
from hpbuild.pe.identity import masked_digest
from hpbuild.pe.reader import read_image
from hpbuild.pe.relocations import relocation_sites
from hpbuild.plan.model import BaselineUse
from hpbuild.values import Digest, Interval

CARRYING = [
    (".", "codec"),
    (".", "throwing"),
    ("variants/static_var", "gadget"),
    ("variants/pad_jump", "gadget"),
]


@pytest.fixture(params=CARRYING, ids=str)
def made(request: pytest.FixtureRequest, case: Callable[..., Any]) -> tuple[Any, Any, Any]:
    """(case, linked image, entry)."""
    found = case(*request.param, "auto")
    images = found.comparison.baseline.program.image, found.comparison.fixed.program.image
    linked = link(found.plan, images[0], 1)
    return found, linked, module_entry("bin/x.dll", *images, found.plan, linked, [("padding", 3)])


def test_a_pin_names_the_build(case: Callable[..., Any]) -> None:
    found = case(".", "codec", "auto")
    data = found.baseline.read_bytes()
    held = pin(read_image(found.baseline))
    assert (held.file_name, held.size, held.sha256) == ("codec.dll", len(data), Digest.of(data))
    assert held.version == "1.4.2.0"
    assert [section.name for section in held.sections] == [
        ".text",
        ".rdata",
        ".data",
        ".pdata",
        ".rsrc",
        ".reloc",
    ]
    assert held != pin(read_image(found.fixed))


def test_names_sizes_and_digests(made: tuple[Any, Any, Any]) -> None:
    _, linked, entry = made
    assert entry.path == "bin/x.dll"
    assert (entry.image.member, entry.image.size) == ("images/bin/x.dll", len(linked.data))
    assert entry.image.sha256 == Digest.of(linked.data)
    assert entry.image.range == linked.range
    assert [(row.klass, row.size) for row in entry.account] == [("padding", 3)]


def test_functions_lie_where_the_linker_put_them(made: tuple[Any, Any, Any]) -> None:
    found, linked, entry = made
    for function, planned in zip(entry.functions, found.plan.functions, strict=True):
        assert (function.name, function.reason) == (planned.name, planned.reason.value)
        places = [
            Interval(linked.chunk_rvas[number], linked.chunk_rvas[number] + found.plan.chunks[number].size)
            for number in planned.chunks
        ]
        assert list(function.patch) == places
        assert [len(part) for part in function.patch] == [len(part) for part in function.fixed]
        assert all(linked.range.covers(part) for part in function.patch)
        assert (function.baseline_sha256 is None) == (function.baseline == ())
    for datum, planned in zip(entry.data, found.plan.data, strict=True):
        assert len(datum.patch) == len(datum.fixed)
        assert datum.kind == planned.kind.value


def test_digests_are_those_of_the_images_without_relocated_fields(made: tuple[Any, Any, Any]) -> None:
    found, _, entry = made
    image = found.comparison.fixed.program.image
    for function in entry.functions:
        raw = b"".join(image.read(part.start, len(part)) for part in function.fixed)
        assert function.fixed_sha256 == Digest.of(raw)  # no relocation lies in this code


def test_constant_references_are_digested_and_variables_are_not(made: tuple[Any, Any, Any]) -> None:
    found, _, entry = made
    image = found.comparison.baseline.program.image
    sites = relocation_sites(image)
    constant = {use.range: use.constant for use in found.plan.uses}
    assert [row.range for row in entry.references] == sorted(constant)
    for row in entry.references:
        wanted = masked_digest(image, (row.range,), sites) if constant[row.range] else None
        assert row.sha256 == wanted


def test_a_range_used_both_ways_counts_as_variable(case: Callable[..., Any]) -> None:
    found = case("variants/static_var", "gadget", "auto")
    run = Interval(0x2030, 0x2040)
    uses = (BaselineUse(run, True), BaselineUse(run, False), BaselineUse(Interval(0x2040, 0x2040), True))
    images = found.comparison.baseline.program.image, found.comparison.fixed.program.image
    plan = replace(found.plan, uses=uses)
    entry = module_entry("x.dll", *images, plan, link(plan, images[0], 1), [])
    assert [(row.range, row.sha256) for row in entry.references] == [(run, None)]


def test_redirections_ascend_and_lead_to_the_new_code(made: tuple[Any, Any, Any]) -> None:
    _, _, entry = made
    entries = [row.entry for row in entry.redirections]
    assert entries == sorted(entries)
    for row in entry.redirections:
        jump = row.new[row.new.index(b"\xe9") :][:5]
        source = row.window.start + row.new.index(b"\xe9") + 5
        target = source + int.from_bytes(jump[1:], "little", signed=True)
        assert target == entry.functions[row.function].patch[0].start


def test_findings_and_exclusions_are_declared(case: Callable[..., Any]) -> None:
    found = case(".", "codec", "auto")
    images = found.comparison.baseline.program.image, found.comparison.fixed.program.image
    entry = module_entry("x.dll", *images, found.plan, link(found.plan, images[0], 1), [])
    assert [(row.code, row.severity, row.place) for row in entry.findings] == [("HP3022", "note", ".rsrc")]
    assert [(row.klass, row.place) for row in entry.exclusions] == [("resource", ".rsrc")]


def test_fixups_are_sorted_and_inside(made: tuple[Any, Any, Any]) -> None:
    _, linked, entry = made
    for sites in (entry.fixups.addr64, entry.fixups.rel32, entry.fixups.addr32nb):
        assert np.all(np.diff(np.array(sites, dtype=np.int64)) > 0)
        assert all(site in linked.range for site in sites)
