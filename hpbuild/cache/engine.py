"""What the cached results were made with: a digest over the engine's source and what it stands on."""

import hashlib
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from hpbuild import __version__

LIBRARIES = ("capstone", "iced-x86", "lief", "numpy", "pefile")
APART = ("apply", "bundle", "cli", "report", "schemas", "servicing", "sign", "verify")
"""Packages of hpbuild that no cached result depends on."""


@cache
def engine_digest() -> str:
    """64 hexadecimal digits that change with any file of the engine, the versions of the libraries that read
    and decode, and Python's; '' when the source is not there to be read."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256(f"{__version__} {sys.version_info[:2]} {sys.byteorder}".encode())
    for name in LIBRARIES:
        digest.update(f"\0{name} {_version(name)}".encode())
    files = sorted(
        (path.relative_to(root).as_posix(), path)
        for path in root.rglob("*.py")
        if path.relative_to(root).parts[0] not in APART
    )
    if not files:
        return ""
    for name, path in files:
        try:
            content = path.read_bytes()
        except OSError:
            return ""
        digest.update(f"\0{name} {len(content)}\0".encode() + content)
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
