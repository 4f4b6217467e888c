"""The checking side of this package loads neither the plan nor the linker, nor LIEF nor a decoder."""

import subprocess
import sys
from pathlib import Path

import pytest

FORBIDDEN = {
    "hpbuild.plan",
    "hpbuild.match",
    "hpbuild.code",
    "hpbuild.patchimage.link",
    "hpbuild.patchimage.layout",
    "hpbuild.patchimage.fields",
    "hpbuild.patchimage.native",
    "hpbuild.patchimage.container",
    "hpbuild.patchimage.relocations",
    "lief",
    "iced_x86",
    "capstone",
}


@pytest.mark.parametrize("module", ["read", "place", "agree", "redirection"])
def test_checking_modules_load_no_builder_code(module: str, root: Path) -> None:
    script = f"import sys, hpbuild.patchimage.{module}; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    names = loaded.stdout.split()
    assert f"hpbuild.patchimage.{module}" in names
    found = {name for name in names if any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN)}
    assert found == set()
