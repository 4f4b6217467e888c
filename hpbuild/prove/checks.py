"""Numbered steps of the proof and what they found. Values, and the recorder that makes them."""

from enum import StrEnum

from hpbuild.dataclass import dataclass, field
from hpbuild.errors import Code, Finding

MAX_FINDINGS = 20
"""Findings kept per step; all are counted."""


class State(StrEnum):
    """Outcome of a step."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One step. ``examined`` counts what was looked at (the title says what), ``failures`` all findings,
    of which ``findings`` keeps the first MAX_FINDINGS. ``note`` says why a step did not run."""

    id: str
    title: str
    state: State
    examined: int
    failures: int
    findings: tuple[Finding, ...]
    note: str = ""


@dataclass(slots=True)
class Recorder:
    """Collects the findings of one step."""

    id: str
    title: str
    examined: int = 0
    failures: int = 0
    findings: list[Finding] = field(default_factory=list)

    def fail(self, code: Code, place: str, cause: str, count: int = 1) -> None:
        """Record a finding that stands for ``count`` failures."""
        self.failures += count
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(code, place, cause))

    def done(self) -> Check:
        """The finished step; a step that looked at nothing did not run."""
        state = State.FAILED if self.failures else State.PASSED if self.examined else State.NOT_RUN
        note = "" if self.examined or self.failures else "nothing to look at"
        return Check(
            id=self.id,
            title=self.title,
            state=state,
            examined=self.examined,
            failures=self.failures,
            findings=tuple(self.findings),
            note=note,
        )


def not_run(identifier: str, title: str, note: str) -> Check:
    """A step that could not run, and why."""
    return Check(
        id=identifier, title=title, state=State.NOT_RUN, examined=0, failures=0, findings=(), note=note
    )
