"""Images for the tests of the PE readers: tiny ones made by hand and real ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hpbuild.errors import Code, HpbuildError
from hpbuild.pe.image import Image
from hpbuild.pe.reader import read_image
from tests.minimal_pe import MinimalPe


@pytest.fixture
def pe() -> MinimalPe:
    """A fresh builder."""
    return MinimalPe()


@pytest.fixture
def refuses() -> Callable[..., HpbuildError]:
    """``refuses(code, function, ...)``: the call must raise exactly this code; returns the error."""

    def check(code: Code, function: Callable[..., object], *arguments: object) -> HpbuildError:
        with pytest.raises(HpbuildError) as caught:
            function(*arguments)
        assert caught.value.code == code, str(caught.value)
        return caught.value

    return check


@pytest.fixture(scope="session")
def codec(binaries: Path) -> Image:
    """A real DLL with imports, exports, relocations and a PDB reference, made by lld."""
    return read_image(binaries / "baseline" / "codec.dll")


@pytest.fixture(scope="session")
def throwing(binaries: Path) -> Image:
    """A real DLL with exception handlers."""
    return read_image(binaries / "baseline" / "throwing.dll")
