"""Wine for the tests of this folder: they run programs, and patch them while they run."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from hpbuild.apply.live.binaries import find_binaries
from tests.live.agent import Agents
from tests.live.packages import Packages
from tests.live.programs import CORPUS, unpack
from tests.live.wine import Wine, shared_prefix


def _run_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder of this test run, the same for all its workers."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def wine(
    require_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory, binaries: Path
) -> Iterator[Wine]:
    """Wine with a prefix of this test run's own; the tests are skipped when Wine is not installed."""
    for name in ("wine", "wineboot", "wineserver"):
        require_tool(name)
    with shared_prefix(_run_folder(tmp_path_factory), binaries) as found:
        yield found


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Packages, built once for all workers."""
    folder = _run_folder(tmp_path_factory) / "packages"
    folder.mkdir(exist_ok=True)
    return Packages(folder)


@pytest.fixture(scope="session")
def unpacked(wine: Wine) -> Callable[[str], Path]:
    """A function from the name of a pair of the binary patch corpus to its folder, which goes with Wine."""
    if not CORPUS.is_dir():
        pytest.skip("the binary patch corpus is not beside the checkout")
    return partial(unpack, wine.unpacked)


@pytest.fixture
def agents(wine: Wine, tmp_path: Path) -> Agents:
    """Couriers of the agent that `make agent` has built."""
    return Agents(wine, find_binaries(), tmp_path)
