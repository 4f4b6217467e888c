from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from hpbuild.codes import manifest as codes
from hpbuild.errors import HpbuildError
from hpbuild.manifest.readers import Node, root
from hpbuild.manifest.text_fields import parse_time, read_created, read_id, read_path, read_unique_texts


def test_dates_are_read() -> None:
    assert read_created(root("2024-02-29T23:59:59Z", "d")) == "2024-02-29T23:59:59Z"
    assert read_created(root("", "d")) == ""
    assert parse_time(root("", "d"), "2024-02-29T23:59:59Z") == datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-29T00:00:00Z",
        "2025-01-31",
        "2025-01-31T12:00:00",
        "2025-01-31T12:00:60Z",
        "2025-01-31 12:00:00Z",
        "٢٠٢٥-01-31T12:00:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_other_dates_fail(text: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        read_created(root(text, "d"))
    assert caught.value.code is codes.BAD_DATE


@pytest.mark.parametrize(
    ("read", "value", "code"),
    [
        (read_id, "", codes.BAD_TEXT),
        (read_id, "-a", codes.BAD_TEXT),
        (read_id, "a/b", codes.BAD_TEXT),
        (read_id, "a" * 129, codes.BAD_TEXT),
        (read_path, "", codes.BAD_TEXT),
        (read_unique_texts, ["a", "a"], codes.OUT_OF_RANGE),
        (read_unique_texts, [""], codes.BAD_TEXT),
    ],
)
def test_bad_fields_fail(read: Callable[[Node], object], value: object, code: object) -> None:
    with pytest.raises(HpbuildError) as caught:
        read(root(value, "d"))  # type: ignore[arg-type]
    assert caught.value.code is code
