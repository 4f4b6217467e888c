"""How a fresh interpreter is told that it is a child, and for which piece of work.

The variable is set by ``fresh`` and nowhere else: ``main.run`` throws away one that was there before, since a
command that took itself for a child would end with 0 whatever it found.
"""

CHILD_VARIABLE = "HPBUILD_CHILD"
"""In the environment of a fresh interpreter: the number of the piece of work that it is for."""
