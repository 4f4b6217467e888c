"""The documents speak of codes that exist, with the exit status that these have."""

import re
from pathlib import Path

import pytest

from hpbuild.codes import all_codes

ROWS = {row.id: row for row in all_codes()}


def documents(root: Path) -> list[Path]:
    folders = (root, root / "docs", root / "docs" / "adr", root / "docs" / "spec", root / "tests" / "vectors")
    return [path for folder in folders for path in sorted(folder.glob("*.md"))]


def test_every_code_that_is_named_exists(root: Path) -> None:
    named = {
        (path.name, code)
        for path in documents(root)
        for code in re.findall(r"\bHP[0-9]{4}\b", path.read_text("utf-8"))
    }
    assert len(named) > 100
    assert not {pair for pair in named if pair[1] not in ROWS}


@pytest.mark.parametrize("name", ["release-lines.md"])
def test_tables_give_the_exit_status_of_codes(root: Path, name: str) -> None:
    text = (root / "docs" / name).read_text("utf-8")
    told = re.findall(r"\| (HP[0-9]{4}) \| ([0-9]+) \|$", text, re.MULTILINE)
    assert len(told) > 10
    assert not [pair for pair in told if int(ROWS[pair[0]].exit) != int(pair[1])]


def test_links_lead_to_files(root: Path) -> None:
    """Links within the repository, also those to a heading."""
    broken = []
    for path in documents(root):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
            if not (path.parent / target).exists():
                broken.append(f"{path.relative_to(root)}: {target}")
    assert not broken
