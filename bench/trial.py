"""One run of hpbuild on one build of a pair, scored."""

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType

from bench.naming import load_names
from bench.reality import Reality
from bench.scoring import Score, Sides, note_false, score_functions
from bench.scoring_data import called_for, score_data, score_findings
from bench.truth import Truth, read_truth
from bench.unpacking import BuiltPair
from hpbuild.errors import HpbuildError, Severity
from hpbuild.pe.reader import read_image
from hpbuild.pipeline import BuildRequest, DiffOptions, ModuleDiff, build, diff_modules

PROVED, UNPROVED, NOTHING, REFUSED = "proved", "not proved", "nothing to patch", "refused"


@dataclass(frozen=True, slots=True)
class Trial:
    """What to run: one build of a pair, with or without symbols, with or without building the package."""

    pair: BuiltPair
    symbols: str
    build: bool
    limit: int


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came out. ``answer`` is 'proved', 'not proved', 'nothing to patch', 'refused', the code of an
    error, or the name of an exception that is a bug; with the diff alone also its verdict. ``right`` says
    whether that answer is one the truth allows; ``builds`` and ``proves`` whether there is a package, and a
    proof of it, or rightly none. ``unexplained`` counts the bytes of the fixed image without a class."""

    name: str
    build: str
    symbols: str
    answer: str = ""
    right: bool = False
    builds: bool = False
    proves: bool = False
    unexplained: int = 0
    seconds: float = 0.0
    codes: dict[str, int] = field(default_factory=dict)
    score: Score = field(default_factory=Score)


def run_trial(trial: Trial) -> Outcome:
    """Run and score. Raises TruthError, and TimeoutError after the limit."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(trial.limit)
    began = time.monotonic()
    try:
        outcome = _run(trial)
    finally:
        signal.alarm(0)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError


def _run(trial: Trial) -> Outcome:
    truth, pair = read_truth(trial.pair.truth), trial.pair
    outcome = Outcome(name=pair.name, build=pair.build, symbols=trial.symbols)
    diff = _build(trial, outcome) if trial.build else None
    try:
        diff = diff or diff_modules(pair.baseline, pair.fixed, DiffOptions(symbols=trial.symbols), _silent)[0]
    except HpbuildError as error:
        outcome.answer = error.code.id
        if not outcome.score.shortfalls:
            outcome.score.fell_short("error", str(error))
        note_missed_all(truth, outcome.score)
        return outcome
    outcome.codes = dict(sorted(Counter(finding.code.id for finding in diff.findings).items()))
    score_diff(pair, truth, diff, outcome.score)
    difference = diff.difference
    outcome.unexplained = abs(difference.mapped - sum(size for _, size in difference.account))
    if outcome.unexplained:
        outcome.score.fell_short("unexplained bytes", f"{outcome.unexplained} bytes")
    _answer(truth, diff, trial, outcome)
    return outcome


def _build(trial: Trial, outcome: Outcome) -> ModuleDiff | None:
    """Build and prove; None when no package could be made, though nothing refused it."""
    request = BuildRequest(
        baseline=trial.pair.baseline, fixed=trial.pair.fixed, id="accuracy", sequence=1, product="accuracy",
        advisories=(), created="", symbols=trial.symbols,
    )  # fmt: skip
    try:
        result = build(request, _silent)
    except HpbuildError as error:
        outcome.answer = error.code.id
        outcome.score.fell_short("error", str(error))
        return None
    if result.refused:
        outcome.answer = REFUSED
    elif not result.members:
        outcome.answer = NOTHING
    else:
        proved = bool(result.proofs) and all(proof.ok for proof in result.proofs)
        outcome.answer = PROVED if proved else UNPROVED
        for proof in result.proofs:
            for finding in proof.findings:
                outcome.score.fell_short(
                    "proof failed", f"{finding.code.id} {finding.place}", "", finding.cause
                )
    return result.diffs[0]


def _answer(truth: Truth, diff: ModuleDiff, trial: Trial, outcome: Outcome) -> None:
    """Judge the answer as a whole."""
    refusing = {finding.code.id for finding in diff.findings if finding.code.severity is Severity.REFUSE}
    if not trial.build:
        outcome.answer = diff.verdict
    nothing = outcome.answer in (NOTHING, "identical", "nothing-to-patch")
    if refusing:
        outcome.right = bool(refusing & called_for(truth, outcome.score.outside))
    elif nothing:
        outcome.right = not truth.carries
        if truth.carries:
            outcome.score.fell_short("wrong answer", outcome.answer, detail="the truth has changes to carry")
    else:
        outcome.right = outcome.answer in (PROVED, "hotpatchable")
    if not truth.carries and not nothing and outcome.answer in (PROVED, UNPROVED, REFUSED):
        outcome.right = False
        outcome.score.fell_short("wrong answer", outcome.answer, detail="the truth has nothing to carry")
    outcome.builds = outcome.answer in (PROVED, UNPROVED) or (nothing and outcome.right)
    outcome.proves = outcome.answer == PROVED or (nothing and outcome.right)


def score_diff(pair: BuiltPair, truth: Truth, diff: ModuleDiff, score: Score) -> None:
    """Score all that the diff reports."""
    difference = diff.difference
    sides = Sides(load_names(pair.baseline), load_names(pair.fixed))
    listed = (entry.name for entry in truth.data.changed)
    reality = Reality(read_image(pair.baseline), read_image(pair.fixed), sides, listed)
    for report in score_functions(truth, difference, sides, score):
        if reality.appeared(report):
            score.outside += 1
        elif reality.refers_to_difference(report):
            score.referrers += 1
        else:
            note_false(report, sides, score)
    score_data(truth, difference.data, sides, reality, score)
    score_findings(truth, diff.findings, diff.exclusions, score)


def note_missed_all(truth: Truth, score: Score) -> None:
    """There is no diff: all of the truth counts as missed."""
    for items, tallies in ((truth.functions, score.functions), (truth.data, score.data)):
        for change, tally in tallies.items():
            entries = getattr(items, change)
            tally.truth += sum(entry.line_only is not True for entry in entries)
            score.unseen += sum(entry.line_only is True for entry in entries)


def _silent(stage: str, subject: str, done: int, total: int) -> None:
    """No progress: many trials run at once."""
