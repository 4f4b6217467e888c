"""How exact hpbuild is: what it reports on pairs with known differences, against these differences.

    python -m bench.accuracy [--only TEXT] [--symbols auto|none] [--no-build] [--json FILE] [CORPUS]

CORPUS is a folder of pairs built from source before and after one fix, each with ``truth.json`` made from
the objects (default: ../shared/corpus). For each pair, each of its builds, with and without symbols: recall
and precision of functions and named data, missing findings, refusals without a reason, bytes that nothing
explains, whether the pair builds and proves. Everything that falls short is listed by name. Names come from
the PDB or the symbol table for this scoring even where the comparison had to do without. Unnamed constants
count through the functions that refer to them. Exit status 1 when a changed function was missed, bytes are
unexplained or a run crashed, 2 when the corpus cannot be used.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.accuracy_page import document, markdown, summed, text
from bench.sources import PATCHES, ROOT
from bench.trial import Outcome, Trial, note_missed_all, run_trial
from bench.truth import TruthError, read_truth
from bench.unpacking import CorpusError, built_pairs
from hpbuild.bundle.output import write_atomic
from hpbuild.errors import HpbuildError
from hpbuild.match.model import Change


def run_all(trials: Sequence[Trial], workers: int) -> Iterator[Outcome]:
    """Outcomes of all trials in their order; each runs in a process of a pool, so that one that dies of a
    bug is recorded as that. Raises TruthError."""
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(run_trial, trial) for trial in trials]
        for trial, future in zip(trials, futures, strict=True):
            error = future.exception()
            if isinstance(error, TruthError):
                pool.shutdown(cancel_futures=True)
                raise error
            yield future.result() if error is None else _crashed(trial, error)


def _crashed(trial: Trial, error: BaseException) -> Outcome:
    outcome = Outcome(name=trial.pair.name, build=trial.pair.build, symbols=trial.symbols)
    outcome.answer = type(error).__name__
    outcome.score.fell_short("crash", outcome.answer, detail=str(error))
    note_missed_all(read_truth(trial.pair.truth), outcome.score)
    return outcome


def failed(outcomes: Sequence[Outcome], recall: float) -> list[str]:
    """Why the run as a whole is a failure; empty when it is none."""
    changed = summed(outcome.score.functions[Change.CHANGED] for outcome in outcomes)
    reasons = []
    if changed.recall < recall:
        reasons.append(f"{changed.truth - changed.found} of {changed.truth} changed functions were missed")
    unexplained = sum(outcome.unexplained for outcome in outcomes)
    if unexplained:
        reasons.append(f"{unexplained} bytes are unexplained")
    broken = [
        f"{outcome.name} {outcome.build} {outcome.symbols}: {item.what} {item.name}"
        for outcome in outcomes
        for item in outcome.score.shortfalls
        if item.what in ("crash", "error")
    ]
    return reasons + broken


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.accuracy", description="Measure how exact hpbuild is.")
    parser.add_argument("corpus", nargs="?", type=Path, default=PATCHES, help="folder of pairs (%(default)s)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "accuracy", help="unpack archives here")
    parser.add_argument("--only", default="", metavar="TEXT", help="pairs whose name contains this")
    parser.add_argument("--symbols", choices=("auto", "none"), action="append", help="default: both")
    parser.add_argument("--toolchain", choices=("zig", "gcc"), action="append", help="default: both")
    parser.add_argument(
        "--builds", action=argparse.BooleanOptionalAction, default=True, help="build and prove"
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="runs at once (%(default)s)")
    parser.add_argument("--limit", type=int, default=900, metavar="SECONDS", help="for one run (%(default)s)")
    parser.add_argument("--require-recall", type=float, default=1.0, metavar="SHARE", help="fail below (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    return parser.parse_args()


def _trials(arguments: argparse.Namespace) -> list[Trial]:
    return [
        Trial(pair, symbols, arguments.builds, arguments.limit)
        for pair in built_pairs(arguments.corpus, arguments.work, arguments.only)
        if not arguments.toolchain or pair.build in arguments.toolchain
        for symbols in arguments.symbols or ("auto", "none")
    ]


def _progress(outcome: Outcome, number: int, count: int) -> None:
    if sys.stderr.isatty():
        name = f"{outcome.name} {outcome.build} {outcome.symbols}"
        print(f"{number}/{count} {name}: {outcome.answer}, {outcome.seconds} s", file=sys.stderr, flush=True)


def main() -> int:
    """Command line; returns the exit status."""
    arguments = _arguments()
    outcomes = []
    try:
        trials = _trials(arguments)
        for number, outcome in enumerate(run_all(trials, arguments.workers), 1):
            outcomes.append(outcome)
            _progress(outcome, number, len(trials))
        if arguments.json:
            write_atomic(arguments.json, (json.dumps(document(outcomes), indent=1) + "\n").encode())
        if arguments.markdown:
            write_atomic(arguments.markdown, markdown(outcomes).encode())
    except (CorpusError, TruthError, HpbuildError) as error:
        print(error, file=sys.stderr)
        return 2
    print(text(outcomes), end="")
    reasons = failed(outcomes, arguments.require_recall)
    print("\n".join(reasons) if reasons else "every changed function found, every byte explained")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
