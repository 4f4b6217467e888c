"""The races: which commands run side by side, on which files."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.performance import commands
from bench.performance.commands import Hpbuild, Missing
from bench.performance.inputs import EXAMPLE, NODE, NUMPY, QT, Inputs, megabytes, series, tree
from bench.performance.race import HPBUILD, LIMIT, PEER, Lane, Race
from bench.performance.sections import code_size
from bench.sources import ROOT, Pair, examples

START, LINEAR, TREE = "start-up", "linearity", "tree"
DONE = (0, 1)
"""hpbuild diff and build end with 1 when a difference cannot be hotpatched: it was measured all the same."""
START_ROUNDS = 15
LARGE = 100
"""Megabytes of a pair from which on slow tools run once."""
REST = 10.0
"""Seconds after which a machine that lay idle is used, for the one race about that."""
QUIET = ("--quiet", "--format", "json")
IDENTITY = ("--id", "bench", "--sequence", "1")
NODE_FUNCTIONS = ("--only", f"@{ROOT / 'bench' / 'live' / 'node-22.13.1.txt'}")
"""The whole of node 22.13.1 is refused; these ten functions are what bench.live patches."""
Maker = Callable[[], Race]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A pair that is measured in full. ``carried``: a package can be made of it, with ``only`` these."""

    key: tuple[str, str]
    name: str
    carried: bool = True
    only: tuple[str, ...] = ()
    reading: bool = True
    """Whether tools that read PE files are measured as well; they are too slow for the largest."""
    rest: bool = False
    """Whether ``diff`` is measured once more, on a machine that lay idle."""


QUICK_SUBJECTS = (Subject(key=EXAMPLE, name="codec.dll"),)
SUBJECTS = (
    Subject(key=QT, name="Qt6Core.dll", carried=False),
    Subject(key=NUMPY, name="_multiarray_umath.pyd"),
    Subject(key=NODE, name="node.exe", only=NODE_FUNCTIONS, reading=False, rest=True),
)


def races(inputs: Inputs, hpbuild: Hpbuild, folder: Path) -> tuple[tuple[str, Maker], ...]:
    """All races by name, in the order in which they are run; each is prepared when its turn comes."""
    subjects = QUICK_SUBJECTS if inputs.quick else SUBJECTS
    return (
        (START, lambda: start_up(inputs, hpbuild, folder)),
        *((subject.name, partial(of_subject, subject, inputs, hpbuild, folder)) for subject in subjects),
        *(
            (rested(subject), partial(at_rest, subject, inputs, hpbuild))
            for subject in subjects
            if subject.rest
        ),
        (LINEAR, lambda: linearity(series(inputs), hpbuild)),
        (TREE, lambda: of_tree(inputs, hpbuild, folder)),
    )


def start_up(inputs: Inputs, hpbuild: Hpbuild, folder: Path) -> Race:
    """Commands that have next to nothing to do."""
    example = next(pair for pair in examples() if pair.name == EXAMPLE[1])
    package = folder / "small.hpb"
    make = _package(hpbuild, example, package, folder, ())
    commands.prepare(make, folder)
    lanes = (
        commands.python("python", "python -c pass", "pass"),
        hpbuild.lane("--version", "hpbuild --version", "--version"),
        hpbuild.lane("--help", "hpbuild --help", "--help"),
        hpbuild.lane("inspect", f"hpbuild inspect of a package of {package.stat().st_size:,} bytes",
                     "inspect", str(package)),
        commands.python("typer", "python -c 'import typer', which hpbuild's command line is made with",
                        "import typer", needs="typer"),
    )  # fmt: skip
    rounds = 3 if inputs.quick else START_ROUNDS
    return Race(name=START, about="commands with next to nothing to do", lanes=lanes, rounds=rounds)


def _package(hpbuild: Hpbuild, pair: Pair, package: Path, folder: Path, only: tuple[str, ...]) -> Lane:
    """``build``, and untimed the signature, so that the package can be verified."""
    lane = hpbuild.lane(
        "build", "hpbuild build, which proves",
        "build", str(pair.baseline), str(pair.fixed), "-o", str(package), *IDENTITY, *only, *QUIET,
    )  # fmt: skip
    signing = hpbuild.plain("sign", str(package), "--key", f"file:{folder / 'bench.key'}")
    return commands.extended(lane, fresh=(package,), afterwards=(signing,))


def of_subject(subject: Subject, inputs: Inputs, hpbuild: Hpbuild, folder: Path) -> Race:
    """Everything that is done with one pair: compare, build, prove, verify; what limits that; its peers.
    Raises Missing."""
    pair = _pair(subject, inputs)
    files = (pair.baseline, pair.fixed)
    large = megabytes(files) > LARGE
    lanes = (
        commands.decoding(pair, "iced", LIMIT),
        *commands.hashing(pair.baseline),
        hpbuild.lane("--version", "hpbuild --version", "--version"),
        hpbuild.lane("diff", "hpbuild diff", "diff", *map(str, files), *QUIET, expected=DONE),
        *(_package_lanes(subject, pair, hpbuild, folder) if subject.carried else ()),
        commands.decoding(pair, "capstone", PEER, rounds=1 if large else 0),
        *commands.differs(pair, folder, large=large),
        *(_reading_lanes(pair, hpbuild) if subject.reading else ()),
    )
    facts = {
        "baseline_bytes": files[0].stat().st_size,
        "fixed_bytes": files[1].stat().st_size,
        "code_bytes": sum(map(code_size, files)),
    }
    about = f"{pair.group}: {subject.name} of two consecutive releases"
    return Race(name=subject.name, about=about, lanes=lanes, warm=files, facts=facts)


