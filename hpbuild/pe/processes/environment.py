"""What a Wine process's environment says about its Wine (Wine User's Guide, "Environment variables")."""

from collections.abc import Mapping
from pathlib import Path


def wine_prefix(environment: Mapping[str, str]) -> Path | None:
    """The directory of the Wine installation that a process with this environment uses."""
    if environment.get("WINEPREFIX"):
        return Path(environment["WINEPREFIX"])
    return Path(environment["HOME"], ".wine") if environment.get("HOME") else None
