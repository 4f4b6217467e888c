"""Compare every PE file with copies of itself that mean the same: the verdict must be `identical`.

    python -m bench.selfdiff [--limit SECONDS] [--workers N] [--json FILE] FOLDER...

The copies: the file itself, one with other stamps, one for another base, one with another signature (when
osslsigncode and openssl are installed). Nothing may be changed, no finding may be left, and the byte account
must add up. Small files come first. Failures head the table; exit status 1 when there is any.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from bench.mutate import CannotMutateError, rebased, resign, restamped, throw_away_key
from bench.sources import SUFFIXES
from hpbuild.errors import HpbuildError
from hpbuild.pipeline import DiffOptions, ModuleDiff, diff_modules

IDENTICAL = "identical"
SKIPPED = "skipped: "


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfDiff:
    """One file. ``outcomes`` by copy: 'identical', 'skipped: ...', or what is wrong. ``refused`` is the code
    with which hpbuild declines the file itself, '' for none."""

    file: str
    size: int
    seconds: float = 0.0
    peak_mib: int = 0
    refused: str = ""
    outcomes: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether any copy was not found identical."""
        fine = all(text == IDENTICAL or text.startswith(SKIPPED) for text in self.outcomes.values())
        return not self.refused and not (self.outcomes and fine)


