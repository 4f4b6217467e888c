"""A PKCS#11 token in software, with a key of every kind."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
TOKEN_KEYS = {
    "p256": ("EC:prime256v1", "01"),
    "p384": ("EC:secp384r1", "02"),
    "rsa": ("rsa:3072", "03"),
    "ed": ("EC:edwards25519", "04"),
    "p521": ("EC:secp521r1", "05"),
    "short": ("rsa:2048", "06"),
}
"""Label, kind and id of the keys on the token."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token labelled ``hp`` with the keys of ``TOKEN_KEYS``."""

    module: str
    pin: str
    tool: str

    def uri(self, path: str, query: str = "") -> str:
        """A ``pkcs11:`` URI with the module's path in it."""
        return f"pkcs11:{path}?module-path={self.module}{query}"

    def run(self, *arguments: str) -> None:
        """pkcs11-tool, logged in."""
        login = ("--module", self.module, "--token-label", "hp", "--login", "--pin", self.pin)
        subprocess.run([self.tool, *login, *arguments], capture_output=True, check=True)


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Iterator[Token]:
    """SoftHSM reads its configuration once in a process, so there is one token for all tests."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    utility, tool = require_tool("softhsm2-util"), require_tool("pkcs11-tool")
    module = next((path for path in MODULES if Path(path).is_file()), None)
    if module is None:
        pytest.skip("softhsm2-util is there, its library is in none of the usual places")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    pins = ("--pin", "31415926", "--so-pin", "27182818")
    subprocess.run(
        [utility, "--init-token", "--free", "--label", "hp", *pins], capture_output=True, check=True
    )
    made = Token(module, "31415926", tool)
    for label, (kind, name) in TOKEN_KEYS.items():
        made.run("--keypairgen", "--key-type", kind, "--id", name, "--label", label)
    yield made
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before
