"""The session's own part: starting the courier, and the files that it hands over."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hpbuild.apply.live.binaries import Binaries
from hpbuild.apply.live.driver import MOST_STARTS, Session, greeted
from hpbuild.apply.live.host import Host
from hpbuild.codes import driver as codes
from hpbuild.errors import HpbuildError
from tests.unit.apply.live.test_order import ORDER

SCRIPT = r"""
cd FOLDER
printf x >> count
test "$(wc -c < count)" -gt FAILING || exit 1
while IFS= read -r line; do
    case "$line" in apply*)
        order=$(printf %s "${line#apply }" | tr '\\' / | sed 's#^//?/unix##')
        stat -c '%a %u' "$order" "$(dirname "$order")" > seen
    esac
    echo '{"ok": true, "result": "applied"}'
done
"""
OTHER = 65534
USERS = [None, *([OTHER] if os.geteuid() == 0 else [])]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can work in."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def couriers(folder: Path, failing: int) -> Binaries:
    """A courier whose first ``failing`` starts end with status 1."""
    path = folder / "courier.sh"
    path.write_text(SCRIPT.replace("FOLDER", str(folder)).replace("FAILING", str(failing)))
    return Binaries(courier=path, resident=path)


def host(user: int | None = None) -> Host:
    return Host(loader=("/bin/sh",), environment=dict(os.environ), user=user, group=user)


def test_a_courier_that_did_not_start_is_started_again(folder: Path) -> None:
    with greeted(partial(Session, 1, host(), couriers(folder, MOST_STARTS - 1), 20)) as session:
        assert session.status().ok
    assert len((folder / "count").read_text()) == MOST_STARTS


def test_one_that_never_starts_fails(folder: Path) -> None:
    with pytest.raises(HpbuildError) as caught:
        greeted(partial(Session, 1, host(), couriers(folder, MOST_STARTS), 20))
    assert caught.value.code is codes.COURIER_FAILED
    assert len((folder / "count").read_text()) == MOST_STARTS


@pytest.mark.parametrize("user", USERS)
def test_an_order_is_read_by_its_reader_alone(folder: Path, user: int | None) -> None:
    """The folder stays ours: nobody else can lay a link where the next order is written."""
    with greeted(partial(Session, 1, host(user), couriers(folder, 0), 20)) as session:
        session.apply(ORDER)
    reader = os.geteuid() if user is None else user
    passage = "700" if user is None else "711"
    assert (folder / "seen").read_text().splitlines() == [f"600 {reader}", f"{passage} {os.geteuid()}"]
