"""Members of a bundle: their names, places and fixed order."""

from collections.abc import Iterable

from hpbuild.codes import bundle as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.paths import IMAGES, member_defect

STATEMENT = "statement.json"
MANIFEST = "manifest.json"
ATTACHMENTS = "attachments/"
ENVELOPE = "signatures.dsse.json"
UNSIGNED = frozenset({STATEMENT, ENVELOPE})
"""Members that the statement does not list: itself, and the signatures over it."""

_FIRST = {STATEMENT: 0, MANIFEST: 1}


def rank(name: str) -> tuple[int, str]:
    """Sort key of a member; HP4211 when a bundle has no place for ``name``."""
    if name in _FIRST:
        return (_FIRST[name], name)
    if name.startswith(IMAGES):
        return (2, name)
    if name.startswith(ATTACHMENTS):
        return (3, name)
    if name == ENVELOPE:
        return (4, name)
    raise HpbuildError(
        codes.UNKNOWN_MEMBER, name, f"not {IMAGES}…, {ATTACHMENTS}… or one of the fixed members"
    )


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """``names`` in their given order, when every one is legal and in its place (HP4207 to HP4211)."""
    result = tuple(names)
    previous: tuple[int, str] | None = None
    for name in result:
        if defect := member_defect(name):
            raise HpbuildError(codes.BAD_NAME, repr(name[:200]), defect)
        place = rank(name)
        if previous is not None and place == previous:
            raise HpbuildError(codes.DUPLICATE_MEMBER, name, "the name occurs twice")
        if previous is not None and place < previous:
            raise HpbuildError(codes.BAD_ORDER, name, f"comes after {previous[1]}")
        previous = place
    folders = {name[:place] for name in result for place, sign in enumerate(name) if sign == "/"}
    for name in result:
        if name in folders:
            raise HpbuildError(codes.BAD_NAME, name, "also the folder of another member")
    for name in (STATEMENT, MANIFEST):
        if name not in result[:2]:
            raise HpbuildError(codes.MISSING_MEMBER, name, "not among the members")
    return result


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """``names`` in the order of the file, checked like ``check_names``."""
    legal = []
    for name in names:
        if defect := member_defect(name):
            raise HpbuildError(codes.BAD_NAME, repr(name[:200]), defect)
        legal.append(name)
    return check_names(sorted(legal, key=rank))
