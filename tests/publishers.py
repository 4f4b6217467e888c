"""A publisher of files for tests: certificates of openssl, signatures of osslsigncode.

Tests that use this need both tools: call the fixture ``require_tool`` for each first.
"""

import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.certificates import FROM, TO, Entity, make_authority, make_leaf
from tests.policies import authority

ORGANIZATION = "Example Corp"


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who signs, and whose authority a policy names."""

    root: Entity
    signer: Entity

    @property
    def rule(self) -> str:
        """The tables of a policy file that ask for this publisher."""
        subject = f'[publisher]\nauthorities = ["vendor"]\nsubject = {{ organization = "{ORGANIZATION}" }}\n'
        return authority("vendor", self.root.pem) + subject

    def sign(self, source: Path, out: Path) -> Path:
        """``source`` signed, as the new file ``out``."""
        call = ["osslsigncode", "sign", "-h", "sha256", "-certs", self.signer.certificate]
        call += ["-key", self.signer.key, "-in", source, "-out", out]
        subprocess.run([str(item) for item in call], check=True, capture_output=True, timeout=600)
        return out


def make_publisher(folder: Path, valid: tuple[datetime, datetime] = (FROM, TO)) -> Publisher:
    """A publisher whose certificate counts in the span ``valid``."""
    folder.mkdir(parents=True, exist_ok=True)
    root = make_authority(folder / "root", "Vendor Root")
    signer = make_leaf(
        folder / "signer", root, algorithm="rsa-2048", subject=f"/O={ORGANIZATION}/CN=Files", valid=valid
    )
    return Publisher(root, signer)