def files(folders: Iterable[Path]) -> list[Path]:
    """All PE files below ``folders``, small ones first."""
    found = {
        path
        for folder in folders
        for path in ([folder] if folder.is_file() else folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.is_symlink()
    }
    return sorted(found, key=lambda path: (path.stat().st_size, str(path)))


def examine(path: Path, symbols: str = "auto", signer: tuple[Path, Path] | None = None) -> SelfDiff:
    """Compare ``path`` with all its copies, in this process. ``signer``: certificate and key, or none."""
    begin, outcomes, refused = time.monotonic(), dict[str, str](), ""
    with tempfile.TemporaryDirectory() as name:
        for kind, make in _makers(signer).items():
            try:
                copy = _place(path, Path(name) / kind)
                make(path, copy)
                outcomes[kind] = judge(diff_modules(path, copy, DiffOptions(symbols=symbols), _silent)[0])
            except HpbuildError as error:
                if not outcomes:
                    refused = error.finding.code.id
                    break
                outcomes[kind] = f"{error.finding.code.id}: {error.finding.cause}"
            except CannotMutateError as error:
                outcomes[kind] = f"{SKIPPED}{error}"
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return SelfDiff(
        file=str(path),
        size=path.stat().st_size,
        seconds=round(time.monotonic() - begin, 2),
        peak_mib=peak // 1024,
        refused=refused,
        outcomes=outcomes,
    )


def _makers(signer: tuple[Path, Path] | None) -> dict[str, Callable[[Path, Path], None]]:
    """What makes each copy, in the order of comparing."""
    makers: dict[str, Callable[[Path, Path], None]] = {
        "itself": _same,
        "re-stamped": lambda path, copy: _write(copy, restamped(path.read_bytes())),
        "re-based": lambda path, copy: _write(copy, rebased(path.read_bytes())),
    }
    tool = shutil.which("osslsigncode")
    if signer and tool:
        makers["re-signed"] = lambda path, copy: resign(path, copy, signer, tool)
    return makers


def _same(path: Path, copy: Path) -> None:
    copy.symlink_to(path.resolve())


def _write(copy: Path, data: bytes) -> None:
    copy.write_bytes(data)


def _place(path: Path, folder: Path) -> Path:
    """Where a copy goes: under its own name, next to the symbol file of the original."""
    folder.mkdir()
    for symbols in path.parent.glob("*.pdb"):
        (folder / symbols.name).symlink_to(symbols.resolve())
    return folder / path.name


def judge(diff: ModuleDiff) -> str:
    """'identical', or all that stands against it."""
    summary = diff.difference.summary
    wrong = [] if diff.verdict == IDENTICAL else [diff.verdict]
    for name in ("changed", "added", "removed", "data_changed", "data_added", "data_removed"):
        count = getattr(summary, name)
        wrong += [f"{name} {count}"] if count else []
    if summary.identical != summary.functions_fixed:
        wrong.append(f"{summary.functions_fixed - summary.identical} functions not identical")
    codes = Counter(finding.code.id for finding in diff.findings)
    wrong += [f"{code} x {count}" for code, count in sorted(codes.items())]
    wrong += [f"{count} x {klass} left out" for klass, count in _exclusions(diff)]
    sizes = sum(size for _, size in diff.difference.account)
    if sizes != diff.difference.mapped:
        wrong.append(f"account has {sizes} of {diff.difference.mapped} bytes")
    return ", ".join(wrong) or IDENTICAL


def _exclusions(diff: ModuleDiff) -> list[tuple[str, int]]:
    return sorted(Counter(item.klass for item in diff.exclusions).items())


def _silent(stage: str, subject: str, done: int, total: int) -> None:
    """No progress."""


def examine_apart(path: Path, *, limit: float, symbols: str, signer: tuple[Path, Path] | None) -> SelfDiff:
    """``examine`` in a process of its own, for at most ``limit`` seconds."""
    command = [sys.executable, "-m", "bench.selfdiff", "--one", str(path), "--symbols", symbols]
    command += ["--signer", *map(str, signer)] if signer else []
    begin = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        output, errors = process.communicate(timeout=limit)
        outcome = (errors.strip().splitlines() or ["crash"])[-1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        output, outcome = "", f"more than {limit:.0f} s"
    if not process.returncode:
        return SelfDiff(**json.loads(output))
    seconds = round(time.monotonic() - begin, 2)
    return SelfDiff(file=str(path), size=path.stat().st_size, seconds=seconds, outcomes={"all": outcome})


def table(results: Sequence[SelfDiff]) -> str:
    """Failures first, then what hpbuild declines, then the rest; a line of sums at the end."""
    ordered = sorted(results, key=lambda item: (not item.failed, not item.refused, item.file))
    lines = [
        f"{'FAILED' if item.failed else item.refused or 'ok':7} {item.size:>11,} {item.seconds:>7.1f} s"
        f" {item.peak_mib:>6} MiB  {item.file}{_remarks(item)}"
        for item in ordered
    ]
    failed = sum(item.failed for item in results)
    refused = sum(bool(item.refused) for item in results)
    compared = sum(text == IDENTICAL for item in results for text in item.outcomes.values())
    same = len(results) - failed - refused
    counts = f"{same} identical ({compared} comparisons), {failed} failed, {refused} declined"
    return "\n".join([*lines, f"{len(results)} files: {counts}"])


def _remarks(item: SelfDiff) -> str:
    return "".join(f"\n        {kind}: {text}" for kind, text in item.outcomes.items() if text != IDENTICAL)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare PE files with copies of themselves.")
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="files, or folders to search")
    parser.add_argument("--limit", type=float, default=600, help="seconds for one file and all its copies")
    parser.add_argument("--workers", type=int, default=2, help="files at once")
    parser.add_argument("--symbols", default="auto", help="as for hpbuild diff")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--signer", type=Path, nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Command line."""
    arguments = _arguments()
    if arguments.one:
        signer = tuple(arguments.signer) if arguments.signer else None
        print(json.dumps(asdict(examine(arguments.one, arguments.symbols, signer))))
        return
    paths, results = files(arguments.folders), list[SelfDiff]()
    tool = shutil.which("openssl")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.workers) as pool:
        signer = throw_away_key(Path(folder), tool) if tool else None
        run = partial(examine_apart, limit=arguments.limit, symbols=arguments.symbols, signer=signer)
        for number, result in enumerate(pool.map(run, paths), 1):
            results.append(result)
            state = "FAILED" if result.failed else result.refused or "ok"
            note = f"{number}/{len(paths)} {state} {result.seconds:.1f} s {result.file}"
            print(note, file=sys.stderr, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    print(table(results))
    sys.exit(1 if not results or any(result.failed for result in results) else 0)


if __name__ == "__main__":
    main()
