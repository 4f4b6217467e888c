"""Codes of the code stage (HP20xx)."""

from hpbuild.errors import Code

ROWS: tuple[Code, ...] = ()
