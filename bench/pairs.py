"""Compare every pair of binaries at hand and record what came out.

    python -m bench.pairs [--only TEXT] [--corpus DIR] [--limit SECONDS] [--output DIR] [--page docs/pairs.md]

Writes ``DIR/pairs.json`` and, with ``--page``, the same as a page in Markdown. Exit status 1 when a
comparison crashed, ran out of time or left bytes of the fixed file unaccounted for.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bench.measure import Result, measure
from bench.page import COMPARED, page
from bench.sources import all_pairs


def bad(result: Result) -> bool:
    """Whether *result* is a failure of hpbuild rather than a property of the files."""
    if result.outcome in COMPARED:
        return not result.accounted
    return not result.outcome.startswith("HP")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Compare every pair of binaries at hand.")
    parser.add_argument("--only", default="", help="pairs whose group/name contains this")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="folder that bench.corpus filled")
    parser.add_argument("--limit", type=float, default=900, help="seconds for one comparison")
    parser.add_argument("--workers", type=int, default=2, help="comparisons at once")
    parser.add_argument("--symbols", default="auto", help="as for hpbuild diff")
    parser.add_argument("--output", type=Path, default=Path("build/pairs"), help="folder for pairs.json")
    parser.add_argument("--page", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    pairs = all_pairs(arguments.only, arguments.corpus)
    results = []
    with ThreadPoolExecutor(arguments.workers) as pool:
        compare = partial(measure, limit=arguments.limit, symbols=arguments.symbols)
        for number, result in enumerate(pool.map(compare, pairs), 1):
            results.append(result)
            note = f"{result.outcome}, {result.seconds:.1f} s, {result.peak_mib} MiB"
            print(f"{number}/{len(pairs)} {result.group}/{result.name}: {note}", file=sys.stderr, flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(result) for result in results], indent=1)
    (arguments.output / "pairs.json").write_text(text + "\n")
    if arguments.page:
        arguments.page.write_text(page(results, arguments.workers))
    failures = [f"{result.group}/{result.name}: {result.outcome}" for result in results if bad(result)]
    print("\n".join(failures) or f"{len(results)} pairs compared")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
