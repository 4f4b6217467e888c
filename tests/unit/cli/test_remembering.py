"""The state file between the command line and the verifier; the whole way is in tests/e2e."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hpbuild.cli.piece import CHILD_VARIABLE
from hpbuild.cli.remembering import Remembering, accept_reported, lines_of
from hpbuild.codes import cli as cli_codes
from hpbuild.codes import servicing as codes
from hpbuild.errors import Code, HpbuildError
from hpbuild.servicing import StateFile, open_state
from hpbuild.verify import Policy

UNSIGNED = Policy(allow_unsigned=True)
TRUSTING = Policy()


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "status": 0, "verdict": "verified", "authenticity": "trusted", "id": "KB-1", "product": "Codec",
        "sequence": 1, "supersedes": [], "reverts": None, "statement_sha256": "ab" * 32, "recorded": False,
        "findings": [], **changes,
    }  # fmt: skip


def refusal(memory: Remembering, policy: Policy) -> Code:
    with pytest.raises(HpbuildError) as caught, memory.opened(policy, "verify"):
        pass
    return caught.value.code


def test_nothing_is_kept_without_a_file() -> None:
    with Remembering(None, False, 0).opened(UNSIGNED, "verify") as state:
        assert state is None
        assert lines_of(state) is None
        accept_reported(state, entry())


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    assert refusal(Remembering(None, True, 0), UNSIGNED) is cli_codes.USAGE
    assert refusal(Remembering(tmp_path / "state", False, 0), UNSIGNED) is codes.NOT_VOUCHED_FOR


def test_what_was_judged_at_another_time_is_not_remembered(tmp_path: Path) -> None:
    then = datetime(2020, 1, 1, tzinfo=UTC)
    memory = Remembering(tmp_path / "state", False, 0)
    with pytest.raises(HpbuildError) as caught, memory.opened(TRUSTING, "verify", then):
        pass
    assert caught.value.code is cli_codes.USAGE
    assert not any(tmp_path.iterdir())
    with Remembering(None, False, 0).opened(TRUSTING, "verify", then) as state:
        assert state is None
    with Remembering(tmp_path / "state", True, 0).opened(TRUSTING, "verify", then) as state:
        assert state is not None
        assert not state.records


@pytest.mark.parametrize(
    "made",
    [{}, entry(status=1), entry(status=3), entry(authenticity="waived"), entry(authenticity="untrusted")],
)
def test_only_what_was_verified_is_remembered(tmp_path: Path, made: dict[str, Any]) -> None:
    with open_state(tmp_path / "state") as state:
        accept_reported(state, made)
        assert state.lines.lines == ()
    assert not (tmp_path / "state").exists()


def test_what_takes_back_is_remembered_as_that(tmp_path: Path) -> None:
    reverts = {"id": "KB-1", "sequence": 1, "statement": "ab" * 32, "reason": "r"}
    with open_state(tmp_path / "state") as state:
        accept_reported(state, entry())
        accept_reported(
            state, made := entry(id="KB-2", sequence=2, statement_sha256="cd" * 32, reverts=reverts)
        )
    assert made["recorded"] is True
    line = StateFile(tmp_path / "state").lines.of("Codec")
    assert line.reverted == {"ab" * 32}
    assert line.in_effect == ()


@pytest.mark.usefixtures("mortal")
def test_what_cannot_be_remembered_has_failed(tmp_path: Path) -> None:
    with open_state(tmp_path / "state") as state:
        tmp_path.chmod(0o500)
        accept_reported(state, made := entry())
    tmp_path.chmod(0o700)
    assert (made["verdict"], made["status"], made["recorded"]) == ("failed", 6, False)
    assert [item["code"] for item in made["findings"]] == ["HP8029"]


def test_a_child_reads_what_its_parent_has_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Remembering(tmp_path / "state", False, 0)
    with open_state(tmp_path / "state") as state:
        accept_reported(state, entry())
        monkeypatch.setenv(CHILD_VARIABLE, "0")
        with memory.opened(TRUSTING, "verify") as seen:
            assert seen is not None
            assert seen.lines == state.lines
            assert not seen.records


def test_fail_what_is_put_to_work_is_remembered_when_the_policy_says_so(tmp_path: Path) -> None:
    demanding = dataclasses.replace(TRUSTING, state_required=True)
    memory = Remembering(tmp_path / "state", True, 0)
    for command in ("apply", "revert"):
        with pytest.raises(HpbuildError) as caught, memory.opened(demanding, command):
            pass
        assert caught.value.code is codes.STATE_REQUIRED
    with memory.opened(demanding, "verify") as state:
        assert state is not None
    with memory.opened(TRUSTING, "apply") as state:
        assert state is not None
