"""Rehearsing a package: a program is patched and reverted while it runs, and judged."""
