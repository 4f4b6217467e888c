"""Columns of data fields: made, put together, ordered. A column after the other, so that little memory is
needed besides what comes of it."""

from collections.abc import Sequence

import numpy as np

from hpbuild.code.model import I64, DataFields, FieldForm


def filled_fields(site: I64, target: I64, form: FieldForm, origin: int = 0) -> DataFields:
    """Fields of one form."""
    forms = np.full(len(site), form, dtype=np.uint8)
    return DataFields(site=site, target=target, form=forms, origin=np.full(len(site), origin))


def joined_fields(parts: Sequence[DataFields]) -> DataFields:
    """The fields of all parts, those of one behind those of the other."""
    parts = [part for part in parts if len(part)] or parts[:1]
    return parts[0] if len(parts) == 1 else _taken(parts, None)


def last_of_each(parts: Sequence[DataFields]) -> DataFields:
    """All fields ascending by site, of those of one site the last."""
    site = np.concatenate([part.site for part in parts])
    order = np.argsort(site, kind="stable")
    site = site.take(order)
    last = np.ones(len(site), dtype=np.bool_)
    last[:-1] = site[1:] != site[:-1]
    return _taken(parts, order[last])


def _taken(parts: Sequence[DataFields], rows: I64 | None) -> DataFields:
    """Those ``rows`` of all the parts, or all of them."""
    columns = {}
    for name in DataFields.__slots__:
        column = np.concatenate([getattr(part, name) for part in parts])
        columns[name] = column if rows is None else column.take(rows)
    return DataFields(**columns)
