"""Values of annotated types as columns of numbers, and back.

Every form takes many values of one type at once, so that a hundred thousand symbols are a few arrays and not
a hundred thousand objects in a text. Which classes come out is decided by the annotations of the reader's own
code: columns hold numbers and characters and name no class, so reading them can only make values of the types
that were asked for.

Known are bool, int, float, str, bytes, None, enumerations, numpy arrays of plain numbers, tuples, lists,
sets, frozensets, mappings, dataclasses, named tuples, unions with None, and ``Code`` by its id.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, Protocol, Union, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from hpbuild.codes import find_code
from hpbuild.dataclass import dataclass, field
from hpbuild.errors import Code

Array = npt.NDArray[Any]
KINDS = "biuf"
"""numpy kinds of the arrays that are stored."""
_LONGEST = 1 << 31


class Damaged(ValueError):
    """Columns that no value of the wanted type makes."""


@dataclass(slots=True)
class Columns:
    """Arrays that are yet to be read, and the values that lie outside of them, by their class."""

    arrays: Iterator[Array]
    outside: Mapping[type, object] = field(default_factory=dict)

    def take(self, count: int | None, dtype: type[np.generic]) -> Array:
        """The next array, of one dimension, this type and ``count`` items (None: any number)."""
        found = self.whole()
        if found.ndim != 1 or found.dtype != dtype or count not in (None, len(found)):
            raise Damaged(f"{found.dtype} {found.shape} instead of {count} of {dtype.__name__}")
        return found

    def whole(self) -> Array:
        """The next array as it is."""
        found = next(self.arrays, None)
        if found is None:
            raise Damaged("a column is missing")
        return found


class Form(Protocol):
    """How values of one type are written. ``pack`` appends arrays to ``out``; ``unpack`` reads ``count``
    values and raises ``Damaged``, or ValueError, TypeError, KeyError of a class that refuses its values. Both
    are for at least one value: no values are no arrays (``_put``, ``_get``)."""

    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        """Write ``values``."""

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        """Read ``count`` values."""


def pack(hint: Any, value: object, outside: frozenset[type] = frozenset()) -> list[Array]:
    """The columns of ``value``, which is of the annotated type ``hint``. Values of the classes ``outside``
    are left out. Raises TypeError for a type that is not known."""
    out: list[Array] = []
    form_of(hint, outside).pack([value], out)
    return out


def unpack(hint: Any, arrays: Sequence[Array], outside: Mapping[type, object] | None = None) -> Any:
    """The value that ``arrays`` hold, with ``outside`` in the places that were left out. Raises
    ``Damaged``."""
    columns = Columns(iter(arrays), outside or {})
    try:
        (value,) = form_of(hint, frozenset(columns.outside)).unpack(1, columns)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise Damaged(str(error)) from None
    if next(columns.arrays, None) is not None:
        raise Damaged("columns are left over")
    return value


@cache
def form_of(hint: Any, outside: frozenset[type]) -> Form:
    """The form of the annotated type ``hint``; TypeError when there is none."""
    if isinstance(hint, NewType):
        return form_of(hint.__supertype__, outside)
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _optional(arguments, outside)
    if origin is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
        return _Record(tuple, tuple(form_of(item, outside) for item in arguments))
    if origin in _MANY:
        return _Many(_MANY[origin], form_of(arguments[0], outside))
    if origin in (dict, Mapping):
        return _Dict(form_of(arguments[0], outside), form_of(arguments[1], outside))
    if origin is np.ndarray or hint is np.ndarray:
        return _Numbers()
    if isinstance(hint, type):
        return _class_form(hint, outside)
    raise TypeError(f"no form for {hint}")


def _optional(arguments: tuple[Any, ...], outside: frozenset[type]) -> Form:
    rest = [item for item in arguments if item is not NoneType]
    if len(rest) != 1 or len(arguments) != 2:
        raise TypeError(f"no form for a union of {arguments}")
    return _Optional(form_of(rest[0], outside))


def _class_form(hint: type, outside: frozenset[type]) -> Form:
    if hint in outside:
        return _Outside(hint)
    if hint is Code:
        return _CodeForm()
    if issubclass(hint, Enum):
        return _Choice(tuple(hint))
    hints = get_type_hints(hint) if is_dataclass(hint) or hasattr(hint, "_fields") else {}
    names = tuple(item.name for item in fields(hint) if item.init) if is_dataclass(hint) else _named(hint)
    if not names and not is_dataclass(hint):
        raise TypeError(f"no form for {hint}")
    return _Record(hint, tuple(form_of(hints[name], outside) for name in names), names)


def _named(hint: type) -> tuple[str, ...]:
    """The fields of a named tuple."""
    names: tuple[str, ...] = getattr(hint, "_fields", ())
    return names


@dataclass(frozen=True, slots=True)
class _Int:
    """64 bits each, or decimal text when one is too large for that."""

    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        try:
            out.append(np.array(values, dtype=np.int64).reshape(-1))
        except OverflowError:
            out.append(np.frombuffer(",".join(map(str, values)).encode(), dtype=np.uint8))

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        found = columns.whole()
        if found.dtype == np.uint8 and found.ndim == 1:
            values = [int(item) for item in found.tobytes().decode("ascii").split(",")]
        elif found.dtype == np.int64 and found.ndim == 1:
            values = found.tolist()
        else:
            raise Damaged(f"{found.dtype} instead of numbers")
        if len(values) != count:
            raise Damaged(f"{len(values)} numbers instead of {count}")
        return values


@dataclass(frozen=True, slots=True)
class _Bool:
    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        out.append(np.array(values, dtype=np.bool_).reshape(-1))

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        found: list[Any] = columns.take(count, np.bool_).tolist()
        return found


@dataclass(frozen=True, slots=True)
class _Float:
    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        out.append(np.array(values, dtype=np.float64).reshape(-1))

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        found: list[Any] = columns.take(count, np.float64).tolist()
        return found


@dataclass(frozen=True, slots=True)
class _Nothing:
    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        """None takes no room."""

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        return [None] * count


@dataclass(frozen=True, slots=True)
class _Text:
    """Each text once, then which of them every value is: names of files repeat."""

    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        known = {text: number for number, text in enumerate(dict.fromkeys(values))}
        out.append(np.frombuffer("".join(known).encode("utf-8", "surrogatepass"), dtype=np.uint8))
        out.append(np.array([len(text) for text in known], dtype=np.int64))
        out.append(np.array([known[text] for text in values], dtype=np.int64))

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        joined = columns.take(None, np.uint8).tobytes().decode("utf-8", "surrogatepass")
        known = _cut(joined, columns.take(None, np.int64))
        return [known[number] for number in _indices(columns.take(count, np.int64), len(known))]


@dataclass(frozen=True, slots=True)
class _Bytes:
    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        out.append(np.frombuffer(b"".join(values), dtype=np.uint8))
        out.append(np.array([len(value) for value in values], dtype=np.int64))

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        joined = columns.take(None, np.uint8).tobytes()
        return _cut(joined, columns.take(count, np.int64))


@dataclass(frozen=True, slots=True)
class _Choice:
    members: tuple[Enum, ...]

    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        number = {member: at for at, member in enumerate(self.members)}
        out.append(np.array([number[value] for value in values], dtype=np.int64))

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        chosen = _indices(columns.take(count, np.int64), len(self.members))
        return [self.members[number] for number in chosen]


@dataclass(frozen=True, slots=True)
class _CodeForm:
    """Rows of the table of codes: the reader's own."""

    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        _Text().pack([value.id for value in values], out)

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        names = _Text().unpack(count, columns)
        rows = {name: find_code(name) for name in set(names)}
        if None in rows.values():
            raise Damaged("a code that is not in the table")
        return [rows[name] for name in names]


