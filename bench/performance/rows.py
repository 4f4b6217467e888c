"""What was asked for, and whether it was reached."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.performance.contests import LINEAR, START, TREE
from bench.performance.fit import Line, Point, exponent, line
from bench.performance.race import HPBUILD, Document

OFF = 1.5
"""A pair this many times above or below the line is marked."""
ENOUGH_PAIRS, ENOUGH_FILES = 12, 200
RANGE = 10
"""How many times the smallest the largest pair must have at least."""
LARGER = 1_000_000
"""Bytes of a pair from which on the exponent is fitted: below, the start of the interpreter is all."""
TIMES, SECONDS, MEMORY, HASH, FASTER = "times", "seconds", "memory", "hash", "faster"


@dataclass(frozen=True, slots=True)
class Aim:
    """A target: ``lane`` of ``race`` compared with the lane ``against``; ``bound`` is None when nothing was
    asked for. TIMES: wall time, at most so many times as long. SECONDS, MEMORY (MiB): at most. HASH: wall
    time less that of ``--version``, at most so many times that of ``against``. FASTER: at least so many times
    as fast."""

    race: str
    lane: str
    kind: str
    bound: float | None
    against: str = ""


AIMS = (
    Aim("node.exe", "diff", TIMES, 2.5, "iced, bare"),
    Aim("node.exe", "diff", MEMORY, 1536),
    Aim("node.exe", "build", TIMES, 5.0, "iced, bare"),
    Aim("node.exe", "build", MEMORY, 3072),
    Aim("node.exe", "prove", TIMES, None, "iced, bare"),
    Aim("node.exe", "verify", HASH, 1.3, "sha256sum"),
    Aim("node.exe", "verify", HASH, None, "openssl sha256"),
    Aim("node.exe, after a rest", "diff", TIMES, None, "iced, bare"),
    Aim("Qt6Core.dll", "diff", SECONDS, 1.0),
    Aim("Qt6Core.dll", "diff", TIMES, None, "iced, bare"),
    Aim("_multiarray_umath.pyd", "diff", TIMES, None, "iced, bare"),
    Aim("_multiarray_umath.pyd", "build", TIMES, None, "iced, bare"),
    Aim("_multiarray_umath.pyd", "prove", TIMES, None, "iced, bare"),
    Aim("codec.dll", "diff", TIMES, None, "iced, bare"),
    Aim("codec.dll", "verify", HASH, None, "sha256sum"),
    Aim(START, "--help", TIMES, 4.0, "python"),
    Aim(START, "inspect", TIMES, 4.0, "python"),
    Aim(START, "--version", TIMES, None, "python"),
    Aim(TREE, "two jobs", FASTER, 1.7, "one job"),
    Aim(TREE, "cache, again", FASTER, 10.0, "two jobs"),
)
PEERS = (
    ("diff", "capstone, bare"), ("diff", "zstd delta"), ("diff", "bsdiff"), ("verify", "osslsigncode"),
    ("verify", "openssl sha256"), ("inspect", "lief"), ("inspect", "pefile"), ("--help", "typer"),
)  # fmt: skip
"""Which command of hpbuild stands beside which other tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An aim and its outcome. ``wall`` and ``against_wall`` are seconds, ``value`` is what ``kind`` names;
    None where it was not measured, and ``why`` says why."""

    aim: Aim
    wall: float | None = None
    against_wall: float | None = None
    peak: float | None = None
    value: float | None = None
    cpu_ratio: float | None = None
    why: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None without a target or a measurement."""
        if self.value is None or self.aim.bound is None:
            return None
        return self.value >= self.aim.bound if self.aim.kind == FASTER else self.value <= self.aim.bound


def rows(document: Document, aims: Sequence[Aim] = AIMS) -> tuple[Row, ...]:
    """The outcome of every aim whose race was to be run."""
    races = {race["name"]: race for race in document["races"]}
    return tuple(row(races[aim.race], aim) for aim in aims if aim.race in races)


