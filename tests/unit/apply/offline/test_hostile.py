"""Files of any content: a code or a good answer, never anything else."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpbuild.apply.offline.copy import patched_copy
from hpbuild.apply.offline.revert import original_of
from hpbuild.errors import HpbuildError
from hpbuild.pe.image import Image
from hpbuild.pe.reader import parse_image

from .conftest import Packaged

LIMIT = 1 << 24
CHANGES = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 0x400), st.integers(0, 0x7FFF)),
        st.one_of(st.sampled_from((0, 1, 4, 0x7F, 0x80, 0xFF)), st.integers(0, 255)),
    ),
    min_size=1,
    max_size=6,
)
FEW = settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def changed(data: bytes, changes: list[tuple[int, int]]) -> Image | None:
    """The image with some bytes set; None when it is not read as one any more."""
    copy = bytearray(data)
    for offset, value in changes:
        copy[offset % len(copy)] = value
    try:
        return parse_image(bytes(copy), "hostile")
    except HpbuildError:
        return None


@pytest.mark.parametrize("stem", ["codec", "throwing"])
@FEW
@given(changes=CHANGES)
def test_a_hostile_baseline(
    built: Callable[[str], Packaged], stem: str, changes: list[tuple[int, int]]
) -> None:
    item = built(stem)
    image = changed(item.baseline.data.whole(), changes)
    if image is None:
        return
    try:
        copy = patched_copy(item.module, image, item.patch)
    except HpbuildError as error:
        assert error.code.id[:3] in ("HP1", "HP7")  # noqa: PT017
        return
    try:
        patched = parse_image(copy.data, "copy")
    except HpbuildError:
        return  # what is read again before anything is written
    assert original_of(patched, item.module, LIMIT) == image.data


@FEW
@given(changes=CHANGES)
def test_a_hostile_patched_file(built: Callable[[str], Packaged], changes: list[tuple[int, int]]) -> None:
    item = built("codec")
    image = changed(item.copy().data, changes)
    if image is None:
        return
    try:
        assert original_of(image, item.module, LIMIT) == item.baseline.data.whole()
    except HpbuildError as error:
        assert error.code.id.startswith("HP721")  # noqa: PT017
