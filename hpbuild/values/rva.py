"""Addresses relative to an image base."""

from typing import NewType

Rva = NewType("Rva", int)
"""Address relative to the image base, in bytes (PE specification, section "General Concepts")."""
