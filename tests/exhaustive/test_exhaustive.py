"""No small change of a signed package verifies. All of them: ``python -m tests.exhaustive``."""

import pytest

from tests.exhaustive.walks import STEPS, WALKS, package, verifies, walk


def test_the_package_itself_verifies() -> None:
    assert verifies(package())


@pytest.mark.parametrize("name", WALKS)
def test_nothing_changed_verifies(name: str) -> None:
    found = walk(name, STEPS.get(name, 1))
    assert found.tried > 30
    assert found.accepted == ()


def test_key_ids_are_hints() -> None:
    """They are not signed; a walk says so instead of passing over them."""
    assert walk("bits of the members, mended", 97).hints > 0