def rested(subject: Subject) -> str:
    """The name of the race of the ``subject`` on a machine that lay idle."""
    return f"{subject.name}, after a rest"


def at_rest(subject: Subject, inputs: Inputs, hpbuild: Hpbuild) -> Race:
    """``diff`` and what limits it on a machine that lay idle before each of them. Raises Missing."""
    pair = _pair(subject, inputs)
    files = (pair.baseline, pair.fixed)
    lanes = (
        commands.decoding(pair, "iced", LIMIT),
        hpbuild.lane("diff", "hpbuild diff", "diff", *map(str, files), *QUIET, expected=DONE),
    )
    about = f"{pair.group}: {subject.name}, {REST:.0f} s of rest before each command"
    before = commands.rested(REST)
    return Race(name=rested(subject), about=about, lanes=lanes, warm=files, before=before)


def _pair(subject: Subject, inputs: Inputs) -> Pair:
    pair = inputs.pair(subject.key)
    if pair is None:
        raise Missing(f"{subject.key[1]} is not there: make corpus ONLY={subject.key[0]}")
    return pair


def _package_lanes(subject: Subject, pair: Pair, hpbuild: Hpbuild, folder: Path) -> tuple[Lane, ...]:
    """``build``, ``prove`` and ``verify`` of the package, and what else verifies a file of that size."""
    package = folder / f"{subject.name}.hpb"
    baseline, fixed = str(pair.baseline), str(pair.fixed)
    build = _package(hpbuild, pair, package, folder, subject.only)
    if subject.only:
        named = f"hpbuild build --only with {_count(subject.only)} functions, which proves"
        build = commands.extended(build, about=named)
    return (
        build,
        hpbuild.lane("prove", "hpbuild prove", "prove", str(package), "--baseline", baseline,
                     "--fixed", fixed, *QUIET),
        hpbuild.lane("verify", "hpbuild verify --installed BASELINE", "verify", str(package), "--key",
                     str(folder / "bench.pub"), "--installed", baseline, "--format", "json"),
        commands.authenticode(pair.baseline, folder),
    )  # fmt: skip


def _reading_lanes(pair: Pair, hpbuild: Hpbuild) -> tuple[Lane, ...]:
    path = str(pair.baseline)
    return (
        hpbuild.lane("inspect", "hpbuild inspect BASELINE", "inspect", path),
        commands.python("lief", "lief.PE.parse of the baseline",
                        "import sys, lief; lief.PE.parse(sys.argv[1])", path, needs="lief"),
        commands.python("pefile", "pefile.PE of the baseline, all directories",
                        "import sys, pefile; pefile.PE(sys.argv[1])", path, needs="pefile"),
    )  # fmt: skip


def _count(only: tuple[str, ...]) -> int:
    lines = Path(only[1].removeprefix("@")).read_text().splitlines()
    return sum(1 for line in lines if line.strip() and not line.startswith("#"))


def linearity(pairs: tuple[Pair, ...], hpbuild: Hpbuild) -> Race:
    """``diff`` of pairs of all sizes."""
    if not pairs:
        raise Missing("there are no pairs of releases: make corpus")
    lanes = []
    for pair in pairs:
        files = (pair.baseline, pair.fixed)
        lane = hpbuild.lane(
            f"{pair.group}/{pair.name}", "hpbuild diff", "diff", *map(str, files), *QUIET, expected=DONE
        )
        sizes = {"bytes": sum(path.stat().st_size for path in files), "code": sum(map(code_size, files))}
        lanes.append(commands.extended(lane, facts=sizes))
    warm = tuple(path for pair in pairs for path in (pair.baseline, pair.fixed))
    return Race(
        name=LINEAR,
        about="hpbuild diff of pairs by size",
        lanes=tuple(lanes),
        warm=warm,
    )


def of_tree(inputs: Inputs, hpbuild: Hpbuild, folder: Path) -> Race:
    """``diff`` of two trees with one job and two, and twice with a cache that is empty at the beginning."""
    laid = tree(inputs, folder / "tree")
    if not laid.files:
        raise Missing("there are no files for a tree: make corpus")
    cache = folder / "cache"
    missing = {option for option in ("--jobs", "--no-cache") if ("diff", option) not in hpbuild.options}
    absent = f"not available: hpbuild diff has no {' and no '.join(sorted(missing))}" if missing else ""

    def lane(name: str, about: str, *options: str, fresh: bool) -> Lane:
        words = ("diff", str(laid.baseline), str(laid.fixed), *options, *QUIET)
        return Lane(
            name=name,
            role=HPBUILD,
            about=about,
            command=hpbuild.plain(*words),
            expected=DONE,
            environment=commands.environment() | {commands.CACHE: str(cache)},
            fresh=(cache,) if fresh else (),
            absent=absent,
        )

    lanes = (
        lane(
            "one job", "hpbuild diff TREE TREE --jobs 1 --no-cache", "--jobs", "1", "--no-cache", fresh=True
        ),
        lane("two jobs", "the same with --jobs 2", "--jobs", "2", "--no-cache", fresh=True),
        lane("cache, first", "with --jobs 2 and an empty cache", "--jobs", "2", fresh=True),
        lane("cache, again", "the same once more", "--jobs", "2", fresh=False),
    )
    files = sorted(path for side in (laid.baseline, laid.fixed) for path in side.rglob("*") if path.is_file())
    facts = {"files": laid.files, "different": laid.different, "bytes": laid.size}
    return Race(name=TREE, about="hpbuild diff of two trees", lanes=lanes, warm=tuple(files), facts=facts)
