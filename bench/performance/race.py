"""Commands that are measured side by side: A B C, A B C, ..., so that what disturbs one disturbs all."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.performance.process import Run, run

Document = dict[str, Any]
Say = Callable[[str], None]
HPBUILD, LIMIT, PEER = "hpbuild", "limit", "peer"
LONGEST = 1800.0
"""Seconds for one command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One command of a race. ``about`` says in words what it does. ``rounds`` is the most it takes part in
    (0: all). ``fresh`` is removed before each run; ``afterwards`` are commands that follow each run and are
    not measured. With ``absent`` it is not run, for that reason. ``facts`` go into the result."""

    name: str
    role: str
    about: str
    command: tuple[str, ...] = ()
    rounds: int = 0
    expected: tuple[int, ...] = (0,)
    environment: Mapping[str, str] = field(default_factory=dict)
    fresh: tuple[Path, ...] = ()
    afterwards: tuple[tuple[str, ...], ...] = ()
    absent: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Lanes in the order in which they run. ``warm`` are files that are read before, so that nobody waits
    for the disk; ``before`` is a command that precedes each run and is not measured; ``rounds`` replaces the
    number asked for."""

    name: str
    about: str
    lanes: tuple[Lane, ...]
    warm: tuple[Path, ...] = ()
    before: tuple[str, ...] = ()
    rounds: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Where and how long: no new round begins after ``budget`` seconds of one race."""

    folder: Path
    rounds: int
    budget: float
    say: Say


def held(race: Race, track: Track) -> Document:
    """Run all rounds of *race*; a lane that fails once is out. The times and peaks of every run."""
    for path in race.warm:
        _read(path)
    begin = time.monotonic()
    results: dict[str, list[Run]] = {lane.name: [] for lane in race.lanes}
    out = {lane.name: lane.absent for lane in race.lanes if lane.absent}
    for number in range(race.rounds or track.rounds):
        if number and time.monotonic() - begin > track.budget:
            track.say(f"{race.name}: {number} rounds took more than {track.budget:.0f} s, no more")
            break
        for lane in race.lanes:
            if lane.name in out or (lane.rounds and number >= lane.rounds):
                continue
            done = _one(lane, track, race.before)
            if why := trouble(lane, done):
                out[lane.name] = why
                track.say(f"{race.name}, {lane.name}: {why}")
                continue
            results[lane.name].append(done)
            track.say(
                f"{race.name}, round {number + 1}, {lane.name}: {done.wall:.3f} s, CPU {done.cpu:.3f} s, "
                f"{done.peak:.0f} MiB"
            )
    lanes = [_lane_document(lane, results[lane.name], out.get(lane.name, "")) for lane in race.lanes]
    return {"name": race.name, "about": race.about, "facts": dict(race.facts), "lanes": lanes}


def trouble(lane: Lane, done: Run) -> str:
    """Why a run does not count, in one line; '' when it does."""
    if done.status is None:
        return f"took longer than {LONGEST:.0f} s"
    if done.status in lane.expected:
        return ""
    said = " ".join((done.errors or done.output).split())[:300]
    return f"exit status {done.status}" + (f": {said}" if said else "")


def _one(lane: Lane, track: Track, before: tuple[str, ...]) -> Run:
    for path in lane.fresh:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    environment = {**plain_environment(), **lane.environment}
    if before:
        first = run(before, folder=track.folder, environment=environment, limit=LONGEST)
        if first.status != 0:
            return first
    done = run(lane.command, folder=track.folder, environment=environment, limit=LONGEST)
    for command in lane.afterwards if done.status in lane.expected else ():
        after = run(command, folder=track.folder, environment=environment, limit=LONGEST)
        if after.status != 0:
            return after
    return done


def plain_environment() -> dict[str, str]:
    """The environment without what would change a command of hpbuild; its bytecode is installed with it."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HPBUILD_") and name != "PYTHONDONTWRITEBYTECODE"
    }


def _read(path: Path) -> None:
    with path.open("rb") as stream:
        while stream.read(1 << 20):
            pass


def _lane_document(lane: Lane, runs: Sequence[Run], out: str) -> Document:
    row: Document = {"name": lane.name, "role": lane.role, "about": lane.about, "facts": dict(lane.facts)}
    if out:
        return {**row, "out": out}
    if not runs:
        return {**row, "out": "did not run"}
    row["facts"] |= _said(runs[-1].output)
    for figure in ("wall", "cpu", "peak"):
        values = [round(getattr(done, figure), 6) for done in runs]
        row[figure] = {"median": median(values), "runs": values}
    return row


def _said(output: str) -> Document:
    """The facts of a command that prints one small JSON object."""
    try:
        said = json.loads(output)
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    return {key: said[key] for key in ("instructions", "bytes", "cpu") if key in said}


def aloud(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)
