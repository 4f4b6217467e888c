"""Files made to exhaust or mislead are refused with their code, within a little memory and time."""

import os
from collections.abc import Iterator

import pytest

if os.name != "posix":
    pytest.skip("limits of a process are set the POSIX way", allow_module_level=True)

from tests.hostile_images import HOSTILE
from tests.hostile_reading import MEMORY, Reader


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    made = Reader(tmp_path_factory.mktemp("hostile"))
    yield made
    made.close()


@pytest.mark.parametrize("name", [name for name, hostile in HOSTILE.items() if hostile.code])
def test_hostile_image_fail(reader: Reader, name: str) -> None:
    cost = reader.read(HOSTILE[name])
    assert not cost.failure
    assert HOSTILE[name].code.id in cost.codes
    assert cost.peak < MEMORY


@pytest.mark.parametrize("name", [name for name, hostile in HOSTILE.items() if not hostile.code])
def test_at_the_limit_everything_is_read(reader: Reader, name: str) -> None:
    cost = reader.read(HOSTILE[name])
    assert not cost.failure
    assert cost.peak < MEMORY
