"""Grammar of module paths and of bundle member names.

Both end up as file names on Windows and on case-insensitive file systems, so both are refused when
two systems could understand them differently (Microsoft, "Naming Files, Paths, and Namespaces").
"""

import re

MAX_PATH = 1024
MAX_SEGMENT = 255
MAX_MEMBER = 200
IMAGES = "images/"

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._-+/")
"""Some of the characters that are certainly allowed, for most paths have no other."""
_FORBIDDEN = r'[\x00-\x1f\x7f-\x9f\ud800-\udfff<>:"|?*\\]'
_MEMBER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._/-")
_DEVICES = frozenset({"con", "prn", "aux", "nul", "com", "lpt"})
"""How the names of devices begin."""
_DEVICE = (
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])[ ]*(\..*)?"
)


def path_defect(path: str) -> str:
    """What is wrong with a module path, in words; '' when it is fine.

    A module path is relative, '/'-separated, and plain on every system.
    """
    if not path or len(path) > MAX_PATH:
        return f"a path has 1 to {MAX_PATH} characters"
    if not _PLAIN.issuperset(path) and re.search(_FORBIDDEN, path):
        return "a character that Windows does not allow in file names"
    if path.startswith("/"):
        return "the path is absolute"
    for segment in path.split("/"):
        if not segment:
            return "an empty segment"
        if len(segment) > MAX_SEGMENT:
            return f"a segment of more than {MAX_SEGMENT} characters"
        if segment.endswith((".", " ")) or segment.startswith(" "):
            return "a segment that begins or ends with a blank, or ends with a dot"
        if segment[:3].lower() in _DEVICES and re.fullmatch(_DEVICE, segment.lower()):
            return f"{segment!r} names a device on Windows"
    return ""


def member_defect(name: str) -> str:
    """What is wrong with a bundle member name, in words; '' when it is fine."""
    if not name or len(name) > MAX_MEMBER:
        return f"a name has 1 to {MAX_MEMBER} characters"
    if not _MEMBER.issuperset(name):
        return "only a to z, 0 to 9, '.', '_', '/' and '-' are allowed"
    return path_defect(name)


def image_member(module_path: str) -> str:
    """Name of the bundle member for the patch image of a module.

    The lower-case path under ``images/`` where that is a legal name, else a name made from the path's
    SHA-256. Paths that differ in more than case get different names.
    """
    plain = IMAGES + module_path.lower()
    if not member_defect(plain):
        return plain
    import hashlib

    raw = fold(module_path).encode("utf-8", "surrogatepass")  # broken names must not raise here
    return f"{IMAGES}path-{hashlib.sha256(raw).hexdigest()}"


def fold(path: str) -> str:
    """Key under which paths that name one file on Windows are equal."""
    return path.casefold()