@dataclass(frozen=True, slots=True)
class _Outside:
    kind: type

    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        """Left out."""

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        return [columns.outside[self.kind]] * count


@dataclass(frozen=True, slots=True)
class _Numbers:
    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        for value in values:
            if not isinstance(value, np.ndarray) or value.dtype.kind not in KINDS:
                raise TypeError(f"no form for an array of {getattr(value, 'dtype', type(value))}")
            out.append(value)

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        return [columns.whole() for _ in range(count)]


@dataclass(frozen=True, slots=True)
class _Optional:
    inner: Form

    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        out.append(np.array([value is not None for value in values], dtype=np.bool_))
        _put(self.inner, [value for value in values if value is not None], out)

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        there = columns.take(count, np.bool_).tolist()
        found = iter(_get(self.inner, sum(there), columns))
        return [next(found) if present else None for present in there]


@dataclass(frozen=True, slots=True)
class _Many:
    """Tuples, lists and sets of any length: all items in one run. Sets are kept as they are gone through."""

    kind: type
    inner: Form

    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        out.append(np.array([len(value) for value in values], dtype=np.int64))
        _put(self.inner, [item for value in values for item in value], out)

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        lengths = columns.take(count, np.int64)
        items = _get(self.inner, _total(lengths), columns)
        return [self.kind(part) for part in _cut(items, lengths)]


