"""The list of commands as plain data: what ``hpbuild --help`` shows, and which module has the code.

Nothing is imported here, so that a run imports only the command that it runs.
"""

COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("Make a package", "diff", "What changed, can it be patched, why not"),
    ("Make a package", "build", "Make a package from two builds, and prove it"),
    ("Make a package", "sign", "Add signatures to a package"),
    ("Check a package", "verify", "Who signed it, is it sound, does it fit"),
    ("Check a package", "prove", "Prove that it is the fixed build and nothing else"),
    ("Check a package", "rebuild", "Can it be made again, bit for bit"),
    ("Use a package", "apply", "Write it into a copy of a file, or into a process"),
    ("Use a package", "revert", "Take it out of a file or a process again"),
    ("Use a package", "status", "Which packages are in effect in a process"),
    ("Use a package", "rehearse", "Patch a program while it runs, and watch it"),
    ("Look", "inspect", "What is in a package or a PE image; verifies nothing"),
    ("Look", "compare", "What two packages do differently"),
    ("Look", "export", "A signature as CMS or as a Sigstore bundle"),
    ("Reference", "explain", "What an HP code means and what to do"),
    ("Reference", "schema", "The JSON Schemas of all documents"),
    ("Reference", "completion", "The completion script of a shell"),
)
"""Heading, name and one line of help. The function has the command's name, in a module of that name."""

GROUPS: tuple[tuple[str, str], ...] = (("Keys", "keys"), ("Keys", "policy"), ("Check a package", "line"))
"""Heading and name of the groups of commands; ``make_app`` in the module of that name makes the group."""
