"""The figures of a run as tables in Markdown."""

from collections.abc import Iterable, Sequence

from bench.performance.contests import LINEAR, TREE
from bench.performance.machine import BUSY
from bench.performance.race import Document
from bench.performance.rows import (
    ENOUGH_FILES,
    ENOUGH_PAIRS,
    FASTER,
    HASH,
    LARGER,
    MEMORY,
    OFF,
    SECONDS,
    TIMES,
    Row,
    Series,
    middle,
    peers,
    rows,
    series,
)

NO = "**no**"


def parts(document: Document) -> dict[str, str]:
    """All tables by the name of their place on the page."""
    return {
        "machine": _machine(document),
        "targets": targets(document),
        "missed": _missed(document),
        "peers": _peers(document),
        "linearity": _linearity(document),
        "tree": _tree(document),
        "times": _times(document),
        "left-out": _left_out(document),
    }


def duration(seconds: float | None) -> str:
    """Seconds to read."""
    if seconds is None:
        return ""
    if seconds < 0.1:
        return f"{1000 * seconds:.1f} ms"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:.0f} s"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; numbers are not aligned, Markdown does that."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *lines))


def _machine(document: Document) -> str:
    here = document["machine"]
    lane = next(
        (_lane(race, "iced, bare") for race in reversed(document["races"]) if _lane(race, "iced, bare")), None
    )
    facts = [
        f"{here['processors']} processors ({here['processor']}), {here['memory_mib'] / 1024:.0f} GiB, "
        f"{here['system']}, Python {here['python']}; "
        + ", ".join(f"{name} {version}" for name, version in here["versions"].items()),
        f"measured on {here['date']}, up to {document['rounds']} rounds",
    ]
    if lane and lane["facts"].get("bytes", 0) >= LARGER:
        speed = lane["facts"]["instructions"] / lane["facts"]["cpu"] / 1e6
        rate = lane["facts"]["bytes"] / lane["facts"]["cpu"] / 1e6
        facts.append(f"one process decodes {speed:.1f} million instructions ({rate:.0f} MB of code) a second")
    for name in ("sha256sum", "openssl sha256"):
        for race in reversed(document["races"]):
            lane = _lane(race, name)
            size = race.get("facts", {}).get("baseline_bytes", 0)
            if lane and size >= LARGER:
                speed = size / 1e6 / middle(lane, "wall")
                facts.append(f"{name} hashes {speed:.0f} MB a second ({race['name']})")
                break
    text = "\n".join(f"- {fact}" for fact in facts)
    if document.get("note"):
        text = f"{document['note']}\n\n{text}"
    if here["others"] > BUSY:
        text = (
            f"**Provisional:** others used {100 * here['others']:.0f} % of the processors' time when this "
            f"run began. Ratios suffer less than times, but they suffer.\n\n{text}"
        )
    return text


def _lane(race: Document, name: str) -> Document | None:
    """A lane that was measured."""
    return next((lane for lane in race.get("lanes", ()) if lane["name"] == name and "out" not in lane), None)


def targets(document: Document) -> str:
    """What was asked for, what came out. Rows without a target are there to be read beside the others."""
    lines = [_target(row) for row in rows(document)]
    found = series(document)
    if found is not None:
        off = found.off()
        enough = len(found.names) >= ENOUGH_PAIRS
        lines.append(
            (LINEAR, f"diff of {len(found.names)} pairs", "", "", "", f"{len(off)} off the line", "",
             f"none more than {OFF} x, of at least {ENOUGH_PAIRS}", NO if off or not enough else "yes", "")
        )  # fmt: skip
    laid = next((race for race in document["races"] if race["name"] == TREE and "out" not in race), None)
    if laid is not None:
        files = laid["facts"]["files"]
        lines.append(
            (TREE, "PE files on each side", "", "", "", f"{files}", "", f"at least {ENOUGH_FILES}",
             "yes" if files >= ENOUGH_FILES else NO, "")
        )  # fmt: skip
    head = ("files", "hpbuild", "time", "against", "its time", "result", "CPU ratio", "target", "met", "peak")
    return table(head, lines)


def _missed(document: Document) -> str:
    """The targets that were not reached, and those that were not measured."""
    lines = []
    for row in rows(document):
        cells = _target(row)
        what = f"{row.aim.race}, {row.aim.lane}" + (f" / {row.aim.against}" if row.aim.against else "")
        if row.met is False:
            lines.append(f"- {what}: {cells[5]}; asked for: {cells[7]}")
        elif row.value is None and row.aim.bound is not None:
            lines.append(f"- {what}: not measured ({row.why}); asked for: {cells[7]}")
    found = series(document)
    if found is not None and found.off():
        lines.append(f"- {LINEAR}: {', '.join(found.off())}: more than {OFF} x off the line")
    return "\n".join(lines) or "Nothing."


BOUNDS = {
    TIMES: "at most {:g} x",
    SECONDS: "at most {:g} s",
    MEMORY: "at most {:,.0f} MiB",
    HASH: "at most {:g} x, less start-up",
    FASTER: "at least {:g} x as fast",
}


