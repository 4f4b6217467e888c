"""Putting a verified package to work: into a copy of the file, or into a running process."""
