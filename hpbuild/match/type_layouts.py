"""Types whose layout differs between the two builds. Facts only; what they permit is decided in ``plan``.

A name may stand for several types: a C file has its structures for itself. So all layouts of a name are
compared as a set. A name that only one build has is nothing: no object of it is on both sides.
"""

from collections import defaultdict
from collections.abc import Iterable

from hpbuild.dataclass import dataclass
from hpbuild.pe.pdb.type_records import TypeStream
from hpbuild.pe.pdb.types import Field, TypeKind, TypeLayout, type_layouts


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutChange:
    """``details`` says what differs, in the order of severity; ``last_value_only`` is true for an enumeration
    of which nothing but the largest value moved."""

    name: str
    kind: TypeKind
    details: tuple[str, ...]
    last_value_only: bool = False


def layout_changes(baseline: TypeStream, fixed: TypeStream) -> tuple[LayoutChange, ...]:
    """The types that both builds define and that are not laid out alike, sorted by name.

    Raises HpbuildError PDB_STREAM_MALFORMED or PDB_LIMIT for damaged records.
    """
    if baseline.data == fixed.data:
        return ()
    old, new = _by_name(type_layouts(baseline)), _by_name(type_layouts(fixed))
    changes = []
    for name in sorted(old.keys() & new.keys()):
        lost, gained = sorted(old[name] - new[name]), sorted(new[name] - old[name])
        if not lost and not gained:
            continue
        change = _change(name, lost, gained, several=max(len(old[name]), len(new[name])) > 1)
        if change is not None:
            changes.append(change)
    return tuple(changes)


def _by_name(layouts: Iterable[TypeLayout]) -> dict[str, set[TypeLayout]]:
    found: dict[str, set[TypeLayout]] = defaultdict(set)
    for layout in layouts:
        found[layout.name].add(layout)
    return found


def _change(
    name: str, lost: list[TypeLayout], gained: list[TypeLayout], several: bool
) -> LayoutChange | None:
    """The change of one name; ``lost`` and ``gained`` are the layouts of one build only."""
    kind = (lost or gained)[0].kind
    if several:
        details = [f"{len(lost)} of its definitions are gone, {len(gained)} are new"]
        if len(lost) == len(gained) == 1:
            details += _differences(lost[0], gained[0])
        return LayoutChange(name=name, kind=kind, details=tuple(details))
    old, new = lost[0], gained[0]
    if old.kind is TypeKind.ENUM is new.kind:
        return _enumeration(old, new)
    return LayoutChange(name=name, kind=kind, details=tuple(_differences(old, new)))


def _enumeration(old: TypeLayout, new: TypeLayout) -> LayoutChange | None:
    """New values change nothing that exists; a value that moved, or another width, does."""
    if old.size != new.size:
        details = (f"{old.size} -> {new.size} bytes",)
        return LayoutChange(name=old.name, kind=old.kind, details=details)
    values = {field.name: field.offset for field in new.fields}
    moved = [field for field in old.fields if values.get(field.name, field.offset) != field.offset]
    if not moved:
        return None
    last = max(old.fields, key=lambda field: field.offset)
    return LayoutChange(
        name=old.name,
        kind=old.kind,
        details=tuple(f"{field.name} {field.offset} -> {values[field.name]}" for field in moved),
        last_value_only=len(moved) == 1 and moved[0] == last,
    )


def _differences(old: TypeLayout, new: TypeLayout) -> list[str]:
    """What differs between two layouts of one name, in words."""
    details = []
    if old.kind is not new.kind:
        details.append(f"{old.kind} -> {new.kind}")
    if old.size != new.size:
        details.append(f"size {old.size} -> {new.size} bytes")
    details += _fields(old.fields, new.fields, "field")
    details += _fields(old.vtable, new.vtable, "virtual method")
    return details


def _fields(old: tuple[Field, ...], new: tuple[Field, ...], word: str) -> list[str]:
    """Fields that are gone, new, moved or of another type. Overloads share a name: each is taken in turn."""
    before, after = _numbered(old), _numbered(new)
    gained = [field for key, field in after.items() if key not in before]
    lost = [field for key, field in before.items() if key not in after]
    details = [f"{word} {field.name} is new at offset {field.offset}" for field in gained]
    details += [f"{word} {field.name} is gone from offset {field.offset}" for field in lost]
    for key, field in before.items():
        other = after.get(key, field)
        if other.type != field.type:
            details.append(f"{word} {key[0]} was {field.type}, is {other.type}")
        if other.offset != field.offset:
            details.append(f"{word} {key[0]} moved from offset {field.offset} to {other.offset}")
    return details


def _numbered(fields: tuple[Field, ...]) -> dict[tuple[str, int], Field]:
    found: dict[tuple[str, int], Field] = {}
    count: dict[str, int] = defaultdict(int)
    for field in fields:
        found[field.name, count[field.name]] = field
        count[field.name] += 1
    return found
