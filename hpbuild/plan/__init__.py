"""Decisions: what a package carries, how entries are redirected, what is permitted."""
