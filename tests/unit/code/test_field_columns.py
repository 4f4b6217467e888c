"""Columns of data fields, put together and ordered, against lists of rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpbuild.code.field_columns import filled_fields, joined_fields, last_of_each
from hpbuild.code.model import DataFields, FieldForm

Row = tuple[int, int, int, int]
PARTS = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1 << 40), st.integers(0, 3), st.integers(-5, 5))),
    min_size=1,
    max_size=4,
)


def columns(rows: list[Row]) -> DataFields:
    site, target, form, origin = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return DataFields(site=site, target=target, form=form.astype(np.uint8), origin=origin)


def listed(fields: DataFields) -> list[Row]:
    assert [fields.form.dtype, fields.origin.dtype] == [np.uint8, np.int64]
    lists = (fields.site, fields.target, fields.form, fields.origin)
    return list(zip(*(column.tolist() for column in lists), strict=True))


def test_fields_of_one_form() -> None:
    fields = filled_fields(np.array([8, 4]), np.array([1, 2]), FieldForm.TABLE32, 7)
    assert listed(fields) == [(8, 1, FieldForm.TABLE32, 7), (4, 2, FieldForm.TABLE32, 7)]


@given(PARTS)
def test_one_behind_the_other(parts: list[list[Row]]) -> None:
    assert listed(joined_fields([columns(rows) for rows in parts])) == [row for rows in parts for row in rows]


@given(PARTS)
def test_of_one_site_the_last(parts: list[list[Row]]) -> None:
    last = {row[0]: row for rows in parts for row in rows}
    assert listed(last_of_each([columns(rows) for rows in parts])) == sorted(last.values())
