"""Runs the fuzzers: ``python -m tests.fuzz --target all --minutes 20 --output build/fuzz``.

Minutes are CPU minutes of each target. The table goes to standard output and, as JSON, to OUTPUT/result.json;
exit status 1 when there is a finding.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.fuzz.mutators import MUTATORS
from tests.fuzz.seeds import seeds

_LIMITS = ("-rss_limit_mb=1024", "-timeout=30")
"""The limit of time is by the clock, which a busy machine stretches; the table tells the processor time of
the slowest input."""
_RESTARTS = 100
_HEADING = "target     executions  CPU min coverage features slowest s findings"
_ENDED_BY_FUZZER = re.compile(r"ERROR: libFuzzer: ([^\n(]+)")
_COVERAGE = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


@dataclass(slots=True)
class Result:
    """Figures of one target; ``findings`` maps what went wrong to the file with the input."""

    target: str
    executions: int = 0
    cpu_seconds: float = 0.0
    coverage: int = 0
    features: int = 0
    corpus: int = 0
    slowest_seconds: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)


def fuzz(target: str, minutes: float, output: Path) -> Result:
    """Fuzz ``target`` for ``minutes`` of CPU time; a process that ends too early is started again."""
    corpus, folder = output / target / "corpus", output / target / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds(target).items():
        (corpus / re.sub(r"[^A-Za-z0-9.]+", "-", name)).write_bytes(data)
    result = Result(target)
    log = output / target / "log.txt"
    log.write_bytes(b"")
    for start in range(_RESTARTS):
        left = 60 * minutes - result.cpu_seconds
        if left < 1:
            break
        (folder / "status.json").unlink(missing_ok=True)
        # Another run over a corpus that has grown draws something else.
        seed = f"-seed={start + 1 + len(list(corpus.iterdir()))}"
        arguments = [
            target,
            str(folder),
            str(left),
            *_LIMITS,
            seed,
            f"-artifact_prefix={folder}/",
            str(corpus),
        ]
        with log.open("ab") as stream:
            began = stream.tell()
            before = os.times()
            status = subprocess.run(
                [sys.executable, "-m", "tests.fuzz.worker", *arguments],
                stdout=stream,
                stderr=stream,
                check=False,
            ).returncode
            after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        _add(result, folder, log.read_bytes()[began:].decode(errors="replace"), status, spent)
    return result


def _add(result: Result, folder: Path, log: str, status: int, spent: float) -> None:
    """The figures of one process, whose output is ``log``."""
    result.cpu_seconds += spent
    if (folder / "status.json").exists():
        figures = json.loads((folder / "status.json").read_text())
        result.executions += figures["executions"]
        result.slowest_seconds = max(result.slowest_seconds, figures["slowest_seconds"])
        result.findings |= figures["findings"]
    if coverage := _COVERAGE.findall(log):
        result.coverage, result.features, result.corpus = (
            max(old, int(new))
            for old, new in zip((result.coverage, result.features, result.corpus), coverage[-1], strict=True)
        )
    if status:
        cause = _ENDED_BY_FUZZER.search(log)
        written = re.search(r"Test unit written to (\S+)", log)
        what = cause[1].strip() if cause else f"the process ended with status {status}"
        result.findings[f"{what} ({len(result.findings) + 1})"] = (
            Path(written[1]).name if written else "log.txt"
        )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--target", default="all", choices=["all", *MUTATORS])
    parser.add_argument("--minutes", type=float, default=20, help="CPU minutes of each target")
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"))
    chosen = parser.parse_args()
    results = []
    _say(_HEADING)
    for target in MUTATORS if chosen.target == "all" else [chosen.target]:
        result = fuzz(target, chosen.minutes, chosen.output)
        results.append(asdict(result))
        _say(
            f"{target:<10} {result.executions:>10} {result.cpu_seconds / 60:>8.1f} {result.coverage:>8} "
            f"{result.features:>8} {result.slowest_seconds:>9.2f} {len(result.findings)}"
        )
        for what, where in result.findings.items():
            _say(f"  {what}: {chosen.output / target / 'findings' / where}")
        (chosen.output / "result.json").write_text(json.dumps(results, indent=1) + "\n")
    return 1 if any(result["findings"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
