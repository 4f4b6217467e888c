"""Build backend (PEP 517): hatchling's, with the agent built first when a wheel is made.

Only a wheel needs the compiler, which is a large download; a checkout that is installed in place (PEP 660)
gets its agent from `make agent`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling import build as hatchling

HERE = Path(__file__).resolve().parent
BINARIES = HERE.parent / "hpbuild" / "apply" / "live" / "bin"
COMPILER = "ziglang==0.17.1"

build_editable = hatchling.build_editable
build_sdist = hatchling.build_sdist
get_requires_for_build_editable = hatchling.get_requires_for_build_editable
get_requires_for_build_sdist = hatchling.get_requires_for_build_sdist


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """What a wheel needs beside hatchling."""
    return [*hatchling.get_requires_for_build_wheel(config_settings), COMPILER]


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """The wheel's file name; CalledProcessError when the agent cannot be built."""
    subprocess.run([sys.executable, str(HERE / "build.py"), str(BINARIES)], check=True)
    name: str = hatchling.build_wheel(wheel_directory, config_settings, metadata_directory)
    return name
