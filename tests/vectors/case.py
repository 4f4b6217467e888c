"""What a case of the suite is, and how it is read.

A case is a folder `cases/NAME` or `cases/NAME_fail` with a README.md that says why it is there, the files
that it needs, and case.json:

    {"arguments": ["verify", "{case}/package.hpb", "--policy", "{case}/policy.toml"],
     "status": 1, "codes": ["HP6110"], "rules": ["E6"]}

`{case}` stands for the folder, `{files}` for the folder `files` beside the cases, `{scratch}` for an empty
folder of this run. `steps` instead of `arguments` is a list of such command lines, of which all but the last
must end with 0. `copies` are pairs of files to be copied before the first; `inserts` are files that would be
large: a copy of `source` with `count` times `text` at the offset `at`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = HERE / "cases"
FILES = HERE / "files"
FAIL = "_fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert:
    """A file to be made before the first step: ``source`` with ``count`` times ``text`` at offset ``at``."""

    source: str
    target: str
    at: int
    text: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case. ``steps`` are command lines without the program; ``status`` and ``codes`` belong to the last:
    its exit status, and codes that must be among its findings. ``rules`` are labels of the specification of
    the format; ``copies`` are (from, to): files to be copied before the first step."""

    name: str
    folder: Path
    steps: tuple[tuple[str, ...], ...]
    status: int
    codes: frozenset[str]
    rules: tuple[str, ...]
    copies: tuple[tuple[str, str], ...]
    inserts: tuple[Insert, ...]


def read_case(folder: Path) -> Case:
    """The case in ``folder``. ValueError when it contradicts its own name or lacks its README."""
    document = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    steps = document.get("steps") or [document["arguments"]]
    case = Case(
        name=folder.name,
        folder=folder,
        steps=tuple(tuple(step) for step in steps),
        status=document["status"],
        codes=frozenset(document["codes"]),
        rules=tuple(document["rules"]),
        copies=tuple((source, target) for source, target in document.get("copies", [])),
        inserts=tuple(Insert(**item) for item in document.get("inserts", [])),
    )
    if folder.name.endswith(FAIL) != (case.status != 0):
        raise ValueError(f"{folder.name}: the name says otherwise than the status {case.status}")
    if case.status and not case.codes:
        raise ValueError(f"{folder.name}: a refusal has a code")
    if len((folder / "README.md").read_text(encoding="utf-8").split()) < 12:
        raise ValueError(f"{folder.name}: the README does not say why")
    return case


def all_cases(folder: Path = CASES) -> tuple[Case, ...]:
    """Every case, by name."""
    return tuple(read_case(path.parent) for path in sorted(folder.glob("*/case.json")))