def _target(row: Row) -> tuple[str, ...]:
    aim = row.aim
    bound = "" if aim.bound is None else BOUNDS[aim.kind].format(aim.bound)
    if row.value is None:
        return (aim.race, aim.lane, "", aim.against, "", "not measured", "", bound, row.why, "")
    result = {SECONDS: duration(row.value), MEMORY: f"{row.value:,.0f} MiB"}.get(
        aim.kind, f"{row.value:.2f} x"
    )
    return (
        aim.race,
        aim.lane,
        duration(row.wall),
        aim.against,
        duration(row.against_wall),
        result,
        "" if row.cpu_ratio is None else f"{row.cpu_ratio:.2f} x",
        bound,
        {True: "yes", False: NO, None: ""}[row.met],
        _mib(row.peak),
    )


def _mib(peak: float | None) -> str:
    """Memory to read; a process too short to be looked at has none."""
    return f"{peak:,.0f} MiB" if peak else ""


def _peers(document: Document) -> str:
    lines = []
    for name, aim, row in peers(document):
        if row.value is None or row.cpu_ratio is None:
            lines.append((name, aim.lane, "", aim.against, "", "", "", row.why))
        else:
            cells = (duration(row.wall), aim.against, duration(row.against_wall), f"{row.value:.2f} x")
            lines.append((name, aim.lane, *cells, f"{row.cpu_ratio:.2f} x", ""))
    return table(
        ("files", "hpbuild", "time", "beside", "its time", "ratio", "CPU ratio", "not measured"), lines
    )


def _linearity(document: Document) -> str:
    found = series(document)
    if found is None:
        return "Not measured in this run."
    lines = []
    for index, (time, memory) in enumerate(found.distances()):
        off = [text for text, value in (("time", time), ("memory", memory)) if not 1 / OFF <= value <= OFF]
        sizes = (f"{found.sizes[index]:.2f}", f"{found.code[index]:.2f}")
        times = (duration(found.seconds[index]), f"{time:.2f} x", duration(found.cpu[index]))
        peak = (f"{found.mib[index]:,.0f}", f"{memory:.2f} x")
        lines.append((found.names[index], *sizes, *times, *peak, ", ".join(off)))
    head = (
        "pair", "MB", "MB of code", "time", "of the line", "CPU", "MiB", "of the line",
        f"more than {OFF} x off",
    )  # fmt: skip
    return f"{_fits(found)}\n\n{table(head, lines)}"


def _fits(found: Series) -> str:
    text = (
        f"Time: {duration(found.time.start)} + {1000 * found.time.slope:.0f} ms a megabyte. "
        f"Memory: {found.memory.start:.0f} MiB + {found.memory.slope:.2f} MiB a megabyte."
    )
    if found.exponent is not None:
        text += f" Exponent of the time of the pairs of 1 MB and more: {found.exponent:.2f}."
    return text


def _tree(document: Document) -> str:
    race = next((race for race in document["races"] if race["name"] == TREE), None)
    if race is None or "out" in race:
        return "Not measured in this run." + (f" {race['out']}" if race else "")
    facts = race["facts"]
    head = (
        f"{facts['files']} PE files on each side; {facts['different']} differ, and have "
        f"{facts['bytes'] / 1e6:.1f} MB on both sides together; "
        "the others are equal byte for byte and count nothing in MB a second."
    )
    lines = []
    for lane in race["lanes"]:
        if "out" in lane:
            lines.append((lane["about"], lane["out"], "", "", ""))
            continue
        wall = middle(lane, "wall")
        rate = f"{facts['bytes'] / 1e6 / wall:.1f}"
        lines.append(
            (lane["about"], duration(wall), rate, duration(middle(lane, "cpu")), _mib(middle(lane, "peak")))
        )
    return f"{head}\n\n{table(('run', 'time', 'MB a second', 'CPU', 'peak'), lines)}"


def _times(document: Document) -> str:
    """Every measured command but those of the series, which have a table of their own."""
    lines = []
    for race in document["races"]:
        if race["name"] == LINEAR:
            continue
        for lane in race.get("lanes", ()):
            if "out" in lane:
                continue
            runs = lane["wall"]["runs"]
            lines.append(
                (race["name"], lane["about"], f"{len(runs)}", duration(middle(lane, "wall")),
                 f"{duration(min(runs))} to {duration(max(runs))}", duration(middle(lane, "cpu")),
                 _mib(middle(lane, "peak")))
            )  # fmt: skip
    return table(("files", "command", "runs", "median time", "from, to", "CPU", "peak"), lines)


def _left_out(document: Document) -> str:
    rows_out = []
    for race in document["races"]:
        if "out" in race:
            rows_out.append(f"- {race['name']}: {race['out']}")
        rows_out += [
            f"- {race['name']}, {lane['name']}: {lane['out']}"
            for lane in race.get("lanes", ())
            if "out" in lane
        ]
    return "\n".join(rows_out) or "Nothing."
