"""The time in a package, and writing it."""

import pytest

from hpbuild.cli.building import created_time, expiry_time, place_in_line
from hpbuild.errors import ExitStatus, HpbuildError


@pytest.mark.parametrize(
    ("epoch", "created"),
    [
        (None, ""),
        ("", ""),
        ("0", "1970-01-01T00:00:00Z"),
        ("1767225600", "2026-01-01T00:00:00Z"),
        ("253402300799", "9999-12-31T23:59:59Z"),
    ],
)
def test_created_is_source_date_epoch(
    monkeypatch: pytest.MonkeyPatch, epoch: str | None, created: str
) -> None:
    if epoch is not None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    assert created_time() == created


@pytest.mark.parametrize("epoch", ["now", "-1", "1.5", " 1", "253402300800", "9" * 5000, "１"])
def test_another_value_is_refused(monkeypatch: pytest.MonkeyPatch, epoch: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(HpbuildError) as caught:
        created_time()
    assert caught.value.code.id == "HP9007"
    assert caught.value.code.exit is ExitStatus.USAGE


CREATED = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("expires", "created", "expiry"),
    [
        ("", "", ""),
        ("2026-01-31T00:00:00Z", "", "2026-01-31T00:00:00Z"),
        ("2026-01-31T00:00:00Z", CREATED, "2026-01-31T00:00:00Z"),
        ("30", CREATED, "2026-01-31T00:00:00Z"),
        ("1", "2024-02-28T12:30:01Z", "2024-02-29T12:30:01Z"),
    ],
)
def test_expiry(expires: str, created: str, expiry: str) -> None:
    assert expiry_time(expires, created) == expiry


@pytest.mark.parametrize(
    ("expires", "created"),
    [
        ("30", ""),
        ("0", CREATED),
        ("2025-12-31T00:00:00Z", CREATED),
        (CREATED, CREATED),
        ("-1", CREATED),
        ("1.5", CREATED),
        ("soon", CREATED),
        ("3000000", CREATED),
        ("9" * 5000, CREATED),
        ("3０", CREATED),
        ("2026-01-31", CREATED),
        ("2026-01-31T00:00:00+01:00", CREATED),
        ("2026-02-30T00:00:00Z", CREATED),
        ("0001-01-01T00:00:00Z", ""),
    ],
)
def test_another_expiry_is_refused(expires: str, created: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        expiry_time(expires, created)
    assert caught.value.code.id == "HP9001"


def test_place_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    place = place_in_line("KB-3", 3, ["KB-1", "KB-2"], "30")
    assert (place.supersedes, place.expiry) == (("KB-1", "KB-2"), "2026-01-31T00:00:00Z")


@pytest.mark.parametrize(
    ("name", "supersedes", "code"),
    [
        ("KB 3", (), "HP4014"),
        ("KB-3", ("../x",), "HP4014"),
        ("KB-3", ("KB-3",), "HP4307"),
        ("KB-3", ("KB-1", "KB-1"), "HP4307"),
    ],
)
def test_another_place_is_refused(name: str, supersedes: tuple[str, ...], code: str) -> None:
    with pytest.raises(HpbuildError) as caught:
        place_in_line(name, 3, supersedes, "")
    assert caught.value.code.id == code
