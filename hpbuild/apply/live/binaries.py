"""The agent's two programs, as they lie in the package."""

import os
from pathlib import Path

from hpbuild.codes.driver import AGENT_MISSING
from hpbuild.dataclass import dataclass
from hpbuild.errors import HpbuildError

FOLDER = Path(__file__).resolve().parent / "bin"
"""Where `make agent` and the wheel put them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """``courier`` is the program that is started, ``resident`` the library that it puts into the process."""

    courier: Path
    resident: Path


def find_binaries(folder: Path = FOLDER) -> Binaries:
    """The two files in ``folder``. Raises HpbuildError HP7351 when one is missing."""
    found = Binaries(courier=folder / "hpagent.exe", resident=folder / "hpagent.dll")
    for path in (found.courier, found.resident):
        if not path.is_file() or not os.access(path, os.R_OK):
            raise HpbuildError(AGENT_MISSING, str(path), "there is no such file, or it cannot be read")
    return found
