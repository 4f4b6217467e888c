"""What a machine remembers of release lines: the state file, its key and its lock."""

from hpbuild.servicing.state_file import StateFile, open_state, view_state

__all__ = ["StateFile", "open_state", "view_state"]
