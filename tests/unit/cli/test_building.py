"""The time in a package, and writing it."""

import pytest

from hpbuild.cli.building import created_time
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
