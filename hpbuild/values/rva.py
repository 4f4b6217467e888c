"""Addresses relative to an image base."""

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in typing, which is not imported for it
    from typing import NewType

    Rva = NewType("Rva", int)
else:
    Rva = int
"""Address relative to the image base, in bytes (PE specification, section "General Concepts")."""