def row(race: Document, aim: Aim) -> Row:
    """The outcome of one aim."""
    if "out" in race:
        return Row(aim=aim, why=race["out"])
    lanes = {lane["name"]: lane for lane in race["lanes"]}
    needed = [aim.lane, *([aim.against] if aim.against else []), *(["--version"] if aim.kind == HASH else [])]
    for name in needed:
        if name not in lanes or "out" in lanes[name]:
            return Row(aim=aim, why=f"{name}: {lanes[name]['out'] if name in lanes else 'not run'}")
    ours, other = lanes[aim.lane], lanes.get(aim.against)
    wall = middle(ours, "wall")
    measured = Row(aim=aim, wall=wall, peak=middle(ours, "peak"))
    if other is None:
        return replace(measured, value=measured.peak if aim.kind == MEMORY else wall)
    beside = middle(other, "wall")
    value = wall / beside
    if aim.kind == HASH:
        value = (wall - middle(lanes["--version"], "wall")) / beside
    elif aim.kind == FASTER:
        value = beside / wall
    other_cpu = middle(other, "cpu")
    cpu = middle(ours, "cpu") / other_cpu if aim.kind == TIMES and other_cpu else None
    return replace(measured, against_wall=beside, value=value, cpu_ratio=cpu)


def middle(lane: Document, figure: str) -> float:
    """The median of 'wall' (s), 'cpu' (s) or 'peak' (MiB)."""
    return float(lane[figure]["median"])


def peers(document: Document) -> list[tuple[str, Aim, Row]]:
    """hpbuild beside other tools: the race, what is compared, the outcome."""
    found = []
    for race in document["races"]:
        names = {lane["name"] for lane in race.get("lanes", ())}
        for lane, peer in PEERS:
            if {lane, peer} <= names:
                aim = Aim(race["name"], lane, TIMES, None, peer)
                found.append((race["name"], aim, row(race, aim)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """``diff`` by size: of each pair its name, megabytes of both files and of their code, seconds by the
    clock and of CPU, and MiB; the lines through seconds and MiB over megabytes; the exponent of the time of
    larger pairs, None for fewer than three of them."""

    names: tuple[str, ...]
    sizes: tuple[float, ...]
    code: tuple[float, ...]
    seconds: tuple[float, ...]
    cpu: tuple[float, ...]
    mib: tuple[float, ...]
    time: Line
    memory: Line
    exponent: float | None
    left_out: tuple[tuple[str, str], ...]

    def distances(self) -> tuple[tuple[float, float], ...]:
        """How many times the line's time and memory each pair took."""
        return tuple(
            (self.time.distance((size, second)), self.memory.distance((size, peak)))
            for size, second, peak in zip(self.sizes, self.seconds, self.mib, strict=True)
        )

    def off(self) -> tuple[str, ...]:
        """Pairs whose time or memory is more than OFF times the line's, or less than one such part."""
        return tuple(
            name
            for name, pair in zip(self.names, self.distances(), strict=True)
            if any(not 1 / OFF <= each <= OFF for each in pair)
        )


def series(document: Document) -> Series | None:
    """The series of a run; None when it has none, or when its sizes are too much alike for a line."""
    race = next((race for race in document["races"] if race["name"] == LINEAR and "out" not in race), None)
    if race is None:
        return None
    lanes = [lane for lane in race["lanes"] if lane["role"] == HPBUILD and "out" not in lane]
    sizes = [lane["facts"]["bytes"] / 1e6 for lane in lanes]
    if not sizes or max(sizes) < RANGE * min(sizes):
        return None
    seconds, mib = ([middle(lane, figure) for lane in lanes] for figure in ("wall", "peak"))
    larger: list[Point] = [(x, y) for x, y in zip(sizes, seconds, strict=True) if x * 1e6 >= LARGER]
    return Series(
        names=tuple(lane["name"] for lane in lanes),
        sizes=tuple(sizes),
        code=tuple(lane["facts"]["code"] / 1e6 for lane in lanes),
        seconds=tuple(seconds),
        cpu=tuple(middle(lane, "cpu") for lane in lanes),
        mib=tuple(mib),
        time=line(list(zip(sizes, seconds, strict=True))),
        memory=line(list(zip(sizes, mib, strict=True))),
        exponent=exponent(larger) if len({x for x, _ in larger}) > 2 else None,
        left_out=tuple((lane["name"], lane["out"]) for lane in race["lanes"] if "out" in lane),
    )
