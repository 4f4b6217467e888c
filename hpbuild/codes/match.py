"""Codes of the match stage (HP21xx)."""

from hpbuild.errors import Code

ROWS: tuple[Code, ...] = ()
