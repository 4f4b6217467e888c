"""hpbuild: function-level hotpatch packages from two finished Windows binaries."""

__version__ = "0.1.0"
