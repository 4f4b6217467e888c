from datetime import UTC, datetime, timedelta, timezone

import pytest

from hpbuild.values import moment_text, parse_moment


@pytest.mark.parametrize("text", ["2024-02-29T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_moment_is_read_and_written_the_same(text: str) -> None:
    assert moment_text(parse_moment(text)) == text


def test_a_moment_is_written_in_utc_and_whole_seconds() -> None:
    there = timezone(timedelta(hours=2))
    assert moment_text(datetime(2025, 1, 1, 1, 30, 5, 999_999, there)) == "2024-12-31T23:30:05Z"
    assert parse_moment("2024-12-31T23:30:05Z") == datetime(2024, 12, 31, 23, 30, 5, tzinfo=UTC)


def test_a_moment_outside_the_calendar_of_utc_has_no_text() -> None:
    with pytest.raises(OverflowError):
        moment_text(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))))


@pytest.mark.parametrize(
    "text",
    ["", "2025-01-31", "2025-01-31T12:00:00", "2025-01-31T12:00:00z", "2025-01-31T12:00:00Z\n",
     "2025-01-31T12:00:00+00:00", "2025-1-31T12:00:00Z", "2025-02-29T00:00:00Z", "2025-01-31T24:00:00Z",
     "2025-01-31T12:00:60Z", "0000-01-01T00:00:00Z", "٢٠٢٥-01-31T12:00:00Z"],
)  # fmt: skip
def test_other_texts_name_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_moment(text)