@dataclass(frozen=True, slots=True)
class _Dict:
    key: Form
    value: Form

    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        out.append(np.array([len(value) for value in values], dtype=np.int64))
        _put(self.key, [item for value in values for item in value], out)
        _put(self.value, [item for value in values for item in value.values()], out)

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        lengths = columns.take(count, np.int64)
        total = _total(lengths)
        items = zip(_get(self.key, total, columns), _get(self.value, total, columns), strict=True)
        return [dict(part) for part in _cut(list(items), lengths)]


@dataclass(frozen=True, slots=True)
class _Record:
    """A dataclass, a named tuple or a tuple of fixed length: each field is a column of its own."""

    kind: type
    parts: tuple[Form, ...]
    names: tuple[str, ...] = ()

    def pack(self, values: Sequence[Any], out: list[Array]) -> None:
        for number, part in enumerate(self.parts):
            if self.names:
                name = self.names[number]
                _put(part, [getattr(value, name) for value in values], out)
            else:
                _put(part, [value[number] for value in values], out)

    def unpack(self, count: int, columns: Columns) -> list[Any]:
        found = [_get(part, count, columns) for part in self.parts]
        rows = zip(*found, strict=True) if found else iter([()] * count)
        if not self.names:
            return [self.kind(row) for row in rows]
        if getattr(self.kind, "__match_args__", ()) == self.names:  # fields may be given by their places
            return [self.kind(*row) for row in rows]
        return [self.kind(**dict(zip(self.names, row, strict=True))) for row in rows]


_PLAIN: dict[Any, Form] = {
    int: _Int(), bool: _Bool(), float: _Float(), str: _Text(), bytes: _Bytes(), NoneType: _Nothing(),
}  # fmt: skip
_MANY: dict[Any, type] = {tuple: tuple, list: list, Sequence: tuple, frozenset: frozenset, set: set}


def _put(form: Form, values: Sequence[Any], out: list[Array]) -> None:
    if values:
        form.pack(values, out)


def _get(form: Form, count: int, columns: Columns) -> list[Any]:
    return form.unpack(count, columns) if count else []


def _total(lengths: Array) -> int:
    if len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) < _LONGEST:
        raise Damaged("a length that cannot be")
    return int(lengths.sum())


def _cut(joined: Any, lengths: Array) -> list[Any]:
    """``joined`` in pieces of these lengths, which must use it up."""
    if _total(lengths) != len(joined):
        raise Damaged(f"lengths of {_total(lengths)}, there are {len(joined)}")
    ends = np.cumsum(lengths).tolist()
    return [joined[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]


def _indices(numbers: Array, count: int) -> list[int]:
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
        raise Damaged("a number that cannot be")
    found: list[int] = numbers.tolist()
    return found
