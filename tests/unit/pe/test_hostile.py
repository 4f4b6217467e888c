"""Whatever the bytes, only an HpbuildError comes out of the readers."""

import struct
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.errors import HpbuildError
from hpbuild.pe import (
    debug,
    exports,
    imports,
    load_config,
    metadata,
    relocations,
    resources,
    rich,
    tls,
    unwind,
)
from hpbuild.pe.reader import parse_image

READERS = (
    unwind.runtime_functions,
    lambda image: unwind.primary_begins(image, unwind.runtime_functions(image)),
    lambda image: [unwind.chain_root(image, (0, 0, int(u))) for u in unwind.runtime_functions(image).unwind],
    relocations.relocation_sites,
    exports.exports,
    imports.imports,
    load_config.load_config,
    tls.tls,
    debug.debug_info,
    resources.file_version,
    resources.resource_digest,
    rich.rich_products,
    metadata.metadata_extents,
)
FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12)
WORDS = st.lists(
    st.tuples(
        st.integers(0, 15),
        st.integers(0, 0x60),
        st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF8, 0x1000, 0x2FFF]),
    ),
    min_size=1,
    max_size=4,
)


def _read_everything(data):
    """Anything but an HpbuildError escapes and fails the test."""
    try:
        image = parse_image(data, "hostile")
    except HpbuildError:
        return
    for reader in READERS:
        with suppress(HpbuildError):
            reader(image)


@pytest.mark.parametrize("name", ["codec", "throwing"])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(flips=FLIPS)
def test_flipped_bytes(request, name, flips):
    data = bytearray(request.getfixturevalue(name).data.whole())
    for place, value in flips:
        data[int(place * len(data))] = value
    _read_everything(bytes(data))


@pytest.mark.parametrize("name", ["codec", "throwing"])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(flips=FLIPS)
def test_flipped_header_bytes(request, name, flips):
    data = bytearray(request.getfixturevalue(name).data.whole())
    for place, value in flips:
        data[int(place * 0x400)] = value
    _read_everything(bytes(data))


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(writes=WORDS)
def test_extreme_values_at_the_start_of_tables(throwing, writes):
    data = bytearray(throwing.data.whole())
    for index, offset, value in writes:
        start = throwing.directories[index].start
        section = throwing.section_at(start)
        if section is not None:
            struct.pack_into("<I", data, section.raw_offset + start - section.rva + offset, value)
    _read_everything(bytes(data))


@given(st.binary(max_size=400))
def test_random_bytes(data):
    _read_everything(data)
    _read_everything(b"MZ" + data)
