"""A case as a value, and how it becomes a folder."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.vectors.case import FAIL

TIME = "2026-06-01T00:00:00Z"
"""When every case is judged, unless it says otherwise: so that none of them rots."""
PACKAGE = "{case}/package.hpb"
POLICY = "{case}/policy.toml"
STATE = ("--state", "{scratch}/state")
NO_RECORD = "--no-record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A case to be written. ``why`` is the text of its README; ``rules`` are labels of the specification;
    ``files`` are the files beside case.json; ``steps`` command lines; ``copies`` and ``inserts`` as in
    ``tests.vectors.case``."""

    name: str
    why: str
    rules: tuple[str, ...]
    files: Mapping[str, bytes]
    steps: tuple[tuple[str, ...], ...]
    status: int = 0
    codes: tuple[str, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    inserts: tuple[Mapping[str, Any], ...] = field(default=())


def verify(*more: str, package: str = PACKAGE, policy: str = POLICY, time: str = TIME) -> tuple[str, ...]:
    """The words of one verification. Only what is good now is remembered, so with a state file there is no
    ``time`` unless nothing is recorded; nothing in those cases depends on the clock."""
    at = () if STATE[0] in more and NO_RECORD not in more else ("--time", time)
    return ("verify", package, "--policy", policy, *at, *more)


def case(
    name: str,
    why: str,
    rules: str,
    package: bytes,
    policy: str,
    *,
    refused: tuple[int, str] | None = None,
    more: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
    time: str = TIME,
    inserts: Sequence[Mapping[str, Any]] = (),
) -> Made:
    """A case of one package and one verification. ``rules`` and the codes of ``refused`` (exit status and
    codes) are separated by blanks; a refused case gets its ending."""
    status, codes = refused or (0, "")
    target = "{scratch}/package.hpb" if inserts else PACKAGE
    return Made(
        name=name + (FAIL if status else ""),
        why=why,
        rules=tuple(rules.split()),
        files={"package.hpb": package, "policy.toml": policy.encode(), **(files or {})},
        steps=(verify(*more, package=target, time=time),),
        status=status,
        codes=tuple(codes.split()),
        inserts=tuple(inserts),
    )


def write_case(made: Made, folder: Path) -> None:
    """Write the folder of a case anew."""
    target = folder / made.name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, data in made.files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(data)
    (target / "README.md").write_text(_readme(made), encoding="utf-8")
    steps = [list(step) for step in made.steps]
    document: dict[str, Any] = {"arguments": steps[0]} if len(steps) == 1 else {"steps": steps}
    document |= {"status": made.status, "codes": list(made.codes), "rules": list(made.rules)}
    if made.copies:
        document["copies"] = [list(pair) for pair in made.copies]
    if made.inserts:
        document["inserts"] = [dict(item) for item in made.inserts]
    text = json.dumps(document, indent=2, ensure_ascii=True)
    (target / "case.json").write_text(text + "\n", encoding="utf-8")


def _readme(made: Made) -> str:
    why = " ".join(made.why.split())
    wanted = "A verifier accepts this package (exit status 0)."
    if made.status:
        codes = ", ".join(f"`{code}`" for code in made.codes)
        wanted = f"A verifier refuses it: exit status {made.status}; hpbuild says {codes}."
    if len(made.steps) > 1:
        wanted = (
            wanted.replace("this package", "the last package").replace("refuses it", "refuses the last one")
            + " Every package before it is accepted."
        )
    rules = ", ".join(made.rules)
    return (
        f"# {made.name}\n\n{_wrapped(why)}\n\n{_wrapped(wanted)}\n\nRules of docs/spec/bundle.md: {rules}.\n"
    )


def _wrapped(text: str, width: int = 100) -> str:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)
