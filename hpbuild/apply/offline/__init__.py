"""A package written into a file, and taken out again: ``hpbuild apply --offline``, ``hpbuild revert``."""
