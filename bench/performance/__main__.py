"""Time and memory of hpbuild beside what limits it and beside other tools, in one run on one machine.

    python -m bench.performance [--corpus corpus] [--output build/performance] [--rounds 3] [--only NAME]
                                [--quick] [--page docs/performance.md] [--again RUN.json] [--note TEXT]

OUTPUT gets ``performance.json`` with every single run, ``performance.md`` with the tables and
``performance.svg``. ``--page`` writes the tables between the markers of a page and the picture beside it.
``--again`` measures nothing and uses the figures of that file. A target that is missed is a result: the exit
status is 0.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.performance import commands
from bench.performance.commands import Missing
from bench.performance.contests import races
from bench.performance.inputs import found
from bench.performance.machine import machine
from bench.performance.page import rewritten
from bench.performance.plot import svg
from bench.performance.process import adopt_orphans
from bench.performance.race import Document, Track, aloud, held
from bench.performance.rows import series
from bench.performance.tables import parts

ORDER = ("machine", "targets", "missed", "peers", "linearity", "tree", "times", "left-out")


def measured(options: argparse.Namespace, folder: Path) -> Document:
    """Run every race whose name was asked for; one whose files are not there is left out and says so."""
    adopt_orphans()
    document: Document = {
        "machine": machine(),
        "note": options.note,
        "rounds": options.rounds,
        "quick": options.quick,
        "races": [],
    }
    commands.keys(folder)
    hpbuild = commands.hpbuild(folder / "no-cache")
    track = Track(folder=folder, rounds=options.rounds, budget=options.budget, say=aloud)
    for name, make in races(found(options.corpus, quick=options.quick), hpbuild, folder):
        if options.only not in name:
            continue
        try:
            race = make()
        except Missing as missing:
            aloud(f"{name}: {missing}")
            document["races"].append({"name": name, "out": str(missing)})
            continue
        document["races"].append(held(race, track))
        _write(document, folder)  # what was measured stays when the rest is interrupted
    _write(document, folder)
    return document


def _write(document: Document, folder: Path) -> None:
    (folder / "performance.json").write_text(json.dumps(document, indent=1) + "\n")


def report(document: Document, folder: Path, page: Path | None) -> str:
    """Write tables and picture; the text of the tables."""
    texts, drawn = parts(document), series(document)
    text = "\n\n".join(texts[name] for name in ORDER) + "\n"
    (folder / "performance.md").write_text(text)
    picture = svg(drawn) if drawn is not None else ""
    for target in (folder / "performance.svg", page.with_suffix(".svg") if page else None):
        if target is not None and picture:
            target.write_text(picture)
    if page is not None:
        page.write_text(rewritten(page.read_text(), texts))
    return text


def main(words: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="folder that bench.corpus filled")
    parser.add_argument(
        "--output", type=Path, default=Path("build/performance"), help="folder for the results"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often every command is run")
    parser.add_argument(
        "--budget", type=float, default=150, help="seconds after which a race begins no further round"
    )
    parser.add_argument("--only", default="", help="races whose name contains this: node, start-up, tree ...")
    parser.add_argument("--quick", action="store_true", help="the committed examples alone: a minute")
    parser.add_argument("--page", type=Path, help="Markdown page with markers to fill")
    parser.add_argument("--note", default="", help="a remark that stands above the figures")
    parser.add_argument("--again", type=Path, help="a performance.json to take the figures from")
    options = parser.parse_args(words)
    folder: Path = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if options.again is not None:
        document = json.loads(options.again.read_text())
    else:
        options.corpus = options.corpus.resolve()
        document = measured(options, folder)
    print(report(document, folder, options.page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
