"""Values of options that several commands share. The options themselves are in ``options`` and ``trust``."""

from enum import StrEnum


class Format(StrEnum):
    """Form of the result on stdout."""

    TEXT = "text"
    JSON = "json"


class Color(StrEnum):
    """When to colour text."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class LowestTier(StrEnum):
    """Identities of the installed file, strongest first."""

    EXACT = "exact"
    AUTHENTICODE = "authenticode"
    SECTIONS = "sections"
    FUNCTIONS = "functions"


STATE_WAIT = 10.0
"""Seconds to wait for another run that uses the state file."""
