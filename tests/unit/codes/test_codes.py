"""The whole table of codes: unique ids, right stage, complete sentences."""

import importlib
import pkgutil
import re

import pytest

from hpbuild import codes
from hpbuild.codes import all_codes
from hpbuild.errors import Code, ExitStatus, Severity

STAGES = {
    "pe": "HP1[0-3]", "pe_identity": "HP1[4-9]", "code": "HP2", "match": "HP2", "plan": "HP3",
    "traps": "HP30[89]", "builds": "HP306",
    "patchimage": "HP3", "manifest": "HP4", "bundle": "HP4", "attachments": "HP45",
    "sign": "HP5[0-2]", "certificates": "HP5[345]", "verify": "HP60", "policy": "HP61", "pins": "HP62",
    "prove": "HP7", "apply_offline": "HP72[0-4]", "process": "HP72[5-9]",
    "live": "HP73[0-4]", "driver": "HP73[5-9]", "rehearse": "HP74[0-4]", "servicing": "HP80",
    "cli": "HP9", "work": "HP9",
}  # fmt: skip


def test_sorted_and_unique():
    ids = [row.id for row in all_codes()]
    assert ids == sorted(set(ids))
    assert len(ids) > 50


def test_every_stage_is_looked_at():
    assert {module.name for module in pkgutil.iter_modules(codes.__path__)} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_rows_of_a_stage(stage):
    module = importlib.import_module(f"{codes.__name__}.{stage}")
    constants = [value for value in vars(module).values() if isinstance(value, Code)]
    assert sorted(r.id for r in constants) == sorted(r.id for r in module.ROWS)
    for row in module.ROWS:
        assert re.fullmatch(STAGES[stage] + r"\d*", row.id), row.id
        assert len(row.id) == 6


@pytest.mark.parametrize("row", all_codes(), ids=lambda row: row.id)
def test_texts(row):
    assert row.title
    assert not row.title.endswith(".")
    assert row.why.endswith(".")
    assert row.remedy.endswith(".")
    if row.severity is Severity.REFUSE:
        assert row.exit is not ExitStatus.YES
